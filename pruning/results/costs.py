"""What the weights of a model cost: multiply-adds of an example, and bytes of files."""

import gzip
import math
import pathlib
import tempfile
from typing import Any

import keras
import numpy as np

from pruning.groups.targets import Target, candidates, iterate_layers
from pruning.results.export.litert import litert_bytes

# Multiply-adds.


def weight_positions(model: keras.Model) -> dict[int, int]:
    """How often an example uses each entry of a weight, by the identity of the variable.

    An entry of a kernel is used once for each entry of an output channel; those of a transposed
    convolution once for each entry of an input channel; those of a recurrent layer once a step.
    """
    positions: dict[int, int] = {}
    shapes = {}
    for layer in iterate_layers(model):
        shape = _symbolic_shapes(layer)
        if shape is not None:
            shapes[id(layer)] = shape
    for target in candidates(model):
        layer = target.layer
        if layer is None or target.role == "embeddings" or len(target.shape) < 2:
            continue
        count = _layer_positions(layer, target, shapes.get(id(layer)))
        if count is None:
            count = _wrapped_positions(model, target, shapes)
        if count is not None:
            positions[id(target.variable)] = count
    return positions


def _symbolic_shapes(layer: keras.Layer) -> tuple[Any, Any] | None:
    """(shape of the one input, shape of the one output) without the batch axis, if known."""
    try:
        inputs, outputs = layer.input, layer.output
    except (AttributeError, ValueError):
        return None
    first = keras.tree.flatten(inputs)
    last = keras.tree.flatten(outputs)
    if not first or not last:
        return None
    return tuple(first[0].shape[1:]), tuple(last[0].shape[1:])


def _layer_positions(layer: Any, target: Target, shapes: tuple[Any, Any] | None) -> int | None:
    if shapes is None:
        return None
    inputs, outputs = shapes
    if isinstance(layer, keras.layers.RNN):
        return inputs[0]
    transposed = (
        keras.layers.Conv1DTranspose,
        keras.layers.Conv2DTranspose,
        keras.layers.Conv3DTranspose,
    )
    if isinstance(layer, transposed):
        return _ratio(inputs, target.shape[target.input_axis])
    if isinstance(layer, (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)):
        return _ratio(outputs, layer.filters)
    return _ratio(outputs, math.prod(target.shape[axis] for axis in target.output_axes))


def _wrapped_positions(model: Any, target: Target, shapes: dict[int, Any]) -> int | None:
    """For a layer that another one calls: recurrent cells, TimeDistributed, attention."""
    for parent in iterate_layers(model):
        if parent is model or id(parent) not in shapes:
            continue
        if not any(target.variable is variable for variable in parent.weights):
            continue
        inputs = shapes[id(parent)][0]
        recurrent = (keras.layers.RNN, keras.layers.Bidirectional)
        if isinstance(parent, recurrent):
            return inputs[0]
        if isinstance(parent, keras.layers.TimeDistributed) and target.layer is parent.layer:
            outputs = parent.layer.compute_output_shape((None, *inputs[1:]))
            inner = _layer_positions(parent.layer, target, (inputs[1:], tuple(outputs[1:])))
            return None if inner is None or inputs[0] is None else inner * inputs[0]
        if isinstance(parent, (keras.layers.MultiHeadAttention, keras.layers.Dense)):
            # Projections of queries, keys and values: once for each place of the first input.
            return _ratio(inputs, inputs[-1]) if inputs[-1] else None
    return None


def _ratio(shape: tuple[Any, ...], channels: int) -> int | None:
    if None in shape or not channels:
        return None
    count, rest = divmod(math.prod(shape), channels)
    return count if rest == 0 else None


# Bytes.


def file_sizes(
    model: keras.Model, masks: dict[int, np.ndarray]
) -> tuple[dict[str, int], list[str]]:
    """Bytes of each kind of file, of the model with its masks applied for the moment."""
    originals = {}
    for variable in model.weights:
        if id(variable) in masks:
            originals[id(variable)] = variable.numpy()
            variable.assign(np.where(masks[id(variable)], originals[id(variable)], 0))
    sizes: dict[str, int] = {}
    notes = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.keras"
            model.save(path)
            content = path.read_bytes()
        sizes["keras"] = len(content)
        sizes["keras_gzip"] = len(gzip.compress(content, 6))
        try:
            sizes["litert"] = len(litert_bytes(model, sparse=True))
            sizes["litert_dense"] = len(litert_bytes(model, sparse=False))
        except Exception as error:  # the converter raises whatever its passes raise
            reason = str(error).strip().splitlines() or [type(error).__name__]
            notes.append(f"no LiteRT size: the model could not be converted ({reason[0]}).")
    finally:
        for variable in model.weights:
            if id(variable) in originals:
                variable.assign(originals[id(variable)])
    return sizes, notes
