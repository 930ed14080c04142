"""KL divergences against float64 NumPy sums and TensorFlow Probability."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfgumbel.objectives import bernoulli_kl, categorical_kl

tfd = tfp.distributions
INF = float("inf")


def _reference(logits, prior_logits):
    """The definition, in float64, 0 log 0 = 0."""
    logits, prior_logits = np.broadcast_arrays(
        np.asarray(logits, np.float64), np.asarray(prior_logits, np.float64)
    )
    log_q = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    log_p = prior_logits - np.logaddexp.reduce(prior_logits, axis=-1, keepdims=True)
    drawn = np.isfinite(log_q)
    terms = np.exp(log_q[drawn]) * (log_q[drawn] - log_p[drawn])
    total = np.zeros(log_q.shape)
    total[drawn] = terms
    return total.sum(axis=-1)


@pytest.mark.parametrize("num_classes", [1, 2, 5, 64])
def test_categorical_against_numpy_and_tfp(num_classes):
    rng = np.random.default_rng(num_classes)
    logits, prior = 3.0 * rng.standard_normal((2, 7, num_classes))
    uniform = categorical_kl(logits)
    given = categorical_kl(logits, prior)
    np.testing.assert_allclose(uniform, _reference(logits, np.zeros_like(logits)), atol=1e-13)
    np.testing.assert_allclose(given, _reference(logits, prior), atol=1e-12)
    peer = tfd.kl_divergence(tfd.Categorical(logits), tfd.Categorical(prior))
    np.testing.assert_allclose(given, peer, atol=1e-12)
    assert given.dtype == tf.float64 and given.shape == [7]


def test_prior_broadcasts():
    logits = tf.random.stateless_normal([3, 4, 5], [0, 1])
    prior = tf.random.stateless_normal([5], [0, 2])
    np.testing.assert_allclose(
        categorical_kl(logits, prior), _reference(logits.numpy(), prior.numpy()), rtol=1e-5
    )


def test_categorical_gradient_is_the_closed_form():
    """dKL/dlogits = q (log q - log p - KL)."""
    rng = np.random.default_rng(0)
    logits, prior = tf.constant(2.0 * rng.standard_normal((2, 3, 6)))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        divergence = categorical_kl(logits, prior)
    gradient = tape.gradient(divergence, logits)
    log_ratio = tf.nn.log_softmax(logits) - tf.nn.log_softmax(prior)
    expected = tf.nn.softmax(logits) * (log_ratio - divergence[:, tf.newaxis])
    np.testing.assert_allclose(gradient, expected, atol=1e-14)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_masked_and_extreme_logits(jit_compile):
    logits = tf.constant([[0.0, 0.0, -INF], [1e4, -1e4, 0.0], [5.0, -INF, -INF]])

    @tf.function(jit_compile=jit_compile)
    def value_and_gradient(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            divergence = categorical_kl(logits)
        return divergence, tape.gradient(divergence, logits)

    divergence, gradient = value_and_gradient(logits)
    np.testing.assert_allclose(divergence, [np.log(1.5), np.log(3), np.log(3)], rtol=1e-6)
    np.testing.assert_allclose(gradient, np.zeros((3, 3)), atol=1e-7)
    assert gradient[0, 2] == 0.0


def test_support_outside_the_prior_is_infinite():
    assert categorical_kl([0.0, 0.0], [0.0, -INF]) == INF
    assert categorical_kl([0.0, -INF], [0.0, -INF]) == 0.0


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32])
def test_half_precision_is_computed_in_float32(dtype):
    rng = np.random.default_rng(1)
    logits = tf.cast(3.0 * rng.standard_normal((20, 200)), dtype)
    divergence = categorical_kl(logits)
    assert divergence.dtype == dtype
    rounded = np.asarray(tf.cast(logits, tf.float64))
    expected = _reference(rounded, np.zeros_like(rounded))
    step = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 1e-5}[dtype.name]
    np.testing.assert_allclose(np.asarray(divergence, np.float64), expected, rtol=step)


def test_bernoulli_is_the_two_class_categorical():
    rng = np.random.default_rng(2)
    logits, prior = tf.constant(4.0 * rng.standard_normal((2, 50)))
    two_classes = [tf.stack([tf.zeros_like(one), one], axis=-1) for one in (logits, prior)]
    np.testing.assert_allclose(
        bernoulli_kl(logits, prior), categorical_kl(*two_classes), rtol=1e-10, atol=1e-14
    )
    peer = tfd.kl_divergence(tfd.Bernoulli(logits), tfd.Bernoulli(prior))
    np.testing.assert_allclose(bernoulli_kl(logits, prior), peer, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_bernoulli_extremes(jit_compile):
    @tf.function(jit_compile=jit_compile)
    def value_and_gradient(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            divergence = bernoulli_kl(logits, 1.0)
        return divergence, tape.gradient(divergence, logits)

    divergence, gradient = value_and_gradient(tf.constant([1e4, INF, -1e4, -INF, 1.0]))
    one, zero = -np.log(1 / (1 + np.exp(-1.0))), -np.log(1 / (1 + np.exp(1.0)))
    np.testing.assert_allclose(divergence, [one, one, zero, zero, 0.0], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(gradient, np.zeros(5), atol=1e-7)


def test_errors_name_what_is_wrong():
    with pytest.raises(TypeError, match="logits.*floating"):
        categorical_kl([1, 2])
    with pytest.raises(TypeError, match="prior_logits.*floating"):
        bernoulli_kl(0.5, 1)
    with pytest.raises(ValueError, match="class"):
        categorical_kl(1.0)
