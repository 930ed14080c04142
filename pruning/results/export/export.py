"""Sparse files from pruned models: written whole or not at all, loaded back, run and timed.

Keras writes zeros as it writes any number, so a pruned model is as large on disk as a dense one.
Three formats store what was kept:

- `"litert"`: a LiteRT (TensorFlow Lite) flat buffer with sparse tensors. XNNPACK runs sparse fully
  connected and 1x1 convolution kernels as they are; the others are made dense when it is loaded.
- `"saved_model"`: a SavedModel that holds the values and their positions, and scatters them into
  dense kernels once, when it is loaded. It is small, and as fast as a dense one.
- `"npz_csr"`: NumPy arrays in compressed sparse row form, with `read_csr` to load them. It has no
  pickled objects in it.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import statistics
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import rich.console
import rich.table
import tensorflow as tf

from pruning.groups.targets import candidates
from tfgumbel.internal import validation

FORMATS = ("litert", "saved_model", "npz_csr")
# A sparse product adds in another order than a dense one: float32 rounding, nothing more.
TOLERANCE = 1e-4
# Bytes of the functions by which a SavedModel scatters one kernel.
FUNCTIONS_SIZE = 10_000


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """What was written, and how it compares with the same model exported dense.

    Attributes:
        path: the file, or the folder of a SavedModel.
        format: `"litert"`, `"saved_model"` or `"npz_csr"`.
        size: bytes written.
        dense_size: bytes of the same model in the same kind of file with its zeros stored.
        max_error: largest absolute difference between the loaded file's outputs and the model's.
        latency: seconds for one example, median: LiteRT on one thread, a SavedModel on
            TensorFlow's own; None for `"npz_csr"`, which holds weights and runs nothing.
        dense_latency: the same for the dense file, timed in turns with the sparse one.
    """

    path: str
    format: str
    size: int
    dense_size: int
    max_error: float
    latency: float | None
    dense_latency: float | None

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def __rich__(self) -> rich.table.Table:
        table = rich.table.Table(title=self.path, title_justify="left")
        for name in ("", "sparse", "dense", "ratio"):
            table.add_column(name, justify="right" if name else "left")
        ratio = f"{self.dense_size / self.size:.1f}x smaller"
        table.add_row("bytes", f"{self.size:,}", f"{self.dense_size:,}", ratio)
        if self.latency is not None and self.dense_latency is not None:
            ratio = f"{self.dense_latency / self.latency:.2f}x the speed"
            times = (f"{1e6 * value:,.1f}" for value in (self.latency, self.dense_latency))
            table.add_row("microseconds", *times, ratio)
        table.add_row("largest error", f"{self.max_error:.1e}", "", "")
        return table

    def __str__(self) -> str:
        console = rich.console.Console(width=100, color_system=None)
        with console.capture() as capture:
            console.print(self)
        return capture.get()


def export_sparse(
    model: keras.Model,
    path: str | os.PathLike[str],
    format: str = "litert",
    *,
    example: Any = None,
    repetitions: int = 50,
) -> ExportResult:
    """Writes a model's kept weights alone, then loads the file back, runs it and times it.

    The file is made beside its destination under a temporary name, and takes its name only after
    its outputs were found equal to the model's.

    Args:
        model: a built plain Keras model, such as `pruned.finalize()` returns.
        path: destination; an existing file, or an existing SavedModel folder, is replaced.
        format: `"litert"` (default), `"saved_model"` or `"npz_csr"`.
        example: input of one example or more, as the model takes it: needed where the model does
            not say its input shape. Otherwise standard normal numbers (zeros for integers).
        repetitions: timed calls of each of the sparse and the dense file.

    Returns:
        result: an `ExportResult`, which prints as a table.

    Raises:
        ValueError: the format is unknown, the model is a `PrunedModel`, its input shape is not
            known and `example` is None, or `path` is a folder that is no SavedModel.
        RuntimeError: the file that was written does not compute what the model does; nothing is
            left at `path`.

    Example:
        >>> import tempfile, keras, numpy as np
        >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32)])
        >>> kernel = model.layers[0].kernel
        >>> kernel.assign(kernel.numpy() * (np.arange(32) % 8 == 0))  # doctest: +ELLIPSIS
        <...>
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = export_sparse(model, f"{folder}/model.npz", "npz_csr")
        >>> result.size < result.dense_size, result.max_error
        (True, 0.0)
    """
    validation.one_of("format", format, FORMATS)
    repetitions = validation.positive_integer("repetitions", repetitions)
    if hasattr(model, "final_mask"):
        raise ValueError(
            validation.describe(
                "The model is still being pruned.",
                expected="a plain Keras model",
                received=type(model).__name__,
                fix="export_sparse(pruned.finalize(), ...)",
            )
        )
    inputs = _example_inputs(model, example)
    path = pathlib.Path(path)
    write, load = _WRITERS[format]
    with _temporary_beside(path) as folder:
        sparse, dense = folder / f"sparse{path.suffix}", folder / f"dense{path.suffix}"
        write(model, sparse, inputs, True)
        write(model, dense, inputs, False)
        with load(model, sparse, inputs) as run, load(model, dense, inputs) as run_dense:
            expected = _flat(model(_structured(model, inputs), training=False))
            error = _largest_difference(run(), expected)
            if not error <= TOLERANCE * max(1.0, *(float(np.abs(y).max()) for y in expected)):
                raise RuntimeError(
                    validation.describe(
                        f"The {format} file does not compute what the model does.",
                        expected=f"outputs within {TOLERANCE} of their largest",
                        received=f"a difference of {error}",
                        fix="report the model; nothing was written",
                    )
                )
            latency = dense_latency = None
            if format != "npz_csr":
                latency, dense_latency = _time_in_turns(run, run_dense, repetitions)
        result = ExportResult(
            str(path), format, size_of(sparse), size_of(dense), error, latency, dense_latency
        )
        _replace(sparse, path)
    return result


def litert_bytes(model: keras.Model, sparse: bool = True) -> bytes:
    """The model as a LiteRT flat buffer, with its zeros left out where `sparse`."""
    optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY] if sparse else []
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.tflite"
        model.export(str(path), format="litert", verbose=False, optimizations=optimizations)
        return path.read_bytes()


def read_csr(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads what `export_sparse(..., format="npz_csr")` wrote, as dense arrays.

    The file holds, for a weight `NAME` with its last axis as columns and all others as rows,
    `NAME:data`, `NAME:indices`, `NAME:indptr` (compressed sparse rows, as SciPy names them) and
    `NAME:shape`; a weight without zeros to spare is `NAME` alone.

    Args:
        path: the `.npz` file.

    Returns:
        weights: dict from a weight's path in the model to its array.
    """
    weights: dict[str, np.ndarray] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for name in arrays.files:
            base, _, part = name.partition(":")
            if not part:
                weights[base] = arrays[name]
            elif part == "indptr":
                shape = tuple(arrays[f"{base}:shape"])
                data = arrays[f"{base}:data"]
                dense = np.zeros((len(arrays[name]) - 1, shape[-1]), data.dtype)
                rows = np.repeat(np.arange(len(dense)), np.diff(arrays[name].astype(np.int64)))
                dense[rows, arrays[f"{base}:indices"]] = data
                weights[base] = dense.reshape(shape)
    return weights


