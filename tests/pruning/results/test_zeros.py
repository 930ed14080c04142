"""Zeros stay zero whatever the optimizer does, are never called kept, and lost layers are named."""

import logging

import keras
import numpy as np
import pytest

import tfgumbel

layers = keras.layers
X = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
Y = X[:, :3]


def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, "relu", name="a"), layers.Dense(3, name="b")]
    )


def nonzero(model):
    return sum(np.count_nonzero(w) for w in model.get_weights() if w.ndim == 2)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("frequency", [None, 2])
def test_averages_of_weights_leave_zeros_alone(frequency, scaled):
    def optimizer():
        inner = keras.optimizers.Adam(
            0.01, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=frequency
        )
        return keras.optimizers.LossScaleOptimizer(inner) if scaled else inner

    pruned = tfgumbel.prune(network(), 20, seed=0)
    pruned.compile(optimizer(), "mse")
    pruned.fit(X, Y, epochs=2, batch_size=8, verbose=0)
    sparse = pruned.finalize(fine_tune={"x": X, "y": Y, "epochs": 2, "verbose": 0})
    assert nonzero(sparse) == 20
    # With another optimizer, and with one that was there before.
    sparse.compile(optimizer(), "mse")
    sparse.fit(X, Y, verbose=0)
    assert nonzero(sparse) == 20
    loaded = keras.models.clone_model(sparse)
    loaded.set_weights(sparse.get_weights())
    loaded.compile(optimizer(), "mse")
    tfgumbel.keep_sparsity(loaded).fit(X, Y, verbose=0)
    assert nonzero(loaded) == 20


@pytest.mark.parametrize("method", ["learned", "magnitude"])
def test_pruning_a_sparse_model_again(method, caplog):
    sparse = tfgumbel.prune(network(), 20, method="magnitude").finalize()
    with caplog.at_level(logging.WARNING, "tfgumbel"):
        again = tfgumbel.prune(sparse, 40, method=method, seed=0)
    assert "52 of 72 are zeros that stay zero: at most 20 are kept" in caplog.text
    again.compile("adam", "mse")
    again.fit(X, Y, epochs=2, verbose=0)
    assert again.report(sizes=False).kept == 20 == nonzero(again.finalize())
    caplog.clear()
    with caplog.at_level(logging.WARNING, "tfgumbel"):
        less = tfgumbel.prune(sparse, 15, method=method, seed=0)
    assert not caplog.records
    # Scores that would keep the zeros first.
    if method == "learned":
        less.scores.assign(np.concatenate([np.ravel(w == 0) for w in sparse.get_weights()[::2]]))
    assert less.report(sizes=False).kept == 15 == nonzero(less.finalize())


@pytest.mark.parametrize(
    "arguments",
    [
        {"k": 5, "structure": "filter"},
        {"k": 0.01, "block": (1, 4)},
        {"k": 0.05, "scope": "layer", "structure": "filter"},
    ],
    ids=str,
)
def test_a_budget_smaller_than_a_group_is_refused(arguments):
    with pytest.raises(ValueError, match="smaller than one group"):
        tfgumbel.prune(network(), **arguments)


def test_one_group_is_enough():
    pruned = tfgumbel.prune(network(), 6, structure="filter", method="magnitude", targets="kernel")
    assert nonzero(pruned.finalize()) == 6


def test_a_layer_that_loses_everything_is_named(caplog):
    model = network()
    model.get_layer("b").kernel.assign_add(np.full((8, 3), 5.0))
    pruned = tfgumbel.prune(model, 20, method="magnitude")
    with caplog.at_level(logging.WARNING, "tfgumbel"):
        pruned.finalize()
    assert "nothing is left of a/kernel" in caplog.text and "b/kernel" not in caplog.text
    assert any("nothing is left of a/kernel" in n for n in pruned.report(sizes=False).notes)
