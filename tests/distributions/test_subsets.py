"""The distributions of subsets against enumeration, of subsets and of orders."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests import reference
from tfgumbel.distributions import ConditionalBernoulli, OrderedSubset, PlackettLuceSubset

LAWS = {
    ConditionalBernoulli: reference.conditional_bernoulli,
    PlackettLuceSubset: reference.plackett_luce,
}
SIZES = [(5, 1), (5, 2), (6, 4), (4, 4)]
every_law = pytest.mark.parametrize("kind", LAWS, ids=lambda kind: kind.__name__)


def logits_of(size, scale=2.0):
    return scale * np.random.default_rng(size).normal(size=size)


@every_law
@pytest.mark.parametrize(("size", "k"), SIZES)
def test_probabilities_and_means_are_those_of_enumeration(kind, size, k):
    logits = logits_of(size)
    vectors, probs = reference.subsets(size, k), LAWS[kind](logits, k)
    distribution = kind(tf.constant(logits), k)
    np.testing.assert_allclose(distribution.prob(vectors), probs, rtol=1e-9)
    np.testing.assert_allclose(distribution.mean(), probs @ vectors, rtol=1e-9)
    mean = probs @ vectors
    np.testing.assert_allclose(distribution.variance(), mean * (1 - mean), atol=1e-12)
    np.testing.assert_allclose(distribution.prob(distribution.mode()), probs.max(), rtol=1e-9)
    single = kind(tf.constant(logits, tf.float32), k)
    np.testing.assert_allclose(single.prob(vectors), probs, rtol=1e-5)
    np.testing.assert_allclose(single.mean(), probs @ vectors, rtol=1e-5)


@pytest.mark.parametrize(("size", "k"), SIZES)
def test_the_entropy_is_the_expected_log_probability(size, k):
    logits = logits_of(size)
    probs = reference.conditional_bernoulli(logits, k)
    entropy = ConditionalBernoulli(tf.constant(logits), k).entropy()
    np.testing.assert_allclose(entropy, -np.sum(probs * np.log(probs)), atol=1e-12)


@pytest.mark.parametrize(("size", "k"), SIZES)
def test_orders_have_the_probability_of_drawing_one_after_the_other(size, k):
    logits = logits_of(size)
    orders = np.array(list(itertools.permutations(range(size), k)), np.int32)
    expected = []
    for order in orders:
        left, product = np.exp(logits), 1.0
        for index in order:
            product *= left[index] / left.sum()
            left[index] = 0.0
        expected.append(product)
    ordered = OrderedSubset(tf.constant(logits), k)
    np.testing.assert_allclose(ordered.prob(orders), expected, rtol=1e-12)
    assert sum(expected) == pytest.approx(1.0)
    if k > 1:
        assert ordered.prob(np.zeros(k, np.int32)) == 0.0


def test_ordered_draws_have_their_frequencies():
    count, logits = 40_000, np.array([1.0, -0.5, 0.3, 0.0])
    ordered = OrderedSubset(tf.constant(logits, tf.float32), 2)
    drawn = ordered.sample(count, seed=(1, 2)).numpy()
    assert drawn.shape == (count, 2)
    orders = np.array(list(itertools.permutations(range(4), 2)), np.int32)
    hits = np.array([np.all(drawn == order, axis=1).mean() for order in orders])
    expected = ordered.prob(orders).numpy()
    assert np.all(np.abs(hits - expected) < 5 * np.sqrt(expected * (1 - expected) / count))


@every_law
def test_draws_have_the_mean_and_batch_shapes(kind):
    count = 40_000
    logits = tf.constant(np.stack([logits_of(5), -logits_of(5)])[:, np.newaxis], tf.float32)
    distribution = kind(logits, 3)
    assert distribution.batch_shape == [2, 1] and distribution.event_shape == [5]
    drawn = distribution.sample(count, seed=(3, 4)).numpy()
    assert drawn.shape == (count, 2, 1, 5) and np.all(drawn.sum(-1) == 3)
    mean = distribution.mean().numpy()
    error = np.sqrt(mean * (1 - mean) / count)
    assert np.all(np.abs(drawn.mean(0) - mean) < 5 * error)
    assert distribution.log_prob(drawn).shape == (count, 2, 1)
    assert distribution[0].batch_shape == [1]


@every_law
def test_what_is_no_subset_is_impossible_and_masks_are_kept(kind):
    distribution = kind(tf.constant([0.0, 1.0, -np.inf, 2.0], tf.float64), 2)
    wrong = [[1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0]]
    assert np.all(np.isneginf(distribution.log_prob(np.array(wrong))))
    assert distribution.mean().numpy()[2] == 0.0
    np.testing.assert_allclose(tf.reduce_sum(distribution.mean()), 2.0)
    only = kind(tf.constant([0.0, 1e4, -np.inf], tf.float32), 2)
    assert only.log_prob([1.0, 1.0, 0.0]) == 0.0
    np.testing.assert_allclose(only.mean(), [1.0, 1.0, 0.0], atol=1e-6)


@pytest.mark.parametrize("kind", [*LAWS, OrderedSubset], ids=lambda kind: kind.__name__)
def test_the_score_is_the_derivative_of_the_log_probability(kind):
    logits = tf.constant(logits_of(5))
    value = np.array([3, 0], np.int32) if kind is OrderedSubset else np.array([1.0, 0, 0, 1.0, 0])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        log_prob = kind(logits, 2).log_prob(value)
    got = tape.gradient(log_prob, logits).numpy()
    step = 1e-5 * np.eye(5)
    differences = (
        kind(logits + step, 2).log_prob(value) - kind(logits - step, 2).log_prob(value)
    ) / 2e-5
    np.testing.assert_allclose(got, differences, rtol=1e-6, atol=1e-9)
