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
    layers = list(iterate_layers(model))
    calls = _calls(model)
    for layer in layers:
        if id(layer) not in calls:
            shapes = _symbolic_shapes(layer)
            if shapes is not None:
                calls[id(layer)] = [shapes]
    parents = [
        (layer, {id(variable) for variable in layer.weights})
        for layer in layers
        if layer is not model and isinstance(layer, _WRAPPERS) and id(layer) in calls
    ]
    for target in candidates(model):
        layer = target.layer
        if layer is None or target.role == "embeddings" or len(target.shape) < 2:
            continue
        # A layer that another one calls: recurrent cells, TimeDistributed, attention.
        around = [parent for parent, held in parents if id(target.variable) in held]
        for owner in (layer, *around):
            counts = [_of_call(owner, target, shapes) for shapes in calls.get(id(owner), [])]
            if counts and None not in counts:
                positions[id(target.variable)] = sum(count for count in counts if count)
                break
    return positions


Shapes = tuple[Any, Any]


def _calls(model: keras.Model) -> dict[int, list[Shapes]]:
    """Shapes of the input and the output of every call of a layer, by the layer's identity.

    A layer or model that is used several times in a functional model has several.
    """
    calls: dict[int, list[Shapes]] = {}
    nodes = _inputs_of_nodes(model)
    for layer in model.layers:
        inputs = nodes.get(layer.name, [None])
        if isinstance(layer, keras.Model):
            for key, inner in _calls(layer).items():
                calls.setdefault(key, []).extend(inner * len(inputs))
            continue
        shapes = _symbolic_shapes(layer)
        # Keras tells the shapes of a layer's first call, which may be in another model.
        if shapes is not None and inputs in ([None], [(None, *shapes[0])]):
            calls.setdefault(id(layer), []).append(shapes)
            continue
        try:
            pairs = [(shape, layer.compute_output_shape(shape)) for shape in inputs if shape]
        except Exception:  # of the user's own layers, whatever they raise
            continue
        calls.setdefault(id(layer), []).extend((i[1:], tuple(o[1:])) for i, o in pairs)
    return {key: pairs for key, pairs in calls.items() if pairs}


def _inputs_of_nodes(model: keras.Model) -> dict[str, list[Any]]:
    """The shape of the first input of each call, by a layer's name; empty if unknown."""
    if not getattr(model, "inputs", None) or isinstance(model, keras.Sequential):
        return {}
    try:
        described = model.get_config().get("layers", [])
    except Exception:  # of the user's own layers, whatever they raise
        return {}
    return {
        layer["name"]: [_first_shape(node["args"]) for node in layer["inbound_nodes"]]
        for layer in described
        if layer.get("inbound_nodes")
    }


def _first_shape(item: Any) -> Any:
    """The shape of the first tensor in the description of a call's arguments."""
    if isinstance(item, dict):
        if item.get("class_name") == "__keras_tensor__":
            return tuple(item["config"]["shape"])
        item = list(item.values())
    if isinstance(item, (list, tuple)):
        return next((shape for shape in map(_first_shape, item) if shape), None)
    return None


def _symbolic_shapes(layer: keras.Layer) -> Shapes | None:
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


def _of_call(owner: Any, target: Target, shapes: Shapes) -> int | None:
    if owner is target.layer:
        return _layer_positions(owner, target, shapes)
    return _wrapped_positions(owner, target, shapes[0])


def _layer_positions(layer: Any, target: Target, shapes: Shapes) -> int | None:
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


_RECURRENT = (keras.layers.RNN, keras.layers.Bidirectional)
_WRAPPERS = (
    *_RECURRENT,
    keras.layers.TimeDistributed,
    keras.layers.MultiHeadAttention,
    keras.layers.Dense,
)


def _wrapped_positions(parent: Any, target: Target, inputs: Any) -> int | None:
    if isinstance(parent, _RECURRENT):
        return inputs[0]
    if isinstance(parent, keras.layers.TimeDistributed):
        if target.layer is not parent.layer:
            return None
        outputs = parent.layer.compute_output_shape((None, *inputs[1:]))
        inner = _layer_positions(parent.layer, target, (inputs[1:], tuple(outputs[1:])))
        return None if inner is None or inputs[0] is None else inner * inputs[0]
    # Projections of queries, keys and values: once for each place of the first input.
    return _ratio(inputs, inputs[-1]) if inputs[-1] else None


def _ratio(shape: tuple[Any, ...], channels: int) -> int | None:
    if None in shape or not channels:
        return None
    count, rest = divmod(math.prod(shape), channels)
    return count if rest == 0 else None


# Bytes.


# Converting to LiteRT takes a good part of a second for each layer, and is done twice.
LITERT_LAYERS = 20


def file_sizes(
    model: keras.Model, masks: dict[int, np.ndarray], litert: bool | None = None
) -> tuple[dict[str, int], list[str]]:
    """Bytes of each kind of file, of the model with its masks applied for the moment.

    Args:
        model: the model.
        masks: what is kept, by the identity of the variable.
        litert: whether to convert it to LiteRT; None for models of few layers.

    Returns:
        sizes: by the kind of file.
        notes: why a size is missing.
    """
    originals = {}
    for variable in model.weights:
        if id(variable) in masks:
            originals[id(variable)] = variable.numpy()
            variable.assign(np.where(masks[id(variable)], originals[id(variable)], 0))
    sizes: dict[str, int] = {}
    notes = []
    layers = sum(1 for _ in iterate_layers(model))
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.keras"
            model.save(path)
            content = path.read_bytes()
        sizes["keras"] = len(content)
        sizes["keras_gzip"] = len(gzip.compress(content, 6))
        if litert is None and layers > LITERT_LAYERS:
            notes.append(
                f"no LiteRT size: to convert {layers} layers may take minutes; litert=True does it."
            )
        elif litert or litert is None:
            sizes["litert"] = len(litert_bytes(model, sparse=True))
            sizes["litert_dense"] = len(litert_bytes(model, sparse=False))
    except Exception as error:  # the converter raises whatever its passes raise
        if "keras_gzip" not in sizes:
            raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        notes.append(f"no LiteRT size: the model could not be converted ({reason[0]}).")
    finally:
        for variable in model.weights:
            if id(variable) in originals:
                variable.assign(originals[id(variable)])
    return sizes, notes
