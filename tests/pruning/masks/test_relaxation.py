"""Relaxed masks against TFP's RelaxedBernoulli, and their own noise."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from pruning.masks import relaxation
from pruning.masks.relaxation import mask_at, mask_noise

MODES = ("eager", "graph", "xla")
# More than 5 standard errors of an empirical distribution function of n draws, which is what the
# Kolmogorov-Smirnov distance exceeds once in 10^12 (2 exp(-2 * 3.8^2)): n = 40,000 sees .019.
DRAWS, DISTANCE = 40_000, 3.8 / np.sqrt(40_000)


@functools.cache
def sampler(mode):
    def draw(s, seed, temperature):
        return mask_at(s, mask_noise(s, seed, temperature, mode == "xla"), temperature)

    return draw if mode == "eager" else tf.function(draw, jit_compile=mode == "xla")


def sample(mode, probability, temperature, seed=(1, 2)):
    s = tf.fill([DRAWS], tf.constant(probability, tf.float32))
    return sampler(mode)(s, tf.constant(seed), tf.constant(temperature, tf.float32)).numpy()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("probability, temperature", [(0.3, 1.0), (0.9, 0.5), (0.02, 0.2)])
def test_has_the_distribution_of_relaxed_bernoulli(mode, probability, temperature):
    mask = sample(mode, probability, temperature)
    mask = np.sort(mask.astype(np.float64))
    inside = (mask > 1e-30) & (mask < 1.0 - 1e-6)  # float32 rounds the rest to 0 or 1
    reference = tfp.distributions.RelaxedBernoulli(
        tf.constant(temperature, tf.float64), probs=tf.constant(probability, tf.float64)
    )
    ranks = (np.arange(DRAWS) + 0.5) / DRAWS
    distance = np.abs(reference.cdf(mask[inside]).numpy() - ranks[inside])
    assert inside.mean() > 0.05
    assert distance.max() < DISTANCE


@pytest.mark.parametrize("mode", MODES)
def test_rounded_masks_are_bernoulli(mode):
    for probability in (0.004, 0.5, 0.97):
        mask = sample(mode, probability, 0.3) >= 0.5
        error = np.sqrt(probability * (1.0 - probability) / DRAWS)
        assert abs(np.mean(mask) - probability) < 5.0 * error


@pytest.mark.parametrize("noise_scale", [1.0, 0.5, 0.2])
def test_rounded_masks_of_less_noise_have_their_own_probability(noise_scale):
    # The noise at the middles of n equal parts: shares are exact to 1 / n.
    n = 999
    noise = tf.constant((np.arange(n) + 0.5) / n)
    for s in (0.06, 0.3, 0.5, 0.8):
        odds = (s / (1 - s)) ** (1 / noise_scale)
        mask = mask_at(tf.fill([n], s), noise, tf.constant(0.7, tf.float64), noise_scale)
        assert abs(np.mean(mask >= 0.5) - odds / (1 + odds)) < 1.5 / n
        found = relaxation.probability(tf.constant([s]), noise_scale)
        np.testing.assert_allclose(found, odds / (1 + odds), rtol=1e-5)


def test_less_noise_is_logistic_noise_of_that_scale():
    temperature = tf.constant(0.4, tf.float64)
    for s, u in ((0.3, 0.9), (0.9, 0.25), (0.5, 0.5)):
        logit, noise = (np.log(p / (1 - p)) for p in (s, u))
        mask = mask_at(tf.constant([s]), tf.constant([u], tf.float64), temperature, 0.5)
        np.testing.assert_allclose(mask, 1 / (1 + np.exp(-(logit + 0.5 * noise) / 0.4)), rtol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.03, 1e-3])
def test_certain_scores_give_certain_masks(temperature):
    s = np.array([0.0, 1.0] * 2000, np.float32)
    mask = sampler("graph")(tf.constant(s), tf.constant([7, 8]), tf.constant(temperature))
    np.testing.assert_allclose(mask, s, atol=0.1)
    ends = tf.constant(np.random.default_rng(0).permutation([1e-38, 1 - 2**-24] * 2000), tf.float32)
    assert np.all(np.isfinite(mask_at(tf.constant(s), ends, tf.constant(temperature), 0.5)))


def test_noise_follows_the_seed():
    first, again, other = (sample("graph", 0.5, 0.5, seed) for seed in ((1, 2), (1, 2), (1, 3)))
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 5.0 / np.sqrt(DRAWS)


def test_dtype_is_that_of_the_temperature():
    s, seed = tf.fill([3, 5], 0.25), tf.constant([1, 2])
    for dtype in (tf.float32, tf.float64):
        temperature = tf.constant(0.5, dtype)
        mask = mask_at(s, mask_noise(s, seed, temperature, False), temperature)
        assert mask.shape == (3, 5) and mask.dtype == dtype
