"""SavedModels that hold what was kept and its positions.

They scatter it into dense kernels once, when they are loaded: small files, as fast as dense ones.
"""

import contextlib
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pruning.results.export.format import Format, Run, flat_outputs, sparse_weights, structured

# Bytes of the functions by which a SavedModel scatters one kernel.
FUNCTIONS_SIZE = 10_000


class _Scattered(tf.saved_model.experimental.TrackableResource):
    """A kernel that a file holds as values and flat positions, and memory as a dense variable.

    TensorFlow runs `_create_resource` and `_initialize` of such an object when it loads the file,
    after it has read the variables `parts`. The resource has a name of its own, by which every call
    finds it; so it lasts as long as the process, unless `_free` ends it.
    """

    def __init__(self, value: np.ndarray):
        super().__init__()
        self._shared_name = f"tfgumbel_{uuid.uuid4().hex}"
        self._shape = value.shape
        self._value_dtype = value.dtype
        positions = np.flatnonzero(value)
        self.parts = [
            tf.Variable(value.reshape(-1)[positions], trainable=False),
            tf.Variable(positions.astype(np.int32)[:, None], trainable=False),
        ]
        # Made at first use, which must not be inside a function that is traced.
        _ = self.resource_handle

    def _create_resource(self) -> tf.Tensor:
        return tf.raw_ops.VarHandleOp(
            dtype=self._value_dtype, shape=self._shape, shared_name=self._shared_name
        )

    def _initialize(self) -> None:
        values, positions = self.parts
        flat = tf.scatter_nd(positions, values, [int(np.prod(self._shape))])
        dense = tf.reshape(flat, self._shape)
        tf.raw_ops.AssignVariableOp(resource=self.resource_handle, value=dense)

    def read(self) -> tf.Tensor:
        value = tf.raw_ops.ReadVariableOp(resource=self.resource_handle, dtype=self._value_dtype)
        return tf.ensure_shape(value, self._shape)


class _WithSparseWeights(tf.Module):
    """A model whose sparse weights are stored as values and flat positions."""

    def __init__(self, model: keras.Model, sparse: bool):
        super().__init__()
        chosen = set()
        if sparse:
            chosen = {id(target.variable) for target in sparse_weights(model, FUNCTIONS_SIZE)}
        self._stored: list[Any] = [
            _Scattered(variable.numpy())
            if id(variable) in chosen
            else tf.Variable(variable.numpy(), trainable=False)
            for variable in model.variables
        ]
        self._scattered = [item for item in self._stored if isinstance(item, _Scattered)]
        # A resource is not searched for the variables in it, which a file must hold.
        self._parts = [item.parts for item in self._scattered]

        def serve(*inputs: tf.Tensor) -> Any:
            values = [
                item.read() if isinstance(item, _Scattered) else tf.convert_to_tensor(item)
                for item in self._stored
            ]
            with keras.StatelessScope(list(zip(model.variables, values, strict=True))):
                return model(structured(model, list(inputs)), training=False)

        self.serve = serve


def _free(module: Any) -> None:
    """Frees the dense kernels of a `_WithSparseWeights`, made here or loaded from a file."""
    for item in module._scattered:
        tf.raw_ops.DestroyResourceOp(resource=item.resource_handle, ignore_lookup_error=True)


def _write(model: Any, path: pathlib.Path, inputs: list[np.ndarray], sparse: bool) -> None:
    module = _WithSparseWeights(model, sparse)
    specs = [
        tf.TensorSpec((None, *value.shape[1:]), value.dtype, name=f"input_{i}")
        for i, value in enumerate(inputs)
    ]
    serve = tf.function(module.serve, input_signature=specs, autograph=False)

    def flat(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = keras.tree.flatten(serve(*inputs))
        return {f"output_{i}": value for i, value in enumerate(outputs)}

    module.serve = serve
    signature = tf.function(flat, input_signature=specs, autograph=False)
    tf.saved_model.save(module, str(path), signatures=signature)
    _free(module)


@contextlib.contextmanager
def _load(model: Any, path: pathlib.Path, inputs: list[np.ndarray]) -> Iterator[Run]:
    module = tf.saved_model.load(str(path))
    tensors = [tf.constant(value) for value in inputs]

    def run() -> list[np.ndarray]:
        return flat_outputs(module.serve(*tensors))

    try:
        yield run
    finally:
        # Nobody else has them: TensorFlow gives the resources of each load names of their own.
        _free(module)


SAVED_MODEL = Format(_write, _load, runs=True)
