"""Slopes of masks against closed forms, finite differences and the estimator of two classes."""

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from pruning.masks.relaxation import MARGIN, mask_at
from pruning.masks.slopes import RAREST, SLOPES, pathwise_slope, reinmax_slope


@pytest.mark.parametrize("score", [0.2, 0.5, 0.85])
def test_reinmax_slope_is_that_of_the_estimator_on_two_classes(score):
    logits = tf.constant(np.tile(np.log([score, 1 - score]), (64, 1)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        kept = tfgumbel.reinmax(logits, temperature=1.0, seed=3)[:, 0]
    assert len(set(kept.numpy())) == 2
    # ds/dlogit = s (1 - s)
    expected = tape.gradient(kept, logits).numpy()[:, 0] / (score * (1 - score))
    slopes = reinmax_slope(kept, tf.fill([64], score), tf.constant(0.3))
    np.testing.assert_allclose(slopes, expected, rtol=1e-5)


def test_reinmax_slope_rounds_the_mask_and_is_bounded():
    mask = tf.constant([0.0, 0.49, 0.5, 0.51, 1.0, 0.2, 0.9])
    scores = tf.constant([0.3, 0.3, 0.3, 0.3, 0.3, 0.97, 0.01])
    expected = [0.5 / p for p in (0.7, 0.7, 0.3, 0.3, 0.3, RAREST, RAREST)]
    np.testing.assert_allclose(reinmax_slope(mask, scores, tf.constant(1.0)), expected, rtol=1e-6)


@pytest.mark.parametrize("noise_scale", [1.0, 0.5])
def test_reinmax_slope_is_exact_for_quadratic_losses_whatever_the_noise(noise_scale):
    n = 2000
    noise = tf.constant((np.arange(n) + 0.5) / n)
    for s in (0.3, 0.6):
        scores, temperature = tf.fill([n], tf.constant(s, tf.float64)), tf.constant(0.5, tf.float64)
        mask = mask_at(scores, noise, temperature, noise_scale)
        ends = tf.cast(mask >= 0.5, tf.float64)
        slopes = reinmax_slope(mask, scores, temperature, noise_scale)
        # f(m) = 3 m^2 - m rises by 2 from 0 to 1.
        np.testing.assert_allclose(np.mean((6 * ends - 1) * slopes), 2.0, atol=0.02)


@pytest.mark.parametrize("temperature", [2.0, 0.5, 0.03])
def test_pathwise_slope_is_the_finite_difference(temperature):
    s = tf.constant(np.linspace(0.01, 0.99, 99))
    noise = tf.constant(np.random.default_rng(0).uniform(0.02, 0.98, 99))
    temperature = tf.constant(temperature, tf.float64)
    step = 1e-7
    above, below = (mask_at(s + d, noise, temperature) for d in (step, -step))
    slopes = pathwise_slope(mask_at(s, noise, temperature), s, temperature)
    np.testing.assert_allclose(slopes, (above - below) / (2 * step), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("temperature", [2.0, 1.0, 0.03, 1e-3])
def test_slopes_of_certain_masks_are_finite(temperature):
    s = tf.constant([0.0, 1.0] * 2000)
    noise = tf.constant(np.random.default_rng(1).uniform(1e-7, 1 - 1e-7, 4000), tf.float32)
    mask = mask_at(s, noise, tf.constant(temperature))
    for slope in SLOPES.values():
        assert np.all(np.isfinite(slope(mask, s, tf.constant(temperature))))
        assert np.all(np.isfinite(slope(mask, s, tf.constant(temperature), 0.2)))
    slopes = pathwise_slope(mask, s, tf.constant(temperature)).numpy()
    assert np.all(slopes >= 0) and slopes.max() <= 0.26 / (MARGIN * temperature)
    if temperature == 1.0:
        assert np.mean(slopes > 0) > 0.9  # both ends can still be left


def test_straight_through_slope_is_the_mean_pathwise_slope_when_cold():
    s, temperature, draws = 0.3, 0.05, 40_000
    noise = tf.constant(np.random.default_rng(2).random(draws), tf.float32)
    scores = tf.fill([draws], s)
    mask = mask_at(scores, noise, tf.constant(temperature))
    slopes = pathwise_slope(mask, scores, tf.constant(temperature)).numpy()
    spread = slopes.std() / np.sqrt(draws)
    assert spread < 0.03
    expected = SLOPES["straight_through"](mask, scores, tf.constant(temperature))
    assert abs(slopes.mean() - expected) < 5 * spread + 0.01
