"""The gradient to the scores, against closed forms and against all 2^n masks of a tiny network."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from pruning.groups.groups import Grid, Groups
from pruning.masks.product import noisy_product
from pruning.masks.slopes import SLOPES

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


def relaxed_moments(scores, temperature):
    """E m and E m^2 of relaxed masks, integrals over the noise, shape (4, 2)."""
    # Logistic noise, on a grid fine enough for derivatives by central differences.
    noise = np.linspace(-40, 40, 400_001)
    density = 1 / (np.exp(noise / 2) + np.exp(-noise / 2)) ** 2 * (noise[1] - noise[0])
    rows = []
    for s in scores:
        odds = np.clip((np.log(s / (1 - s)) + noise) / temperature, -500, 500)
        mask = 1 / (1 + np.exp(-odds))
        rows.append([np.sum(mask * density), np.sum(mask**2 * density)])
    return np.array(rows)


def relaxed_gradient(scores, temperature):
    """The gradient of the expected loss for relaxed masks, which needs E m and E m^2 alone."""
    first, _ = np.transpose(relaxed_moments(scores, temperature))
    step = 1e-4
    above, below = (relaxed_moments(scores + d, temperature) for d in (step, -step))
    d_first, d_second = np.transpose((above - below) / (2 * step))
    others = first @ CONTRIBUTIONS - first * CONTRIBUTIONS
    return CONTRIBUTIONS**2 * d_second + 2 * CONTRIBUTIONS * d_first * (others - LABEL)


def straight_through_gradient(scores, temperature):
    """The mean straight-through gradient, c_i times that of the squared error, in closed form."""
    first, _ = np.transpose(relaxed_moments(scores, temperature))
    return 2 * CONTRIBUTIONS * (first @ CONTRIBUTIONS - LABEL)


def sampled_gradients(temperature, draws, seed, **arguments):
    """Gradients of many independent draws of the mask, shape (draws, 4)."""
    scores = tf.constant(np.tile(SCORES, draws), tf.float32)
    weights = [tf.constant(np.tile(CONTRIBUTIONS, (draws, 1)), tf.float32)]
    groups = Groups([Grid((draws, 4), (1, 1))])
    with tf.GradientTape() as tape:
        tape.watch(scores)
        (masked,) = noisy_product(
            scores,
            weights,
            groups,
            seed=tf.constant([seed, 1]),
            temperature=tf.constant(temperature),
            settled=tf.constant(False),
            **arguments,
        )
        loss = tf.reduce_sum((tf.reduce_sum(masked, -1) - LABEL) ** 2)
    return tape.gradient(loss, scores).numpy().reshape(draws, 4).astype(np.float64)


def hard_masks(scores, **arguments):
    return noisy_product(
        scores,
        [tf.ones_like(scores)],
        Groups([Grid(tuple(scores.shape), (1,))]),
        seed=tf.constant([3, 1]),
        temperature=tf.constant(0.5),
        settled=tf.constant(False),
        hard=True,
        **arguments,
    )


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_sampled_gradient_is_that_of_the_relaxed_loss(temperature):
    draws = 200_000
    samples = sampled_gradients(temperature, draws, seed=7, score_gradient="pathwise")
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
def test_straight_through_gradient_is_the_mean_slope_times_that_of_the_mask(hard):
    draws, temperature = 200_000, 0.05
    straight = {"score_gradient": "straight_through", "hard": hard}
    samples = sampled_gradients(temperature, draws, seed=8, **straight)
    error = samples.std(0) / np.sqrt(draws)
    if hard:  # exactly Bernoulli
        expected = 2 * CONTRIBUTIONS * (SCORES @ CONTRIBUTIONS - LABEL)
    else:
        expected = straight_through_gradient(SCORES, temperature)
    z = (samples.mean(0) - expected) / error
    assert np.all(np.abs(z) < 5), z
    # Its bias is the curvature in each mask alone, c_i^2 (1 - 2 s_i) with binary masks, and the
    # noise at this temperature a fraction of the pathwise gradient's.
    if hard:
        bias = samples.mean(0) - enumerated_gradient(SCORES)
        np.testing.assert_allclose(bias, CONTRIBUTIONS**2 * (2 * SCORES - 1), atol=5 * error.max())
    pathwise = sampled_gradients(temperature, draws, seed=8, score_gradient="pathwise", hard=hard)
    assert np.all(samples.std(0) < 0.5 * pathwise.std(0))


def test_reinmax_gradient_is_that_of_the_expected_loss():
    # The loss is quadratic in each mask by itself, where ReinMax has no bias.
    draws = 200_000
    samples = sampled_gradients(0.05, draws, seed=9, hard=True)
    error = samples.std(0) / np.sqrt(draws)
    exact = enumerated_gradient(SCORES)
    z = (samples.mean(0) - exact) / error
    assert np.all(np.abs(z) < 5), z
    # The bias of straight-through would show: it is 5 errors or more where s is not 1/2.
    bias = np.abs(CONTRIBUTIONS**2 * (2 * SCORES - 1))
    assert np.all((bias > 5 * error)[SCORES != 0.5]), bias / error


def test_reinmax_slope_is_bounded_and_a_score_of_0_can_return():
    scores = tf.constant([0.0] * 100 + [1.0] * 100 + [0.99] * 2000)
    for score_gradient, at_0, at_1, rare in (
        ("reinmax", 0.5, 0.5, 5),
        ("straight_through", 1, 1, 1),
    ):
        with tf.GradientTape() as tape:
            tape.watch(scores)
            (mask,) = hard_masks(scores, score_gradient=score_gradient)
        slopes, mask = tape.gradient(mask, scores).numpy(), mask.numpy()
        np.testing.assert_array_equal(mask[:200], np.repeat([0.0, 1.0], 100))
        np.testing.assert_array_equal(slopes[:100], at_0)
        np.testing.assert_array_equal(slopes[100:200], at_1)
        assert 5 < np.sum(mask[200:] == 0) < 50
        np.testing.assert_allclose(slopes[200:][mask[200:] == 0], rare, rtol=1e-6)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("score_gradient", list(SLOPES))
@pytest.mark.parametrize("settled", [False, True])
def test_fused_product_equals_mask_times_weight(hard, score_gradient, settled):
    rng = np.random.default_rng(0)
    weights = [tf.constant(rng.normal(size=shape), tf.float32) for shape in [(5, 3), (4,)]]
    groups = Groups([Grid((5, 3), (2, 3)), Grid((4,), (1,))])
    scores = tf.constant([0, 1, 1, 0, 1, 0, 1] if settled else rng.uniform(0.1, 0.9, 7), tf.float32)
    upstream = [tf.constant(rng.normal(size=w.shape), tf.float32) for w in weights]
    results = []
    for jit_compile in (True, False):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([scores, *weights])
            masked = noisy_product(
                scores,
                weights,
                groups,
                seed=tf.constant([1, 2]),
                temperature=tf.constant(0.5),
                settled=tf.constant(settled),
                hard=hard,
                score_gradient=score_gradient,
                jit_compile=jit_compile,
            )
        mask = [value / weight for value, weight in zip(masked, weights, strict=True)]
        if settled:
            expected = groups.multiply(scores, weights)
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
            s = scores.numpy()
            m = np.concatenate([blocks[[0, 2, 4], 0], mask[1].numpy()])
            if score_gradient == "reinmax":
                probability = np.maximum(np.where(m >= 0.5, s, 1 - s), 0.1)
                np.testing.assert_allclose(to_scores, 0.5 * to_mask / probability, rtol=1e-5)
            elif score_gradient == "straight_through":
                np.testing.assert_allclose(to_scores, to_mask, rtol=1e-5, atol=1e-6)
            elif not hard:
                slope = m * (1 - m) / (0.5 * s * (1 - s))
                np.testing.assert_allclose(to_scores, to_mask * slope, rtol=2e-3, atol=1e-5)
            assert np.all(np.sign(to_scores) == np.sign(to_mask))
        else:
            assert not np.any(to_scores)
        results.append(to_scores)
