"""Moving statistics are those of the fixed mask, whatever the noise before it left."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from pruning.training.statistics import MovingStatistics

X = np.random.default_rng(0).normal(2.0, 3.0, size=(80, 6)).astype("float32")
Y = X[:, :2]


def pruned_network(momentum, **arguments):
    keras.utils.set_random_seed(0)
    norm = keras.layers.BatchNormalization(momentum=momentum, name="norm")
    layers = [keras.layers.Dense(5, name="a"), norm, keras.layers.Dense(2, name="b")]
    model = keras.Sequential([keras.Input((6,)), *layers])
    pruned = tfgumbel.prune(model, 0.5, seed=0, **arguments)
    # Weights stand still, so that only masks and batches move the statistics.
    pruned.compile(keras.optimizers.SGD(0.0), "mse")
    return pruned, norm


def fit(pruned, epochs=10):
    pruned.fit(X, Y, batch_size=16, epochs=epochs, shuffle=False, verbose=0)


@pytest.mark.parametrize("draws", [1, 3])
def test_statistics_are_the_weighted_mean_of_batches_with_the_fixed_mask(draws):
    # 50 steps, the last 10 of them with the fixed mask; .99 would leave 90% of what was before.
    pruned, norm = pruned_network(0.99, num_samples=draws)
    fit(pruned)
    assert int(pruned.masks.fine_tuned) == 10
    kernel = pruned.masked_weights()[0][1].numpy()
    inputs = [X[i : i + 16] @ kernel for i in range(0, 80, 16)] * 2
    inputs = [batch for batch in inputs for _ in range(draws)]
    mean, variance = 123.0, 456.0
    for n, batch in enumerate(inputs):
        share = max(0.01, 2 / (n + 2))
        mean += share * (batch.mean(0) - mean)
        variance += share * (batch.var(0) - variance)
    np.testing.assert_allclose(norm.moving_mean, mean, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(norm.moving_variance, variance, rtol=1e-3, atol=1e-3)


def test_the_layers_own_momentum_comes_back_and_false_leaves_it_alone():
    runs = []
    for momentum, renew in ((0.5, True), (0.5, False), (0.99, False)):
        pruned, norm = pruned_network(momentum, renew_statistics=renew)
        fit(pruned)
        runs.append(norm.moving_mean.numpy())
    # At .5 the layer's own share is larger from the third batch on: little is left of the rest.
    np.testing.assert_allclose(runs[0], runs[1], atol=0.02)
    assert np.abs(runs[2] - runs[0]).max() > 0.1


def test_frozen_layers_and_other_variables_are_left_alone():
    pruned, norm = pruned_network(0.99)
    norm.trainable = False
    norm.moving_mean.assign(np.arange(5.0))
    fit(pruned)
    np.testing.assert_array_equal(norm.moving_mean, np.arange(5.0))
    statistics = MovingStatistics(pruned.model)
    other, value = keras.Variable(1.0), tf.constant(3.0)
    assert statistics.renewed(other, value, tf.constant(0)) is value


def test_a_variance_that_falls_far_stays_positive():
    pruned, norm = pruned_network(0.999)
    norm.moving_variance.assign(np.full(5, 1e8))
    value = tf.constant(np.full(5, 0.999e8), tf.float32)
    renewed = pruned.statistics.renewed(norm.moving_variance, value, tf.constant(0))
    assert np.all(renewed.numpy() >= 1e3)


def test_the_choice_is_saved(tmp_path):
    pruned, _ = pruned_network(0.9, renew_statistics=False)
    pruned.save(tmp_path / "half.keras")
    assert keras.models.load_model(tmp_path / "half.keras").statistics is None
