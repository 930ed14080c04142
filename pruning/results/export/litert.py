"""LiteRT (TensorFlow Lite) flat buffers with sparse tensors.

XNNPACK runs sparse fully connected and 1x1 convolution kernels as they are; the others are made
dense when it is loaded.
"""

import contextlib
import pathlib
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pruning.results.export.format import Format, Run


def litert_bytes(model: keras.Model, sparse: bool = True) -> bytes:
    """The model as a LiteRT flat buffer, with its zeros left out where `sparse`."""
    optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY] if sparse else []
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.tflite"
        model.export(str(path), format="litert", verbose=False, optimizations=optimizations)
        return path.read_bytes()


def _write(model: Any, path: pathlib.Path, inputs: list[np.ndarray], sparse: bool) -> None:
    path.write_bytes(litert_bytes(model, sparse))


@contextlib.contextmanager
def _load(model: Any, path: pathlib.Path, inputs: list[np.ndarray]) -> Iterator[Run]:
    with warnings.catch_warnings():
        # TensorFlow announces that this class will move to another package.
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(model_content=path.read_bytes(), num_threads=1)
    slots = sorted(interpreter.get_input_details(), key=lambda slot: _natural(slot["name"]))
    for slot, value in zip(slots, inputs, strict=True):
        interpreter.resize_tensor_input(slot["index"], value.shape)
    interpreter.allocate_tensors()
    for slot, value in zip(slots, inputs, strict=True):
        interpreter.set_tensor(slot["index"], value)
    results = sorted(interpreter.get_output_details(), key=lambda slot: _natural(slot["name"]))

    def run() -> list[np.ndarray]:
        interpreter.invoke()
        return [interpreter.get_tensor(slot["index"]) for slot in results]

    yield run


def _natural(name: str) -> tuple[str, int, int]:
    """Sorts `args_0`, `args_0_1`, ... `args_0_10`, and `...:0` to `...:10`, in their order."""
    base, _, output = name.partition(":")
    stem, _, number = base.rpartition("_")
    tail = int(output) if output.isdigit() else 0
    if base.count("_") > 1 and number.isdigit():
        return stem, int(number), tail
    return base, -1, tail


LITERT = Format(_write, _load, runs=True)
