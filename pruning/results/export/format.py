"""What a file format is, and what writing and loading one takes."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from pruning.groups.targets import candidates
from tfgumbel.internal import validation

Run = Callable[[], list[np.ndarray]]


class Format(NamedTuple):
    """One format: a module here and a line of `FORMATS`.

    Attributes:
        write: called with the model, the path, inputs of one example, and whether zeros are to be
            left out.
        load: called with the model, the path and the inputs; a context that yields a call which
            runs the file on the inputs, and that frees what it loaded at the end.
        runs: whether the file runs by itself, so that its speed means something.
    """

    write: Callable[[Any, Path, list[np.ndarray], bool], None]
    load: Callable[[Any, Path, list[np.ndarray]], AbstractContextManager[Run]]
    runs: bool


def sparse_weights(model: keras.Model, overhead: int = 0) -> list[Any]:
    """Weights that take fewer bytes as values with 4-byte positions, and so many bytes besides."""
    chosen = []
    for target in candidates(model):
        value = target.variable.numpy()
        size = np.count_nonzero(value) * (value.itemsize + 4) + overhead
        if len(target.shape) > 1 and size < value.nbytes:
            chosen.append(target)
    return chosen


def example_inputs(model: keras.Model, example: Any) -> list[np.ndarray]:
    if example is not None:
        return [np.asarray(value)[:1] for value in keras.tree.flatten(example)]
    if not getattr(model, "inputs", None):
        raise ValueError(
            validation.describe(
                f"The model {model.name!r} does not say what its inputs look like.",
                expected="a functional or Sequential model, or `example`",
                received=type(model).__name__,
                fix="pass example=x[:1], an input of one example",
            )
        )
    rng = np.random.default_rng(0)
    values = []
    for tensor in model.inputs:
        shape = tuple(1 if length is None else length for length in tensor.shape)
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        floating = keras.backend.is_float_dtype(dtype)
        values.append((rng.normal(size=shape) if floating else np.zeros(shape)).astype(dtype))
    return values


def structured(model: keras.Model, inputs: list[Any]) -> Any:
    """The flat inputs in the nesting that the model takes."""
    structure = getattr(model, "input", None) if getattr(model, "inputs", None) else None
    if structure is not None:
        return keras.tree.pack_sequence_as(structure, inputs)
    return inputs[0] if len(inputs) == 1 else inputs


def flat_outputs(outputs: Any) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(value) for value in keras.tree.flatten(outputs)]
