"""The gradient to the scores, against closed forms and against all 2^n masks of a tiny network."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from pruning.masking import mask_weights, noisy_weights
from pruning.structures import Grid

# A linear network with four weights on one example: loss = (sum_i m_i c_i - y)^2.
CONTRIBUTIONS = np.array([1.0, -0.7, 0.4, 0.9])
LABEL = 0.8
SCORES = np.array([0.2, 0.5, 0.7, 0.9])


def enumerated_gradient(scores):
    """d/ds of the expected loss over Bernoulli masks, by the sum over all 2^n of them."""
    gradient = np.zeros_like(scores)
    for mask in itertools.product((0.0, 1.0), repeat=len(scores)):
        mask = np.array(mask)
        factors = np.where(mask == 1, scores, 1 - scores)
        loss = (mask @ CONTRIBUTIONS - LABEL) ** 2
        for i in range(len(scores)):
            gradient[i] += loss * (1 if mask[i] else -1) * np.prod(np.delete(factors, i))
    return gradient


def relaxed_gradient(scores, temperature):
    """The same for relaxed masks: the loss needs E m and E m^2 alone, integrals over the noise."""
    # Logistic noise, on a grid fine enough for derivatives by central differences.
    noise = np.linspace(-40, 40, 400_001)
    density = 1 / (np.exp(noise / 2) + np.exp(-noise / 2)) ** 2 * (noise[1] - noise[0])

    def moments(s):
        odds = np.clip((np.log(s / (1 - s)) + noise) / temperature, -500, 500)
        mask = 1 / (1 + np.exp(-odds))
        return np.array([np.sum(mask * density), np.sum(mask**2 * density)])

    first, _ = np.transpose([moments(s) for s in scores])
    step = 1e-4
    slopes = [(moments(s + step) - moments(s - step)) / (2 * step) for s in scores]
    d_first, d_second = np.transpose(slopes)
    others = first @ CONTRIBUTIONS - first * CONTRIBUTIONS
    return CONTRIBUTIONS**2 * d_second + 2 * CONTRIBUTIONS * d_first * (others - LABEL)


def sampled_gradients(temperature, draws, seed):
    """Gradients of many independent draws of the mask, shape (draws, 4)."""
    scores = tf.constant(np.tile(SCORES, draws), tf.float32)
    weights = [tf.constant(np.tile(CONTRIBUTIONS, (draws, 1)), tf.float32)]
    grids = [Grid((draws, 4), (1, 1))]
    with tf.GradientTape() as tape:
        tape.watch(scores)
        (masked,) = noisy_weights(
            scores,
            weights,
            grids,
            seed=tf.constant([seed, 1]),
            temperature=tf.constant(temperature),
            settled=tf.constant(False),
        )
        loss = tf.reduce_sum((tf.reduce_sum(masked, -1) - LABEL) ** 2)
    return tape.gradient(loss, scores).numpy().reshape(draws, 4).astype(np.float64)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_sampled_gradient_is_that_of_the_relaxed_loss(temperature):
    draws = 200_000
    samples = sampled_gradients(temperature, draws, seed=7)
    error = samples.std(0) / np.sqrt(draws)
    z = (samples.mean(0) - relaxed_gradient(SCORES, temperature)) / error
    assert np.all(np.abs(z) < 5), z
    # What a bias must be to escape this test: five standard errors.
    assert np.all(5 * error < 0.05 * np.abs(enumerated_gradient(SCORES)).max())


def test_relaxed_loss_tends_to_the_sum_over_all_masks():
    exact = enumerated_gradient(SCORES)
    gaps = [np.abs(relaxed_gradient(SCORES, t) - exact).max() for t in (0.4, 0.2, 0.1, 0.05)]
    # The gap closes in proportion to the temperature or faster.
    assert all(second < 0.55 * first for first, second in itertools.pairwise(gaps)), gaps
    assert gaps[-1] < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("settled", [False, True])
def test_fused_product_equals_mask_times_weight(hard, settled):
    rng = np.random.default_rng(0)
    weights = [tf.constant(rng.normal(size=shape), tf.float32) for shape in [(5, 3), (4,)]]
    grids = [Grid((5, 3), (2, 3)), Grid((4,), (1,))]
    scores = tf.constant([0, 1, 1, 0, 1, 0, 1] if settled else rng.uniform(0.1, 0.9, 7), tf.float32)
    upstream = [tf.constant(rng.normal(size=w.shape), tf.float32) for w in weights]
    results = []
    for jit_compile in (True, False):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([scores, *weights])
            masked = noisy_weights(
                scores,
                weights,
                grids,
                seed=tf.constant([1, 2]),
                temperature=tf.constant(0.5),
                settled=tf.constant(settled),
                hard=hard,
                jit_compile=jit_compile,
            )
        mask = [value / weight for value, weight in zip(masked, weights, strict=True)]
        if settled:
            expected = mask_weights(scores, weights, grids)
            for value, other in zip(masked, expected, strict=True):
                np.testing.assert_array_equal(value, other)
        if hard or settled:
            values = np.concatenate([np.ravel(value) for value in mask])
            assert set(np.round(values, 6)) <= {0.0, 1.0}
        # The last block of the first axis is smaller, and every block shares one mask.
        blocks = mask[0].numpy()
        np.testing.assert_allclose(blocks[0], blocks[1], rtol=1e-5)
        assert np.ptp(blocks[4]) < 1e-6
        to_weights = tape.gradient(masked, weights, output_gradients=upstream)
        for to_weight, part, up in zip(to_weights, mask, upstream, strict=True):
            np.testing.assert_allclose(to_weight, part * up, rtol=1e-4, atol=1e-6)
        to_scores = tape.gradient(masked, scores, output_gradients=upstream).numpy()
        if not settled:
            # By groups: dL/dm = sum of upstream * w, dm/ds = m (1 - m) / (temperature s (1 - s)).
            to_mask = np.concatenate(
                [
                    [np.sum((upstream[0] * weights[0]).numpy()[i : i + 2]) for i in (0, 2, 4)],
                    (upstream[1] * weights[1]).numpy(),
                ]
            )
            if not hard:
                m = np.concatenate([blocks[[0, 2, 4], 0], mask[1].numpy()])
                s = scores.numpy()
                slope = m * (1 - m) / (0.5 * s * (1 - s))
                np.testing.assert_allclose(to_scores, to_mask * slope, rtol=2e-3, atol=1e-5)
            assert np.all(np.sign(to_scores) == np.sign(to_mask))
        else:
            assert not np.any(to_scores)
        results.append(to_scores)
