"""Subsets: marginals and gradients against enumeration, extremes, large numbers of classes."""

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from tests import reference
from tfgumbel.numerics import conditional_bernoulli, top_k
from tfgumbel.numerics.successive_softmax import relaxed_top_k

INF = float("inf")


def moments(logits, k):
    """The marginals and the covariance of the conditional Bernoulli, by enumeration."""
    vectors = reference.subsets(len(logits), k)
    probs = reference.conditional_bernoulli(np.asarray(logits), k)
    mean = probs @ vectors
    return mean, (vectors.T * probs) @ vectors - np.outer(mean, mean)


def gradient(function, logits, upstream):
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = function(logits)
        loss = tf.reduce_sum(value * tf.cast(upstream, value.dtype))
    return value, tape.gradient(loss, logits)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-6)])
def test_simple_gradients_are_the_covariance_of_the_sample(dtype, tolerance):
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 5, 9):
        for k in range(1, size + 1):
            scales = np.array([1.0, 6.0, 100.0, 1e4])[:, np.newaxis]
            logits = tf.constant(rng.normal(size=(4, size)) * scales, dtype)
            upstream = rng.normal(size=(4, size))
            _, got = gradient(lambda x, k=k: tfgumbel.simple_subset(x, k, seed=0), logits, upstream)
            for row, vector, product in zip(logits.numpy(), upstream, got.numpy(), strict=True):
                expected = moments(row.astype(np.float64), k)[1] @ vector
                np.testing.assert_allclose(product, expected, rtol=0, atol=tolerance)


def test_marginals_and_the_normalizer_and_their_derivatives_by_enumeration():
    rng = np.random.default_rng(1)
    for size, k in ((4, 2), (7, 5), (6, 6), (6, 1)):
        logits = tf.constant(3 * rng.normal(size=(1, size)), tf.float64)
        vector = tf.constant(rng.normal(size=(1, size)))
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(logits)
            with tf.GradientTape() as inner:
                inner.watch(logits)
                normalizer = conditional_bernoulli.log_normalizer(logits, k)
            first = inner.gradient(normalizer, logits)
            product = tf.reduce_sum(first * vector)
        mean, covariance = moments(logits.numpy()[0], k)
        sums = reference.subsets(size, k) @ logits.numpy()[0]
        np.testing.assert_allclose(normalizer[0], np.log(np.exp(sums).sum()), rtol=1e-13)
        np.testing.assert_allclose(first[0], mean, rtol=1e-12)
        np.testing.assert_allclose(
            outer.gradient(product, logits)[0], covariance @ vector.numpy()[0], atol=1e-13
        )


def test_small_probabilities_keep_their_digits():
    logits = np.array([0.0, -1.0, -30.0, -35.0, -60.0])
    rows = tf.constant(logits[np.newaxis], tf.float32)
    mean = conditional_bernoulli.marginals(rows, 2).numpy()[0]
    np.testing.assert_allclose(mean, moments(logits, 2)[0], rtol=1e-5)


@pytest.mark.parametrize("mode", ["graph", "xla"])
@pytest.mark.parametrize(
    ("name", "law"),
    [
        ("simple_subset", reference.conditional_bernoulli),
        ("gumbel_top_k", reference.plackett_luce),
        ("straight_through_subset", reference.plackett_luce),
    ],
)
def test_every_subset_has_its_frequency(name, law, mode):
    # 60,000 draws: the most likely subset, of probability .3, is known to .6%; the two laws differ
    # by 100 standard errors.
    count, k = 60_000, 3
    logits = np.array([1.0, -0.5, 0.3, 2.0, -INF, -1.0])
    options = {"temperature": 0.5} if name.startswith("straight") else {}

    @tf.function(jit_compile=mode == "xla")
    def draw(seed):
        rows = tf.tile(tf.constant(logits[np.newaxis], tf.float32), [count, 1])
        return getattr(tfgumbel, name)(rows, k, seed=seed, **options)

    drawn = draw(tf.constant([3, 4])).numpy()
    vectors, expected = reference.subsets(6, k), law(logits, k)
    hits = (drawn @ vectors.T == k).mean(0)
    assert hits.sum() == pytest.approx(1.0)
    error = np.sqrt(expected * (1 - expected) / count)
    assert np.all(hits[expected == 0] == 0)
    assert np.all(np.abs(hits - expected)[expected > 0] < 5 * error[expected > 0])
    other = {reference.plackett_luce: reference.conditional_bernoulli}.get(
        law, reference.plackett_luce
    )
    assert np.max(np.abs(other(logits, k) - expected)[expected > 0] / error[expected > 0]) > 20


