"""Relaxed masks against TFP's RelaxedBernoulli, closed forms in float64, and their own noise."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from pruning.masks.relaxation import MARGIN, relaxed_mask

MODES = ("eager", "graph", "xla")
# More than 5 standard errors of an empirical distribution function of n draws, which is what the
# Kolmogorov-Smirnov distance exceeds once in 10^12 (2 exp(-2 * 3.8^2)): n = 40,000 sees .019.
DRAWS, DISTANCE = 40_000, 3.8 / np.sqrt(40_000)


@functools.cache
def sampler(mode, hard=False):
    def draw(s, seed, temperature):
        with tf.GradientTape() as tape:
            tape.watch(s)
            mask = relaxed_mask(s, seed, temperature, hard, jit_compile=mode == "xla")
        return mask, tape.gradient(mask, s)

    return draw if mode == "eager" else tf.function(draw, jit_compile=mode == "xla")


def sample(mode, probability, temperature, seed=(1, 2), hard=False):
    s = tf.fill([DRAWS], tf.constant(probability, tf.float32))
    return sampler(mode, hard)(s, tf.constant(seed), tf.constant(temperature, tf.float32))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("probability, temperature", [(0.3, 1.0), (0.9, 0.5), (0.02, 0.2)])
def test_has_the_distribution_of_relaxed_bernoulli(mode, probability, temperature):
    mask, _ = sample(mode, probability, temperature)
    mask = np.sort(mask.numpy().astype(np.float64))
    inside = (mask > 1e-30) & (mask < 1.0 - 1e-6)  # float32 rounds the rest to 0 or 1
    reference = tfp.distributions.RelaxedBernoulli(
        tf.constant(temperature, tf.float64), probs=tf.constant(probability, tf.float64)
    )
    ranks = (np.arange(DRAWS) + 0.5) / DRAWS
    distance = np.abs(reference.cdf(mask[inside]).numpy() - ranks[inside])
    assert inside.mean() > 0.05
    assert distance.max() < DISTANCE


@pytest.mark.parametrize("mode", MODES)
def test_hard_masks_are_bernoulli(mode):
    for probability in (0.004, 0.5, 0.97):
        mask, _ = sample(mode, probability, 0.3, hard=True)
        assert set(np.unique(mask)) <= {0.0, 1.0}
        error = np.sqrt(probability * (1.0 - probability) / DRAWS)
        assert abs(np.mean(mask) - probability) < 5.0 * error


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.2, 0.03])
def test_gradient_is_the_closed_form(mode, hard, temperature):
    s = np.random.default_rng(1).uniform(0.001, 0.999, 5000)
    arguments = (tf.constant(s, tf.float32), tf.constant([3, 4]), tf.constant(temperature))
    soft, gradient = sampler(mode, False)(*arguments)
    if hard:
        mask, gradient = sampler(mode, True)(*arguments)
        np.testing.assert_array_equal(mask, np.round(soft))
    m = soft.numpy().astype(np.float64)
    expected = m * (1.0 - m) / (temperature * s * (1.0 - s))
    # 1 - m is known to 6e-8 absolutely in float32.
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("temperature", [2.0, 0.5])
def test_float64_gradient_is_the_finite_difference(temperature):
    s = tf.constant(np.linspace(0.01, 0.99, 99))
    step = 1e-6

    def draw(s):
        return relaxed_mask(s, (5, 6), temperature)

    with tf.GradientTape() as tape:
        tape.watch(s)
        mask = draw(s)
    difference = (draw(s + step) - draw(s - step)) / (2.0 * step)
    np.testing.assert_allclose(tape.gradient(mask, s), difference, rtol=1e-5, atol=1e-7)


def test_expected_mask_has_slope_one_when_cold():
    # E[m] tends to s, so the mean of dm/ds tends to 1: the gradient is right in distribution too.
    mask, gradient = sample("xla", 0.3, 0.05)
    spread = np.std(gradient) / np.sqrt(DRAWS)
    assert spread < 0.03
    assert abs(np.mean(gradient) - 1.0) < 5.0 * spread + 0.01
    assert abs(np.mean(mask) - 0.3) < 5.0 * np.std(mask) / np.sqrt(DRAWS) + 0.001


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("temperature", [2.0, 1.0, 0.03, 1e-3])
def test_certain_entries_have_finite_gradients(mode, temperature):
    s = tf.constant([0.0, 1.0] * 2000)
    mask, gradient = sampler(mode)(s, tf.constant([7, 8]), tf.constant(temperature))
    assert np.all(np.isfinite(mask)) and np.all(np.isfinite(gradient))
    assert np.all(gradient >= 0.0) and np.max(gradient) <= 0.26 / (MARGIN * temperature)
    if temperature <= 1.0:
        np.testing.assert_allclose(mask, s, atol=0.1)
    if temperature == 1.0:
        assert np.mean(gradient > 0.0) > 0.9  # both ends can still be left


def test_noise_follows_the_seed():
    s = tf.fill([1000], 0.5)
    first, again, other = (relaxed_mask(s, seed, 0.5) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 5.0 / np.sqrt(1000)


def test_temperature_is_traced_once():
    draw = tf.function(lambda t: relaxed_mask(tf.fill([10], 0.5), (1, 2), t))
    for temperature in (1.0, 0.3, 0.1):
        draw(tf.constant(temperature))
    assert draw.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_keeps_shape_and_dtype(dtype):
    s = tf.cast(tf.fill([3, 5], 0.25), dtype)
    with tf.GradientTape() as tape:
        tape.watch(s)
        mask = relaxed_mask(s, 1, 0.5)
    assert mask.shape == (3, 5) and mask.dtype == s.dtype
    assert tape.gradient(mask, s).dtype == s.dtype


def test_errors_say_what_is_wrong():
    with pytest.raises(TypeError, match="`keep_probability` is not floating point"):
        relaxed_mask([1, 0], 1, 0.5)
    with pytest.raises(ValueError, match="`temperature` is invalid"):
        relaxed_mask([0.5], 1, 0.0)
    with pytest.raises(TypeError, match="`seed` is invalid"):
        relaxed_mask([0.5], None, 0.5)
