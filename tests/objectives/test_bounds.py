"""Bounds on log p(x) against enumeration of every latent configuration, in float64."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfgumbel.objectives import (
    categorical_kl,
    elbo,
    importance_weighted_bound,
    multi_sample_bound,
)

VARIABLES, CLASSES, EXAMPLES = 3, 4, 5


class Toy:
    """A model with 64 configurations: an unnormalised likelihood table, a mismatched posterior."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.configurations = np.array(list(itertools.product(range(CLASSES), repeat=VARIABLES)))
        self.log_likelihood = 1.5 * rng.standard_normal((EXAMPLES, len(self.configurations))) - 9.0
        self.logits = rng.standard_normal((EXAMPLES, VARIABLES, CLASSES))
        log_q = np.asarray(tf.nn.log_softmax(self.logits))
        self.log_q = sum(log_q[:, v, self.configurations[:, v]] for v in range(VARIABLES))
        self.log_prior = -VARIABLES * np.log(CLASSES)
        self.log_w = self.log_likelihood + self.log_prior - self.log_q
        self.log_evidence = np.logaddexp.reduce(self.log_likelihood + self.log_prior, axis=1)

    def log_weights(self, x, num_samples, seed):
        """`x` holds the examples' numbers."""
        flat = tf.gather(tf.constant(self.log_q), x)
        drawn = tf.random.stateless_categorical(flat, num_samples, seed)
        return tf.transpose(tf.gather(tf.gather(tf.constant(self.log_w), x), drawn, batch_dims=1))


def test_elbo_in_expectation_is_the_enumerated_one():
    """E_q[log p(x | D)] - KL = E_q[log w], so elbo averaged over all D with weights q is exact."""
    toy = Toy()
    kl = categorical_kl(toy.logits)
    values = np.stack([elbo(column, kl) for column in toy.log_likelihood.T], axis=1)
    probs = np.exp(toy.log_q)
    np.testing.assert_allclose((probs * values).sum(1), (probs * toy.log_w).sum(1), rtol=1e-12)
    assert np.all((probs * values).sum(1) < toy.log_evidence)


def test_elbo_weights_and_sums_the_divergence():
    kl = tf.reshape(tf.range(12.0), [2, 3, 2])
    np.testing.assert_allclose(elbo(tf.zeros([2]), kl, kl_weight=0.5), [-7.5, -25.5])
    np.testing.assert_allclose(elbo(tf.ones([2, 3]), tf.ones([2, 3])), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="average"):
        elbo(tf.zeros([2]), tf.constant(1.0))


def test_elbo_gradient_reaches_both_arguments_through_add_loss():
    import keras

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            logits = tf.reshape(self.dense(x), [-1, 2, 2])
            log_likelihood = tf.reduce_sum(tf.nn.softmax(logits)[..., 0], axis=-1)
            self.add_loss(-tf.reduce_mean(elbo(log_likelihood, categorical_kl(logits))))
            return log_likelihood

    model = Model()
    model.compile("adam")
    losses = model.fit(tf.ones([8, 3]), epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_multi_sample_bound_is_the_log_of_the_mean():
    log_weights = np.random.default_rng(0).standard_normal((6, 4)) - 500.0
    expected = np.log(np.exp(log_weights + 500.0).mean(axis=0)) - 500.0
    np.testing.assert_allclose(multi_sample_bound(log_weights), expected, rtol=1e-14)
    np.testing.assert_allclose(multi_sample_bound(log_weights.T, axis=1), expected, rtol=1e-14)


def test_multi_sample_gradient_is_the_normalised_weights():
    log_weights = tf.constant(np.random.default_rng(0).standard_normal((6, 4)))
    with tf.GradientTape() as tape:
        tape.watch(log_weights)
        bound = multi_sample_bound(log_weights)
    gradient = tape.gradient(bound, log_weights)
    np.testing.assert_allclose(gradient, tf.nn.softmax(log_weights, axis=0), rtol=1e-12)


@pytest.mark.parametrize("num_samples", [1, 2])
def test_bound_has_the_enumerated_expectation(num_samples):
    """The mean over 4,000 repetitions sits within 5 standard errors of the sum over all draws.

    A standard error is about 0.02 nats; the gap from one m to the next is 10 of them and more.
    """
    toy = Toy()
    repetitions = 4_000
    x = np.tile(np.arange(EXAMPLES), repetitions)
    bounds = importance_weighted_bound(
        toy.log_weights, x, num_samples=num_samples, seed=num_samples, batch_size=len(x)
    ).reshape(repetitions, EXAMPLES)
    probs = np.exp(toy.log_q)
    if num_samples == 1:
        expected = (probs * toy.log_w).sum(axis=1)
    else:
        pairs = np.logaddexp(toy.log_w[:, :, None], toy.log_w[:, None, :]) - np.log(2.0)
        expected = np.einsum("ea,eb,eab->e", probs, probs, pairs)
    z = (bounds.mean(0) - expected) / (bounds.std(0, ddof=1) / np.sqrt(repetitions))
    assert np.abs(z).max() < 5.0


def test_bound_grows_with_m_and_converges_to_the_evidence():
    toy = Toy()
    repetitions = 500
    x = np.tile(np.arange(EXAMPLES), repetitions)
    means = []
    for num_samples in (1, 4, 16, 64):
        bounds = importance_weighted_bound(
            toy.log_weights, x, num_samples=num_samples, seed=num_samples, batch_size=len(x)
        )
        means.append(bounds.reshape(repetitions, EXAMPLES).mean(axis=0))
    assert np.all(np.diff(means, axis=0) > 0.0)
    assert np.all(means[-1] < toy.log_evidence)
    many = importance_weighted_bound(
        toy.log_weights, np.arange(EXAMPLES), num_samples=50_000, seed=7
    )
    spread = np.sqrt((np.exp(2 * toy.log_w + toy.log_q)).sum(1) / np.exp(2 * toy.log_evidence) - 1)
    z = (many - toy.log_evidence) / (spread / np.sqrt(50_000))
    assert np.abs(z).max() < 5.0


def test_streaming_equals_one_sum_over_the_same_draws():
    calls = []

    def log_weights(x, num_samples, seed):
        weights = tf.random.stateless_normal([num_samples, len(x)], seed, dtype=tf.float64) - 900.0
        calls.append(weights.numpy())
        return weights

    bounds = importance_weighted_bound(
        log_weights, tf.zeros([7, 2]), num_samples=23, seed=3, batch_size=4, samples_per_call=5
    )
    assert [call.shape for call in calls] == [(5, 4)] * 4 + [(3, 4)] + [(5, 3)] * 4 + [(3, 3)]
    assert len({float(call[0, 0]) for call in calls}) == 10, "a call repeated another's noise"
    columns = [np.concatenate(calls[start : start + 5]) for start in (0, 5)]
    expected = np.concatenate([np.log(np.exp(c + 900.0).mean(axis=0)) - 900.0 for c in columns])
    np.testing.assert_allclose(bounds, expected, rtol=1e-13)


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="num_samples"):
        importance_weighted_bound(lambda x, m, s: x, tf.zeros([3]), num_samples=0, seed=0)
    with pytest.raises(ValueError, match="no example"):
        importance_weighted_bound(lambda x, m, s: x, tf.zeros([0]), num_samples=1, seed=0)
