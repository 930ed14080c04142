"""Sparse files from pruned models: written whole or not at all, loaded back, run and timed.

Keras writes zeros as it writes any number, so a pruned model is as large on disk as a dense one;
the formats here store what was kept.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import rich.console
import rich.table

from pruning.results.export.format import Format, example_inputs, flat_outputs, structured
from pruning.results.export.litert import LITERT
from pruning.results.export.npz_csr import NPZ_CSR
from pruning.results.export.saved_model import SAVED_MODEL
from pruning.results.finite import check_finite
from tfgumbel.internal import validation

# By the name that `export_sparse` takes.
FORMATS: dict[str, Format] = {
    "litert": LITERT,
    "saved_model": SAVED_MODEL,
    "npz_csr": NPZ_CSR,
}
# A sparse product adds in another order than a dense one: float32 rounding, nothing more.
TOLERANCE = 1e-4


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
            known and `example` is None, weights are not finite, or `path` is a folder that is no
            SavedModel.
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
    check_finite(model)
    inputs = example_inputs(model, example)
    path = pathlib.Path(path)
    write, load, runs = FORMATS[format]
    with _temporary_beside(path) as folder:
        sparse, dense = folder / f"sparse{path.suffix}", folder / f"dense{path.suffix}"
        write(model, sparse, inputs, True)
        write(model, dense, inputs, False)
        with load(model, sparse, inputs) as run, load(model, dense, inputs) as run_dense:
            expected = flat_outputs(model(structured(model, inputs), training=False))
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
            if runs:
                latency, dense_latency = _time_in_turns(run, run_dense, repetitions)
        result = ExportResult(
            str(path), format, size_of(sparse), size_of(dense), error, latency, dense_latency
        )
        _replace(sparse, path)
    return result


def size_of(path: pathlib.Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(item.stat().st_size for item in path.rglob("*") if item.is_file())


def _largest_difference(outputs: list[np.ndarray], expected: list[np.ndarray]) -> float:
    if [y.shape for y in outputs] != [y.shape for y in expected]:
        return float("inf")
    with np.errstate(invalid="ignore"):  # infinity less infinity
        differences = [
            np.abs(np.asarray(y, np.float64) - np.asarray(z, np.float64)).max()
            for y, z in zip(outputs, expected, strict=True)
        ]
    return float(np.max(differences))  # NaN if any is, as Python's max is not


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
