"""The quadratic program example: its programs, its descent, its pictures, its command."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from examples.quadratic_program import train
from examples.quadratic_program.programs import PROGRAMS, fixed_cost
from tests.reference import softmax

SETTINGS = train.Settings(steps=100, num_runs=8)
LOGITS = np.array([[0.0, 1.0, -1.0], [0.0, 0.0, 0.0], [0.5, -0.2, 2.0]])
Q = np.exp(-2.0 * np.abs(np.arange(3)[:, None] - np.arange(3)))
REPOSITORY = pathlib.Path(train.__file__).resolve().parents[2]


def test_the_gap_of_the_simplex_program_is_the_quadratic_form_of_the_probabilities():
    away = softmax(LOGITS) - 1 / 3
    gaps = train.gap(PROGRAMS["simplex"], tf.constant(LOGITS))
    np.testing.assert_allclose(gaps, np.sum(away @ Q * away, 1), rtol=1e-9, atol=1e-15)
    assert gaps[1] == pytest.approx(0.0, abs=1e-15)  # the centre


def test_the_gap_of_the_fixed_program_is_the_expected_value_above_the_least():
    away = np.eye(3) - 1 / 3
    values = np.sum(away @ Q * away, 1)
    assert int(np.argmin(values)) == 1
    np.testing.assert_allclose(
        train.gap(PROGRAMS["fixed"], tf.constant(LOGITS)),
        softmax(LOGITS) @ values - values.min(),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("program", "estimator"),
    [("fixed", "reinforce_baseline"), ("fixed", "reinmax"), ("simplex", "gumbel_rao")],
)
def test_descent_is_sgd_with_the_estimators_gradient(program, estimator):
    settings = train.Settings(program=program, steps=100, num_runs=8, learning_rate=0.05)
    cost = PROGRAMS[program].cost
    logits = tf.Variable(np.tile(np.log(PROGRAMS[program].start), (8, 1)).astype(np.float32))
    options = {"temperature": 0.1} if estimator == "gumbel_rao" else {}
    if estimator == "reinforce_baseline":
        options["baseline"] = tfgumbel.RunningMean(shape=(8,))
    for step in range(train.STEPS_PER_CALL):
        with tf.GradientTape() as tape:
            value = tfgumbel.expectation(
                lambda draw, logits: cost(draw(logits), tf.nn.softmax(logits)),
                logits,
                estimator=estimator,
                seed=tfgumbel.fold_in(settings.seed, step),
                **options,
            )
        logits.assign_sub(settings.learning_rate * tape.gradient(value, logits))
    gaps = train.minimize(estimator, settings)
    assert gaps.shape == (3, 8)
    np.testing.assert_allclose(gaps[1], train.gap(PROGRAMS[program], logits), rtol=1e-3, atol=1e-6)


def test_reinforce_with_a_baseline_approaches_the_minimum():
    settings = train.Settings(program="fixed", steps=1000, num_runs=32, learning_rate=0.3)
    done = []
    gaps = train.minimize("reinforce_baseline", settings, done.append)
    assert sum(done) == settings.steps
    mean, deviation, share = train.summarize(gaps)
    assert mean + 5 * deviation / np.sqrt(32) < 0.2 * gaps[0].mean()
    assert share > 0.5


def test_a_relaxed_sample_costs_least_in_the_centre():
    centre = tf.fill([1, 3], 1 / 3)
    assert fixed_cost(centre, centre).numpy() == 0.0
    assert np.all(fixed_cost(tf.eye(3), tf.eye(3)).numpy() > 0.5)


def test_curves_hold_the_mean_gaps_and_their_deviations():
    gaps = np.array([[0.4, 0.2], [0.2, 0.0]])
    left, right = train.plot_curves({"reinmax": gaps}).axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), [0.3, 0.1])
    np.testing.assert_allclose(right.lines[0].get_ydata(), [0.1 * 2**0.5] * 2)
    np.testing.assert_allclose(train.summarize(gaps), [0.1, 0.1 * 2**0.5, 0.5])


def test_temperatures_measured_one_by_one_are_those_measured_together():
    program, options = PROGRAMS["fixed"], {"resolution": 3, "num_draws": 500}
    done = []
    parts = train.measure_variances(program, (0.2, 0.9), on_progress=done.append, **options)
    together = tfgumbel.diagnostics.simplex_variances(program.cost, (0.2, 0.9), **options)
    assert parts.temperatures == together.temperatures and done == [1, 1]
    np.testing.assert_allclose(parts.variances, together.variances, rtol=1e-6)


def test_the_command_prints_a_table_and_saves_two_pictures(tmp_path):
    command = [sys.executable, "-m", "examples.quadratic_program.main", f"--run_dir={tmp_path}"]
    small = ["--resolution=3", "--num_draws=500", "--num_runs=3", "--steps=50"]
    done = subprocess.run(
        [*command, *small, "--estimator=reinmax"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "reinmax: 50 of 50 steps" in done.stdout and "deviation" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"curves.png", "contours.png"}