def test_simple_rows_and_draws_are_independent():
    count = 20_000
    drawn = tfgumbel.simple_subset(tf.zeros([count, 2, 4]), 2, seed=5).numpy()
    for first, second in ((drawn[:, 0], drawn[:, 1]), (drawn[1:, 0], drawn[:-1, 0])):
        product = np.einsum("ri,rj->ij", first - 0.5, second - 0.5) / count
        assert np.abs(product).max() < 5 * 0.25 / np.sqrt(count)


def test_one_class_of_a_subset_is_the_categorical_estimators():
    rng = np.random.default_rng(2)
    logits, upstream = (tf.constant(rng.normal(size=(50, 7))) for _ in range(2))
    _, simple = gradient(lambda x: tfgumbel.simple_subset(x, 1, seed=0), logits, upstream)
    _, through = gradient(lambda x: tfgumbel.straight_through(x, seed=0), logits, upstream)
    np.testing.assert_allclose(simple, through, atol=1e-14)
    for subset, one in (
        ("straight_through_subset", "straight_through_gumbel_softmax"),
        ("relaxed_subset", "gumbel_softmax"),
    ):
        got, expected = (
            gradient(function, logits, upstream)
            for function in (
                lambda x, name=subset: getattr(tfgumbel, name)(x, 1, temperature=0.6, seed=4),
                lambda x, name=one: getattr(tfgumbel, name)(x, temperature=0.6, seed=4),
            )
        )
        np.testing.assert_allclose(got[0], expected[0], rtol=1e-12)
        np.testing.assert_allclose(got[1], expected[1], rtol=1e-9, atol=1e-13)
    np.testing.assert_array_equal(
        tfgumbel.gumbel_top_k(logits, 1, seed=9), tfgumbel.gumbel_max(logits, seed=9)
    )


@pytest.mark.parametrize("name", ["simple_subset", "gumbel_top_k"])
def test_all_classes_are_the_only_subset(name):
    logits = tf.constant([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]])
    value, for_logits = gradient(
        lambda x: getattr(tfgumbel, name)(x, 3, seed=0), logits, [[1.0, 2.0, 3.0]]
    )
    np.testing.assert_array_equal(value, np.ones([2, 3]))
    assert for_logits is None or not np.any(for_logits)


def test_the_noise_near_the_threshold_is_not_swallowed_by_a_large_logit():
    # In float32 a step at 1e7 is 1, more than the noise that decides between the others.
    logits = tf.constant(np.tile([[1e7, 0.0, 0.5, -0.3]], (20_000, 1)), tf.float32)
    for name in ("gumbel_top_k", "simple_subset"):
        drawn = getattr(tfgumbel, name)(logits, 2, seed=1).numpy().mean(0)
        assert drawn[0] == 1.0
        expected = reference.softmax(np.array([0.0, 0.5, -0.3]))
        error = np.sqrt(expected * (1 - expected) / 20_000)
        assert np.all(np.abs(drawn[1:] - expected) < 5 * error), name


def unrolled(scores, temperature, k):
    total = 0.0
    for _ in range(k):
        softmax = tf.nn.softmax(scores / temperature)
        total += softmax
        scores += tf.math.log(1 - softmax)
    return total


@pytest.mark.parametrize("temperature", [0.2, 1.0, 3.0])
def test_successive_softmaxes_and_their_derivative_are_those_of_autodiff(temperature):
    rng = np.random.default_rng(3)
    for size, k in ((5, 3), (4, 4), (3, 1)):
        scores, upstream = (tf.constant(rng.normal(size=(6, size))) for _ in range(2))
        heat = tf.constant(temperature, tf.float64)
        results = []
        for function in (unrolled, relaxed_top_k):
            with tf.GradientTape() as tape:
                tape.watch([scores, heat])
                value = function(scores, heat, k)
                loss = tf.reduce_sum(value * upstream)
            results.append((value, *tape.gradient(loss, [scores, heat])))
        for got, expected in zip(*results, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-11)


