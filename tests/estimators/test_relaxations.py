"""Relaxed samples against TFP's densities, and the Concrete distribution's properties."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import tfgumbel
from tests import reference
from tfgumbel.distributions import OneHotCategorical, RelaxedBernoulli, RelaxedOneHotCategorical

ROWS = 100_000
LOGITS = np.array([0.8, -0.6, 0.1])


def draw(name: str, logits: np.ndarray, temperature: float, seed: int = 0) -> np.ndarray:
    batch = tf.constant(np.broadcast_to(logits, (ROWS, *np.shape(logits))), tf.float64)
    estimator = tfgumbel.registry.get(name)
    return estimator(batch, temperature=temperature, seed=seed).numpy()


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_rounding_probabilities_are_the_softmax_at_every_temperature(temperature: float) -> None:
    sample = draw("gumbel_softmax", LOGITS, temperature)
    hits = np.bincount(sample.argmax(-1), minlength=3) / ROWS
    expected = reference.softmax(LOGITS)
    # A probability of 1/2 is known to .0016: 2% is six standard errors.
    assert np.all(np.abs(hits - expected) < 5 * np.sqrt(expected * (1 - expected) / ROWS))


@pytest.mark.parametrize("name", ["gumbel_max", "gumbel_softmax"])
def test_large_logits_do_not_swallow_the_noise(name: str) -> None:
    # Near 2^23 a float32 step is 1: noise added there would be whole numbers, with many ties.
    logits = np.float32(2**23) + np.array([0.0, 1.0, 2.0], np.float32)
    batch = tf.constant(np.broadcast_to(logits, (ROWS, 3)))
    sample = tfgumbel.registry.get(name)(batch, temperature=1.0, seed=0).numpy()
    expected = reference.softmax(np.arange(3.0))
    hits = np.bincount(sample.argmax(-1), minlength=3) / ROWS
    assert np.all(np.abs(hits - expected) < 5 * np.sqrt(expected * (1 - expected) / ROWS))


def test_zero_temperature_limit_is_the_categorical() -> None:
    cold = draw("gumbel_softmax", LOGITS, 1e-3)
    hard = draw("gumbel_max", LOGITS, 1.0)
    # The gap of the two largest perturbed logits is below 20 * 1e-3 with probability < 1%.
    assert (np.abs(cold - hard).max(-1) < 1e-8).mean() > 0.98
    np.testing.assert_array_equal(cold.argmax(-1), hard.argmax(-1))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_samples_have_the_density_of_tfp(temperature: float) -> None:
    """E[1(S in A) / density(S)] is the area of A, for five triangles inside the simplex."""
    sample = draw("gumbel_softmax", LOGITS, temperature, seed=3)
    law = RelaxedOneHotCategorical(temperature, logits=tf.constant(LOGITS))
    weight = np.exp(-law.log_prob(sample).numpy())
    for corner in ([0.1, 0.1], [0.5, 0.1], [0.1, 0.5], [0.3, 0.3], [0.2, 0.2]):
        # x_0 >= a, x_1 >= b, x_0 + x_1 <= .9: the triangle of side .9 - a - b.
        inside = (sample[:, 0] >= corner[0]) & (sample[:, 1] >= corner[1]) & (sample[:, 2] >= 0.1)
        value = inside * weight
        area = (0.9 - sum(corner)) ** 2 / 2
        error = value.std() / np.sqrt(ROWS)
        assert error < 0.04 * area
        assert abs(value.mean() - area) < 5 * error


@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
def test_binary_concrete_has_the_distribution_of_tfp_and_of_two_classes(temperature: float) -> None:
    binary = draw("binary_concrete", np.array(0.7), temperature)
    pair = draw("gumbel_softmax", np.array([0.0, 0.7]), temperature, seed=1)[:, 1]
    law = RelaxedBernoulli(
        tf.constant(temperature, tf.float64), logits=tf.constant(0.7, tf.float64)
    )
    for sample in (binary, pair):
        # 100,000 draws see a distance of .007 between the distribution functions.
        interior = sample[(sample > 1e-12) & (sample < 1 - 1e-12)]
        assert len(interior) > 0.9 * ROWS
        assert stats.kstest(interior, lambda x: law.cdf(x).numpy()).pvalue > 1e-5


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_density_is_log_convex_up_to_the_bound(num_classes: int) -> None:
    rng = np.random.default_rng(num_classes)
    logits = rng.normal(size=num_classes)

    def gap(temperature: float) -> np.ndarray:
        """log p at midpoints minus the mean of log p at the ends: <= 0 where log-convex."""
        ends = rng.dirichlet(np.ones(num_classes), size=(2, 4000))
        law = RelaxedOneHotCategorical(temperature, logits=tf.constant(logits))
        left, right, middle = (
            law.log_prob(x).numpy() for x in (ends[0], ends[1], ends.mean(axis=0))
        )
        return middle - (left + right) / 2

    assert np.all(gap(1 / (num_classes - 1)) < 1e-9)
    assert np.any(gap(2.0 if num_classes == 2 else 1.0) > 1e-3)


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_hard_samples_have_the_probabilities_of_tfp(shape: tuple[int, ...]) -> None:
    logits = np.random.default_rng(0).normal(size=shape)
    sample = draw("gumbel_max", logits, 1.0, seed=2)
    law = OneHotCategorical(logits=tf.constant(logits))
    expected = law.probs_parameter().numpy()
    error = np.sqrt(expected * (1 - expected) / ROWS)
    assert np.all(np.abs(sample.mean(0) - expected) < 5 * error)
    # Log-likelihood of the draws against its entropy: what independence across axes predicts.
    likelihood = law.log_prob(sample).numpy().reshape(ROWS, -1).sum(-1)
    entropy = -float(tf.reduce_sum(law.entropy()))
    assert abs(likelihood.mean() - entropy) < 5 * likelihood.std() / np.sqrt(ROWS)