def size_of(path: pathlib.Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(item.stat().st_size for item in path.rglob("*") if item.is_file())


# Writing, loading: one pair a format. `load` gives a call that runs the file on the inputs, and
# frees what it loaded at the end.

Run = Callable[[], list[np.ndarray]]


def _write_litert(model: Any, path: pathlib.Path, inputs: list[np.ndarray], sparse: bool) -> None:
    path.write_bytes(litert_bytes(model, sparse))


@contextlib.contextmanager
def _load_litert(model: Any, path: pathlib.Path, inputs: list[np.ndarray]) -> Iterator[Run]:
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
            chosen = {id(target.variable) for target in _sparse_weights(model, FUNCTIONS_SIZE)}
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
                return model(_structured(model, list(inputs)), training=False)

        self.serve = serve


def _free(module: Any) -> None:
    """Frees the dense kernels of a `_WithSparseWeights`, made here or loaded from a file."""
    for item in module._scattered:
        tf.raw_ops.DestroyResourceOp(resource=item.resource_handle, ignore_lookup_error=True)


def _write_saved_model(
    model: Any, path: pathlib.Path, inputs: list[np.ndarray], sparse: bool
) -> None:
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
def _load_saved_model(model: Any, path: pathlib.Path, inputs: list[np.ndarray]) -> Iterator[Run]:
    module = tf.saved_model.load(str(path))
    tensors = [tf.constant(value) for value in inputs]

    def run() -> list[np.ndarray]:
        return _flat(module.serve(*tensors))

    try:
        yield run
    finally:
        # Nobody else has them: TensorFlow gives the resources of each load names of their own.
        _free(module)


def _write_npz(model: Any, path: pathlib.Path, inputs: list[np.ndarray], sparse: bool) -> None:
    chosen = {id(target.variable) for target in _sparse_weights(model)} if sparse else set()
    arrays: dict[str, np.ndarray] = {}
    for variable in model.weights:
        value = variable.numpy()
        if variable.path in arrays or f"{variable.path}:data" in arrays:
            raise ValueError(
                validation.describe(
                    "Two weights have one path.",
                    expected="a path for each weight",
                    received=variable.path,
                    fix="give the layers different names",
                )
            )
        if id(variable) not in chosen:
            arrays[variable.path] = value
            continue
        rows = value.reshape(-1, value.shape[-1])
        lines, columns = np.nonzero(rows)
        index = np.uint16 if rows.shape[1] <= 2**16 else np.int32
        arrays[f"{variable.path}:data"] = rows[lines, columns]
        arrays[f"{variable.path}:indices"] = columns.astype(index)
        arrays[f"{variable.path}:indptr"] = np.searchsorted(lines, np.arange(len(rows) + 1)).astype(
            np.int32
        )
        arrays[f"{variable.path}:shape"] = np.array(value.shape, np.int32)
    save = np.savez_compressed if sparse else np.savez
    with open(path, "wb") as file:
        save(file, **arrays)  # type: ignore[arg-type]


@contextlib.contextmanager
def _load_npz(model: Any, path: pathlib.Path, inputs: list[np.ndarray]) -> Iterator[Run]:
    weights = read_csr(path)
    pairs = [(variable, tf.constant(weights[variable.path])) for variable in model.weights]

    def run() -> list[np.ndarray]:
        with keras.StatelessScope(pairs):
            return _flat(model(_structured(model, inputs), training=False))

    yield run


_WRITERS: dict[
    str, tuple[Callable[..., None], Callable[..., contextlib.AbstractContextManager[Run]]]
] = {
    "litert": (_write_litert, _load_litert),
    "saved_model": (_write_saved_model, _load_saved_model),
    "npz_csr": (_write_npz, _load_npz),
}


def _sparse_weights(model: keras.Model, overhead: int = 0) -> list[Any]:
    """Weights that take fewer bytes as values with 4-byte positions, and so many bytes besides."""
    chosen = []
    for target in candidates(model):
        value = target.variable.numpy()
        size = np.count_nonzero(value) * (value.itemsize + 4) + overhead
        if len(target.shape) > 1 and size < value.nbytes:
            chosen.append(target)
    return chosen


# Inputs and outputs.


def _example_inputs(model: keras.Model, example: Any) -> list[np.ndarray]:
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


def _structured(model: keras.Model, inputs: list[Any]) -> Any:
    """The flat inputs in the nesting that the model takes."""
    structure = getattr(model, "input", None) if getattr(model, "inputs", None) else None
    if structure is not None:
        return keras.tree.pack_sequence_as(structure, inputs)
    return inputs[0] if len(inputs) == 1 else inputs


def _flat(outputs: Any) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(value) for value in keras.tree.flatten(outputs)]