def test_what_the_largest_score_leaves_is_not_lost_to_rounding():
    scores = tf.constant([[40.0, 0.0, 0.0]])
    relaxed = relaxed_top_k(scores, tf.constant(1.0), 2).numpy()
    # alpha_2 = (40 + log(2 exp(-40)), 0, 0) = (log 2, 0, 0)
    np.testing.assert_allclose(relaxed, [[1.5, 0.25, 0.25]], rtol=1e-5)


def test_straight_through_and_relaxed_subsets_share_noise_and_gradient():
    rng = np.random.default_rng(4)
    logits, upstream = (tf.constant(rng.normal(size=(9, 6))) for _ in range(2))
    options = {"temperature": 0.4, "seed": 8}
    hard = gradient(lambda x: tfgumbel.straight_through_subset(x, 3, **options), logits, upstream)
    soft = gradient(lambda x: tfgumbel.relaxed_subset(x, 3, **options), logits, upstream)
    np.testing.assert_array_equal(hard[0], tfgumbel.gumbel_top_k(logits, 3, seed=8))
    np.testing.assert_allclose(hard[1], soft[1], rtol=1e-12)
    cold = tfgumbel.relaxed_subset(logits, 3, temperature=1e-4, seed=8)
    np.testing.assert_allclose(cold, hard[0], atol=1e-6)


@pytest.mark.parametrize(
    ("classes", "k"), [(700, 45), pytest.param(10_000, 100, marks=pytest.mark.slow)]
)
def test_many_classes_agree_with_double_precision(classes, k):
    rng = np.random.default_rng(5)
    logits = 3 * rng.normal(size=(1, classes))
    logits[0, :7] = 1e4, 50.0, -INF, -1e4, 20.0, -INF, 30.0
    upstream = rng.normal(size=(1, classes))

    @tf.function
    def run(logits, upstream):
        return gradient(lambda x: tfgumbel.simple_subset(x, k, seed=0), logits, upstream)

    sample, single = run(*(tf.constant(x, tf.float32) for x in (logits, upstream)))
    _, double = run(*(tf.constant(x, tf.float64) for x in (logits, upstream)))
    assert sample.numpy().sum() == k and np.all(sample.numpy()[0, [2, 3, 5]] == 0)
    np.testing.assert_allclose(single, double, rtol=0, atol=2e-6)
    # Centering at the k-th largest is exact, so the covariance's rows sum to nothing.
    assert abs(np.sum(double)) < 1e-12


def test_wrong_sizes_are_refused():
    for k in (0, -1, 2.0, True, None):
        with pytest.raises(ValueError, match="`k` is invalid"):
            tfgumbel.gumbel_top_k([[0.0, 1.0]], k, seed=0)
    with pytest.raises(ValueError, match="(?s)larger than the number of classes.*from 1 to 2"):
        tfgumbel.simple_subset([[0.0, 1.0]], 3, seed=0)
    with pytest.raises(ValueError, match="(?s)too few classes.*k = 2.*a row with 1"):
        tfgumbel.simple_subset([[0.0, 1.0], [0.0, -INF]], 2, seed=0)
    with pytest.raises(ValueError, match="number of classes is unknown"):
        tf.function(lambda x: tfgumbel.gumbel_top_k(x, 2, seed=0)).get_concrete_function(
            tf.TensorSpec([3, None])
        )


def test_k_hot_vectors_have_ones_at_their_indices():
    indices = tf.constant([[[0, 3], [2, 1]], [[3, 1], [0, 1]]])
    hot = top_k.k_hot(indices, 5, tf.float32).numpy()
    assert hot.shape == (2, 2, 5) and hot.sum() == 8
    assert np.all(np.take_along_axis(hot, indices.numpy(), -1) == 1)
