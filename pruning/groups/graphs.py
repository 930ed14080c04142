"""The graph of a model: which operation makes a tensor, and which ones read it."""

from typing import Any

import keras

from pruning.groups.targets import iterate_layers


class Graph:
    """What a Sequential or functional model says of its operations; nested models are one each.

    Args:
        model: a built Keras model.

    Attributes:
        outputs: its symbolic outputs; empty for a subclassed model.
        complete: whether it is known who reads every tensor. A layer that is called several times
            says so of one call alone, a nested functional model and a subclassed one of none.
    """

    def __init__(self, model: keras.Model):
        if isinstance(model, keras.Sequential):
            # A chain: by its order, which other uses of the same layers do not blur. What a layer
            # gives has the layer's own place as its name.
            self._operations: list[Any] = list(model.layers)
            self._given: list[list[Any]] = [[operation] for operation in self._operations]
            self._taken = [[], *self._given[:-1]]
            self.outputs, inputs = self._given[-1], []
            unclear = len({*map(id, self._operations)}) < len(self._operations)
            nested = []
        else:
            self._operations = list(getattr(model, "operations", ()))
            nested = [o for o in self._operations if _is_functional(o)]
            self._given = [_tensors(operation, "output") for operation in self._operations]
            # A nested functional model knows its own inputs and outputs, not those it has here.
            self._taken = [
                []
                if o in nested or isinstance(o, keras.layers.InputLayer)
                else _tensors(o, "input")
                for o in self._operations
            ]
            self.outputs, inputs = _tensors(model, "outputs"), _tensors(model, "inputs")
            unclear = not self.outputs
        self._makers = {
            id(tensor): operation
            for operation, given in zip(self._operations, self._given, strict=True)
            for tensor in given
        }
        self._inputs = {id(tensor) for tensor in inputs}
        unknown = {id(tensor) for taken in [*self._taken, self.outputs] for tensor in taken}
        unknown -= {*self._makers, *self._inputs}
        if len(unknown) == len(nested) == 1:
            self._makers[unknown.pop()] = nested[0]
        self.complete = not (unclear or unknown or nested)

    def maker(self, tensor: Any) -> Any:
        """The operation that has this tensor as an output, None for an input of the model.

        Raises:
            LookupError: what made it is not known.
        """
        if id(tensor) not in self._makers and id(tensor) not in self._inputs:
            raise LookupError(tensor)
        return self._makers.get(id(tensor))

    def source(self, operation: Any) -> Any:
        """The operation before one that has a single input, or None."""
        taken = self._taken[self._operations.index(operation)]
        return self.maker(taken[0]) if len(taken) == 1 else None

    def reader(self, operation: Any) -> Any:
        """The one operation that reads what this one gives, None where it is not the only one."""
        if operation not in self._operations:  # as none of a subclassed model's is
            return None
        given = {id(tensor) for tensor in self._given[self._operations.index(operation)]}
        if not self.complete or any(id(tensor) in given for tensor in self.outputs):
            return None
        readers = [
            reader
            for reader, taken in zip(self._operations, self._taken, strict=True)
            if any(id(tensor) in given for tensor in taken)
        ]
        return readers[0] if len(readers) == 1 else None


def graph_of(model: keras.Model, layer: Any) -> Graph | None:
    """The graph of the model, nested or not, that holds the layer itself; None if none does."""
    for inner in iterate_layers(model):
        if isinstance(inner, keras.Model) and any(layer is item for item in inner.layers):
            return Graph(inner)
    return None


def _is_functional(operation: Any) -> bool:
    return isinstance(operation, keras.Model) and not isinstance(operation, keras.Sequential)


def _tensors(owner: Any, name: str) -> list[Any]:
    """Symbolic inputs or outputs; none where the owner does not know them."""
    try:
        value = getattr(owner, name)
    except (AttributeError, ValueError):
        return []
    return [] if value is None else keras.tree.flatten(value)
