"""A plain copy of a model, with what its layers hold besides weights, and the proof of it."""

import logging
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pruning.groups.targets import iterate_layers

logger = logging.getLogger("tfgumbel")

# Rows of random inputs, and the length of an axis that the model leaves open.
ROWS, OPEN_LENGTH = 4, 32
# Differences that the order of additions explains, relative to the largest output.
TOLERANCE = 1e-4


def is_functional(model: keras.Model) -> bool:
    """Whether Keras can make a model again from its layers: it has no code of its own."""
    x = keras.Input((1,))
    return type(model) in (keras.Sequential, type(keras.Model(x, x)))


def plain_copy(model: keras.Model) -> keras.Model:
    """A copy of a functional model, its weights and all else that its layers would save.

    Tables, vocabularies and statistics are not weights: they go from layer to layer in the way they
    go into a file and out of it.

    Raises:
        Exception: whatever a layer raises that cannot be copied.
    """
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    with tempfile.TemporaryDirectory() as folder:
        pairs = zip(iterate_layers(model), iterate_layers(copy), strict=True)
        for number, (layer, twin) in enumerate(pairs):
            if type(layer) is not type(twin):
                raise TypeError(f"{layer.name!r} became a {type(twin).__name__}")
            store: dict[str, Any] = {}
            layer.save_own_variables(store)
            if store:
                twin.load_own_variables(store)
            if hasattr(layer, "save_assets"):
                path = pathlib.Path(folder) / str(number)
                path.mkdir()
                layer.save_assets(str(path))
                twin.load_assets(str(path))
    return copy


def same_predictions(
    model: keras.Model, copy: keras.Model, values: Sequence[tuple[keras.Variable, tf.Tensor]]
) -> bool | None:
    """Whether a copy predicts what a model does with these values of variables, on random inputs.

    Args:
        model: a functional model.
        copy: what is to predict the same.
        values: pairs for `keras.StatelessScope`.

    Returns:
        same: None where that cannot be told: the model does not run on random inputs, or does not
        predict the same twice.
    """

    def masked(inputs):
        with keras.StatelessScope(values):
            return _arrays(model(inputs, training=False))

    try:
        inputs = _random_inputs(model)
        expected, again = masked(inputs), masked(inputs)
    except Exception as error:  # random inputs may be anything but what the layers take
        logger.info("%r does not run on random inputs (%s).", model.name, error)
        return None
    if not _close(expected, again):
        logger.info("%r does not predict the same twice.", model.name)
        return None
    try:
        return _close(expected, _arrays(copy(inputs, training=False)))
    except Exception as error:
        logger.info("The copy of %r does not run (%s).", model.name, error)
        return False


def _arrays(outputs: Any) -> list[np.ndarray]:
    return [
        np.asarray(tf.cast(o, tf.float64)) if o.dtype.is_floating else np.asarray(o)
        for o in map(tf.convert_to_tensor, keras.tree.flatten(outputs))
    ]


def _close(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> bool:
    if [a.shape for a in first] != [b.shape for b in second]:
        return False
    for a, b in zip(first, second, strict=True):
        if a.dtype.kind != "f":
            if not np.array_equal(a, b):
                return False
            continue
        size = max(np.abs(a[np.isfinite(a)]).max(initial=0.0), 1e-30)
        if not np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * size, equal_nan=True):
            return False
    return True


def _random_inputs(model: keras.Model) -> Any:
    """Normal numbers of scales from .1 to 100, words the model knows, small integers."""
    rng = np.random.default_rng(0)
    layers = list(iterate_layers(model))
    words = [""]
    for layer in layers:
        if hasattr(layer, "get_vocabulary"):
            words += [str(word) for word in layer.get_vocabulary()]
    limit = min([layer.input_dim for layer in layers if isinstance(layer, keras.layers.Embedding)],
                default=2)  # fmt: skip

    def random(spec):
        rows = ROWS if spec.shape[0] is None else spec.shape[0]
        rest = [OPEN_LENGTH if length is None else length for length in spec.shape[1:]]
        shape = (rows, *rest)
        if spec.dtype == "string":
            return tf.constant(rng.choice(words, shape))
        if "float" in spec.dtype:
            scales = np.logspace(-1, 2, rows).reshape(-1, *[1] * len(rest))
            return tf.cast(rng.normal(size=shape) * scales, spec.dtype)
        return tf.cast(rng.integers(0, 2 if spec.dtype == "bool" else limit, shape), spec.dtype)

    # A Sequential model knows its inputs as a list, of one.
    taken = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    return keras.tree.map_structure(random, taken)
