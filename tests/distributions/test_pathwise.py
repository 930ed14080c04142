"""Gradients of Gamma, Beta and Dirichlet samples, also where the sample is too small to be told."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf
import tensorflow_probability as tfp

from tfgumbel.distributions import pathwise

tfd = tfp.distributions
COUNT = 100_000


def standard_scores(values, expected):
    """Distance of the mean over the first axis from what is expected, in standard errors."""
    values = np.asarray(values, np.float64)
    return (values.mean(0) - expected) / (values.std(0) / np.sqrt(len(values)))


@pytest.mark.parametrize(
    ("dtype", "jit_compile"), [("float32", False), ("float64", False), ("float32", True)]
)
def test_log_gamma_and_its_slope_have_their_means(dtype, jit_compile):
    """E log x = digamma(a), so that the mean slope is trigamma(a)."""
    a = np.array([0.01, 0.03, 0.3, 3.0])

    @tf.function(jit_compile=jit_compile)
    def draw(concentration):
        with tf.GradientTape() as tape:
            tape.watch(concentration)
            value = pathwise.log_gamma(concentration, tf.constant([3, 4]))
        return value, tape.gradient(value, concentration)

    value, slope = draw(tf.constant(np.tile(a, (COUNT, 1)), dtype))
    assert value.dtype == slope.dtype == dtype
    assert np.mean(value[:, 0] < -104.0) > 0.3  # smaller than any float32
    assert np.all(np.abs(standard_scores(value, scipy.special.digamma(a))) < 4.0)
    assert np.all(np.abs(standard_scores(slope, scipy.special.polygamma(1, a))) < 4.0)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-6)])
def test_the_slope_is_that_of_the_quantile(dtype, tolerance):
    """On both sides of where the closed form begins, in either precision."""
    a, h = 0.4, 1e-4
    log_x = np.array([-60.0, -36.1, -35.9, -16.0, -15.9, -3.2, -2.0, 1.0])
    share = scipy.special.gammainc(a, np.exp(log_x))
    above, below = (np.log(scipy.special.gammaincinv(a + d, share)) for d in (h, -h))
    slope = pathwise._slope(tf.fill([len(log_x)], tf.cast(a, dtype)), tf.constant(log_x, dtype))
    np.testing.assert_allclose(slope, (above - below) / (2.0 * h), rtol=tolerance)


def test_dirichlet_of_small_concentrations():
    a, v = np.array([0.03, 0.1, 0.02, 0.5]), np.array([1.0, -2.0, 0.5, 3.0])
    concentration = tf.constant(np.tile(a, (COUNT, 1)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(concentration)
        sample = pathwise.sample(tfd.Dirichlet(concentration), tf.constant([1, 2]))
        loss = tf.reduce_sum(sample * tf.constant(v, tf.float32))
    total = a.sum()
    assert np.mean(sample == 0.0) > 0.05
    assert np.all(np.abs(standard_scores(sample, a / total)) < 4.0)
    expected = v / total - (v * a).sum() / total**2
    assert np.all(np.abs(standard_scores(tape.gradient(loss, concentration), expected)) < 4.0)


def test_beta_of_small_concentrations_that_broadcast():
    one = tf.constant([0.02, 0.1, 2.0])
    zero = tf.fill([COUNT, 1], 0.05)
    with tf.GradientTape() as tape:
        one = tf.tile(one[tf.newaxis], [COUNT, 1])
        tape.watch([one, zero])
        sample = pathwise.sample(tfd.Beta(one, zero), tf.constant([5, 6]))
    a, b = one.numpy()[0], 0.05
    assert np.all(np.abs(standard_scores(sample, a / (a + b))) < 4.0)
    to_one, to_zero = tape.gradient(sample, [one, zero])
    assert np.all(np.abs(standard_scores(to_one, b / (a + b) ** 2)) < 4.0)
    assert np.all(np.abs(standard_scores(to_zero, [-np.sum(a / (a + b) ** 2)])) < 4.0)


def test_other_distributions_are_left_to_tfp():
    normal = tfd.Normal([1.0, 2.0], 0.5)
    seed = tf.constant([1, 2])
    np.testing.assert_array_equal(pathwise.sample(normal, seed), normal.sample(seed=seed))
