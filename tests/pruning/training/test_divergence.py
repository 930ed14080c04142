"""A training that diverges ends where it does, by an error."""

import keras
import numpy as np
import pytest

import tfgumbel
from pruning.masks import masks

X = np.random.default_rng(0).normal(size=(64, 10)).astype("float32")
Y = X[:, :6]


def pruned_network(optimizer, method="learned", **arguments):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(8, "relu", name="a"), keras.layers.Dense(6, name="b")]
    pruned = tfgumbel.prune(
        keras.Sequential([keras.Input((10,)), *layers]), 0.25, method=method, seed=0
    )
    pruned.compile(optimizer, "mse", **arguments)
    return pruned


@pytest.mark.parametrize("fuse_from", [1, 10**9])
@pytest.mark.parametrize("method", ["learned", "magnitude"])
def test_one_nan_in_the_data_stops_after_its_step(method, fuse_from, monkeypatch):
    monkeypatch.setattr(masks, "FUSE_FROM", fuse_from)
    pruned = pruned_network("adam", method)
    x = X.copy()
    x[41, 3] = np.nan  # in the third batch of 16
    with pytest.raises(FloatingPointError, match="after update 3"):
        pruned.fit(x, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    assert int(pruned.step) == 3
    for result in (pruned.finalize, pruned.report):
        with pytest.raises(ValueError, match="NaN or infinite"):
            result()


def test_steps_that_run_together_say_which_it_was():
    pruned = pruned_network("adam", steps_per_execution=4)
    x = X.copy()
    x[41, 3] = np.nan
    with pytest.raises(FloatingPointError, match="after update 3"):
        pruned.fit(x, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)


def test_a_rate_that_is_too_high_stops():
    pruned = pruned_network(keras.optimizers.SGD(1e6))
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        pruned.fit(X, Y, batch_size=16, epochs=20, verbose=0)


def test_skipped_steps_of_a_scaled_loss_are_no_divergence():
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01), 2.0**126)
    pruned = pruned_network(scaled)
    pruned.fit(X, 100 * Y, batch_size=16, epochs=1, verbose=0)
    assert float(scaled.dynamic_scale) < 2.0**126


def test_fine_tuning_that_diverges_is_refused():
    pruned = pruned_network("adam")
    pruned.fit(X, Y, batch_size=16, epochs=1, verbose=0)
    x = X.copy()
    x[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        pruned.finalize(fine_tune={"x": x, "y": Y, "verbose": 0})
