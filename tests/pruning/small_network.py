"""A small network with two kernels, of 80 and 48 weights, and what pruning leaves of it."""

import keras
import numpy as np

import tfgumbel

layers = keras.layers


def network():
    return keras.Sequential(
        [keras.Input((10,)), layers.Dense(8, "relu", name="a"), layers.Dense(6, name="b")]
    )


def kernels_after(scores=None, seed=0, **arguments):
    """Kernels of the finished model, its scores set at random."""
    model = network()
    pruned = tfgumbel.prune(model, **arguments)
    rng = np.random.default_rng(seed)
    pruned.scores.assign(rng.uniform(0.1, 0.9, pruned.scores.shape))
    sparse = pruned.finalize()
    return pruned, [layer.kernel.numpy() for layer in sparse.layers]
