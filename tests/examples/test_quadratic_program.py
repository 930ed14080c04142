"""The quadratic program example: its gap, its descent, its pictures."""

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from examples.quadratic_program import train
from tests.reference import softmax

SETTINGS = train.Settings(steps=100, num_runs=8, learning_rate=0.5)


def test_the_gap_is_the_expected_value_above_the_least():
    q = np.exp(-2.0 * np.abs(np.arange(3)[:, None] - np.arange(3)))
    away = np.eye(3) - 1 / 3
    values = np.sum(away @ q * away, 1)
    logits = np.array([[0.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(
        train.gap(tf.constant(logits)), softmax(logits) @ values - values.min(), rtol=1e-5
    )


@pytest.mark.parametrize("estimator", ["reinforce_baseline", "reinmax"])
def test_descent_is_sgd_with_the_estimators_gradient(estimator):
    logits = tf.Variable(tf.zeros([SETTINGS.num_runs, 3]))
    baseline = tfgumbel.RunningMean(shape=(SETTINGS.num_runs,))
    options = {"baseline": baseline} if estimator == "reinforce_baseline" else {}
    for step in range(train.STEPS_PER_CALL):
        with tf.GradientTape() as tape:
            value = tfgumbel.expectation(
                lambda draw, logits: train.quadratic_program(draw(logits)),
                logits,
                estimator=estimator,
                seed=tfgumbel.fold_in(SETTINGS.seed, step),
                **options,
            )
        logits.assign_sub(SETTINGS.learning_rate * tape.gradient(value, logits))
    gaps = train.minimize(estimator, SETTINGS)
    assert gaps.shape == (3, SETTINGS.num_runs)
    np.testing.assert_allclose(gaps[1], train.gap(logits), rtol=1e-3, atol=1e-6)


def test_reinforce_with_a_baseline_approaches_the_minimum():
    settings = train.Settings(steps=1000, num_runs=32, learning_rate=0.3)
    done = []
    gaps = train.minimize("reinforce_baseline", settings, done.append)
    assert sum(done) == settings.steps
    mean, error, share = train.summarize(gaps)
    assert mean + 5 * error < 0.2 * gaps[0].mean()
    assert share > 0.5


def test_curves_hold_the_mean_gaps():
    gaps = np.array([[0.4, 0.2], [0.2, 0.0]])
    figure = train.plot_curves({"reinmax": gaps})
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [0.3, 0.1])
    mean, error, share = train.summarize(gaps)
    np.testing.assert_allclose([mean, error, share], [0.1, 0.1, 0.5])
