"""Estimators that claim no bias, against the gradient by enumeration."""

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from tests.expectations.programs import LOGITS, derivative, parallel, parallel_value, z_scores
from tfgumbel.distributions.abilities import BERNOULLI

NUM_DRAWS = 200_000


def draws(program, inputs, **arguments):
    """Values and gradients of many independent single-sample expectations."""
    repeated = tf.tile(tf.constant(inputs, tf.float64)[tf.newaxis], [NUM_DRAWS] + [1] * inputs.ndim)
    with tf.GradientTape() as tape:
        tape.watch(repeated)
        value = tfgumbel.expectation(program, repeated, **arguments)
    return value.numpy(), tape.gradient(value, repeated).numpy()


@pytest.mark.parametrize("name", ["reinforce", "reinforce_baseline"])
def test_parallel_variables(name):
    # 200,000 draws see a bias of 5 standard errors, 2% of the gradient's norm.
    options = {"baseline": 2.5} if name == "reinforce_baseline" else {}
    value, gradient = draws(parallel, LOGITS, estimator=name, seed=1, **options)
    truth = derivative(parallel_value, LOGITS)
    assert abs(z_scores(value, parallel_value(LOGITS))) < 5
    assert np.abs(z_scores(gradient, truth)).max() < 5
    total_error = np.sqrt(gradient.var(0).sum() / len(gradient))
    assert 5 * total_error < 0.1 * np.linalg.norm(truth)


def test_a_baseline_near_the_mean_saves_variance():
    mean = parallel_value(LOGITS)
    _, plain = draws(parallel, LOGITS, estimator="reinforce", seed=1)
    _, centered = draws(parallel, LOGITS, estimator="reinforce_baseline", baseline=mean, seed=1)
    assert centered.var(0).sum() < 0.8 * plain.var(0).sum()


def test_bernoulli_variables():
    logits = np.array([0.8, -0.4])

    def program(draw, logits):
        sample = draw.variable(BERNOULLI, logits)
        return (1.0 + sample[:, 0]) * (2.0 - 3.0 * sample[:, 1]) ** 2

    def truth(logits):
        p, q = 1 / (1 + np.exp(-logits))
        return (1 + p) * (q * 1.0 + (1 - q) * 4.0)

    value, gradient = draws(program, logits, estimator="reinforce", seed=2)
    assert abs(z_scores(value, truth(logits))) < 5
    assert np.abs(z_scores(gradient, derivative(truth, logits))).max() < 5
