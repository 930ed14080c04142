"""Which layers give a model's outputs: their channels are the answer, and none may go."""

from typing import Any

import keras

from pruning.groups.graphs import Graph


def output_layers(model: keras.Model) -> list[keras.Layer] | None:
    """The last layers with kernels on the ways to a model's outputs.

    From each output back through operations of one input that hold no weights of two axes or
    more, such as an activation, a pooling, a reshape or a normalisation; nested models are entered.
    What joins several inputs ends the way.

    Args:
        model: a built Keras model.

    Returns:
        layers: None where that cannot be seen, as in a subclassed model.
    """
    graph = Graph(model)
    found: list[keras.Layer] = []
    try:
        for output in graph.outputs:
            operation = graph.maker(output)
            while operation is not None and not _multiplies(operation):
                operation = graph.source(operation)
            if operation is not None:
                found.append(operation)
    except LookupError:
        return None
    inner = [output_layers(layer) if isinstance(layer, keras.Model) else None for layer in found]
    flat = [[layer] if last is None else last for layer, last in zip(found, inner, strict=True)]
    return sum(flat, []) if graph.outputs else None


def output_variables(model: keras.Model) -> set[int] | None:
    """The `id`s of all weights of the model's `output_layers`; None as there."""
    layers = output_layers(model)
    return None if layers is None else {id(v) for layer in layers for v in layer.weights}


def _multiplies(layer: Any) -> bool:
    weights = layer.weights if isinstance(layer, keras.Layer) else ()
    return any(len(variable.shape) > 1 for variable in weights)