def _natural(name: str) -> tuple[str, int, int]:
    """Sorts `args_0`, `args_0_1`, ... `args_0_10`, and `...:0` to `...:10`, in their order."""
    base, _, output = name.partition(":")
    stem, _, number = base.rpartition("_")
    tail = int(output) if output.isdigit() else 0
    if base.count("_") > 1 and number.isdigit():
        return stem, int(number), tail
    return base, -1, tail


def _largest_difference(outputs: list[np.ndarray], expected: list[np.ndarray]) -> float:
    if [y.shape for y in outputs] != [y.shape for y in expected]:
        return float("inf")
    return max(
        float(np.abs(np.asarray(y, np.float64) - np.asarray(z, np.float64)).max())
        for y, z in zip(outputs, expected, strict=True)
    )


def _time_in_turns(
    first: Callable[[], Any], second: Callable[[], Any], repetitions: int
) -> tuple[float, float]:
    """Median seconds of each call, made in turns: noise on the machine meets both alike."""
    times: tuple[list[float], list[float]] = ([], [])
    for repetition in range(-3, repetitions):
        for call, kept in zip((first, second), times, strict=True):
            start = time.perf_counter()
            call()
            if repetition >= 0:
                kept.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


# Files.


@contextlib.contextmanager
def _temporary_beside(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder on the same file system as `path`, removed at the end."""
    if path.is_dir() and not (path / "saved_model.pb").exists():
        raise ValueError(
            validation.describe(
                "`path` is a folder that is no SavedModel; it will not be replaced.",
                expected="a new path, a file or a SavedModel",
                received=str(path),
                fix="choose a name inside it",
            )
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        yield pathlib.Path(folder)


def _replace(source: pathlib.Path, path: pathlib.Path) -> None:
    """Renames source to path; a SavedModel in the way is moved first, as no folder is replaced."""
    if path.is_dir():
        old = source.with_name("replaced")
        os.replace(path, old)
        os.replace(source, path)
        shutil.rmtree(old)
    else:
        os.replace(source, path)
