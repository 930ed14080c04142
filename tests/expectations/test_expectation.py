"""Values and gradients of expectations against sums over every outcome, and closed forms."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from tests.reference import softmax
from tfgumbel.estimators import REGISTRY

LOGITS = np.array([[0.3, -0.5, 0.9], [1.0, 0.0, -0.7]])
WEIGHTS = np.array([[1.0, -2.0, 0.5], [0.3, 1.5, -1.0]])


def interaction(sample):
    """A function of two variables together, not linear in either: (num, 2, 3) -> (num,)."""
    scores = tf.reduce_sum(sample * tf.constant(WEIGHTS, sample.dtype), -1)
    return (scores[..., 0] + 2.0) * (scores[..., 1] - 0.4) ** 2


def enumerated(logits):
    """E of `interaction`, by itertools, in NumPy."""
    probs = softmax(logits)
    return sum(
        probs[0, i] * probs[1, j] * (WEIGHTS[0, i] + 2.0) * (WEIGHTS[1, j] - 0.4) ** 2
        for i, j in itertools.product(range(3), repeat=2)
    )


def derivative(function, logits, step=1e-5):
    """Central differences."""
    gradient = np.zeros_like(logits)
    for index in np.ndindex(logits.shape):
        shift = np.zeros_like(logits)
        shift[index] = step
        gradient[index] = (function(logits + shift) - function(logits - shift)) / (2 * step)
    return gradient


def draws(logits, num_draws, **arguments):
    """Values and gradients of many independent single-sample expectations of `interaction`."""
    repeated = tf.tile(tf.constant(logits, tf.float64)[tf.newaxis], [num_draws, 1, 1])
    with tf.GradientTape() as tape:
        tape.watch(repeated)
        value = tfgumbel.expectation(interaction, repeated, **arguments)
    return value.numpy(), tape.gradient(value, repeated).numpy()


def z_scores(samples, truth):
    """(mean - truth) in standard errors, entry by entry."""
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    return (samples.mean(axis=0) - truth) / error


@pytest.mark.parametrize("name", ["reinforce", "reinforce_baseline"])
def test_reinforce_is_unbiased(name):
    # 200,000 draws see a bias of 5 standard errors, 2% of the gradient's norm.
    baseline = tfgumbel.RunningMean()
    baseline.update(2.5)
    options = {"baseline": baseline} if name == "reinforce_baseline" else {}
    value, gradient = draws(LOGITS, 200_000, estimator=name, seed=1, **options)
    truth = derivative(enumerated, LOGITS)
    assert abs(z_scores(value, enumerated(LOGITS))) < 5
    assert np.abs(z_scores(gradient, truth)).max() < 5
    total_error = np.sqrt(gradient.var(0).sum() / len(gradient))
    assert 5 * total_error < 0.1 * np.linalg.norm(truth)


def test_a_baseline_near_the_mean_saves_variance():
    mean = enumerated(LOGITS)
    _, plain = draws(LOGITS, 20_000, estimator="reinforce", seed=1)
    _, centered = draws(LOGITS, 20_000, estimator="reinforce_baseline", baseline=mean, seed=1)
    assert centered.var(0).sum() < 0.8 * plain.var(0).sum()


def test_a_call_reads_the_baseline_before_it_updates_it():
    baseline = tfgumbel.RunningMean(decay=0.5)
    logits = tf.Variable([0.0, 0.0])
    for number in (3.0, 5.0):
        before = float(baseline.value)
        with tf.GradientTape() as tape:
            value = tfgumbel.expectation(
                lambda d, number=number: number + 0.0 * d[..., 0],
                logits,
                estimator="reinforce_baseline",
                baseline=baseline,
                seed=0,
            )
        gradient = tape.gradient(value, logits).numpy()
        # (f - b) (D - p), and D - p = +-1/2.
        np.testing.assert_allclose(np.abs(gradient), (number - before) / 2, rtol=1e-6)
    np.testing.assert_allclose(float(baseline.value), (0.25 * 3.0 + 0.5 * 5.0) / 0.75, rtol=1e-6)


def test_a_running_mean_of_shape_keeps_the_last_axes():
    baseline = tfgumbel.RunningMean(decay=0.9, shape=(2,))
    baseline.update(tf.constant([[1.0, 10.0], [3.0, 30.0]]))
    np.testing.assert_allclose(baseline.value, [2.0, 20.0], rtol=1e-6)


def test_a_running_mean_is_checkpointed_and_compiled(tmp_path):
    baseline = tfgumbel.RunningMean()

    @tf.function(jit_compile=True)
    def step(seed):
        return tfgumbel.expectation(
            lambda d: 4.0 * d[..., 0] ** 0,
            tf.constant([0.0, 1.0]),
            estimator="reinforce_baseline",
            baseline=baseline,
            seed=seed,
        )

    step(tf.constant([0, 1]))
    step(tf.constant([0, 2]))
    np.testing.assert_allclose(float(baseline.value), 4.0, rtol=1e-6)
    path = tf.train.Checkpoint(baseline=baseline).write(str(tmp_path / "state"))
    restored = tfgumbel.RunningMean()
    tf.train.Checkpoint(baseline=restored).read(path).assert_consumed()
    np.testing.assert_allclose(float(restored.value), 4.0, rtol=1e-6)


def test_a_running_mean_is_kept_by_each_replica(strategy):
    with strategy.scope():
        baseline = tfgumbel.RunningMean()

    @tf.function
    def update():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        baseline.update(tf.cast(replica, tf.float32))
        return baseline.value

    values = strategy.experimental_local_results(strategy.run(update))
    assert [float(value) for value in values] == [0.0, 1.0]


def test_straight_through_is_exact_where_f_is_linear():
    cost = tf.constant([1.0, -2.0, 0.5], tf.float64)
    logits = tf.Variable(LOGITS[0])
    with tf.GradientTape() as tape:
        value = tfgumbel.expectation(
            lambda d: tf.linalg.matvec(d, cost), logits, estimator="straight_through", seed=3
        )
    probs = softmax(LOGITS[0])
    expected = probs * (cost.numpy() - probs @ cost.numpy())
    np.testing.assert_allclose(tape.gradient(value, logits), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "name", ["reinforce", *(name for name, entry in REGISTRY.items() if entry.differentiable)]
)
def test_what_f_closes_over_gets_the_mean_sample(name):
    event = REGISTRY[name].event if name in REGISTRY else "categorical"
    weight = tf.Variable([1.0, 2.0, 3.0])
    logits = tf.constant([0.5, 0.0, -0.5])
    seen = []

    def total(sample):
        seen.append(sample)
        return tf.linalg.matvec(sample, weight) if event == "categorical" else sample * weight

    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = tfgumbel.expectation(
            total,
            logits,
            estimator=name,
            seed=5,
            num_samples=7,
            temperature=0.5 if name in REGISTRY and REGISTRY[name].takes_temperature else None,
        )
    for_weight, for_logits = tape.gradient(value, [weight, logits])
    assert seen[0].shape == (7, 3)
    np.testing.assert_allclose(for_weight, tf.reduce_mean(seen[0], 0), rtol=1e-5)
    assert np.all(np.isfinite(for_logits)) and np.any(for_logits != 0)


def test_masked_classes_are_never_drawn_and_get_no_gradient():
    logits = tf.constant([0.0, -np.inf, 1e4, 1e4])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = tfgumbel.expectation(
            lambda d: tf.linalg.matvec(d, [100.0, 100.0, 1.0, 3.0]),
            logits,
            estimator="reinforce",
            seed=0,
            num_samples=1000,
        )
    gradient = tape.gradient(value, logits).numpy()
    assert 1.5 < value < 2.5
    assert gradient[0] == gradient[1] == 0.0
    assert np.all(np.isfinite(gradient)) and gradient[2] * gradient[3] != 0


def test_bernoulli_variables():
    logits = np.array([0.8, -0.4])
    repeated = tf.tile(tf.constant(logits)[tf.newaxis], [100_000, 1])
    with tf.GradientTape() as tape:
        tape.watch(repeated)
        value = tfgumbel.expectation(
            lambda d: (1.0 + d[..., 0]) * (2.0 - 3.0 * d[..., 1]) ** 2,
            repeated,
            estimator="reinforce",
            event="bernoulli",
            seed=2,
        )

    def truth(logits):
        p, q = 1 / (1 + np.exp(-logits))
        return (1 + p) * (q * 1.0 + (1 - q) * 4.0)

    assert abs(z_scores(value.numpy(), truth(logits))) < 5
    gradient = tape.gradient(value, repeated).numpy()
    assert np.abs(z_scores(gradient, derivative(truth, logits))).max() < 5


def test_unknown_batch_in_a_graph():
    @tf.function(input_signature=[tf.TensorSpec([None, 2, 3], tf.float32)])
    def values(logits):
        return tfgumbel.expectation(
            interaction, logits, estimator="reinforce", seed=0, num_samples=4
        )

    assert values(tf.zeros([5, 2, 3])).shape == (5,)


@pytest.mark.parametrize(
    ("f", "arguments", "message"),
    [
        (interaction, {"estimator": "reinforced"}, "reinforce_baseline"),
        (interaction, {"estimator": "reinforce_baseline"}, "RunningMean"),
        (interaction, {"estimator": "reinforce", "num_samples": 0}, "num_samples"),
        (tf.reduce_sum, {"estimator": "reinforce"}, "first axis"),
        (tf.reduce_sum, {"estimator": "gumbel_rao", "temperature": 0.5}, "first axis"),
        (lambda d: d, {"estimator": "reinforce"}, "wrong shape"),
        (interaction, {"estimator": "reinforce", "event": "poisson"}, "bernoulli"),
    ],
)
def test_errors_say_what_to_do(f, arguments, message):
    with pytest.raises(ValueError, match=message):
        tfgumbel.expectation(f, tf.zeros([2, 3]), seed=0, **arguments)


def test_a_running_mean_refuses_a_decay_of_one():
    with pytest.raises(ValueError, match="decay"):
        tfgumbel.RunningMean(decay=1.0)
