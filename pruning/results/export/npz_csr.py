"""NumPy arrays in compressed sparse row form, without pickled objects."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pruning.results.export.format import Format, Run, flat_outputs, sparse_weights, structured
from tfgumbel.internal import validation
from tfgumbel.internal.files import reading


def read_csr(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads what `export_sparse(..., format="npz_csr")` wrote, as dense arrays.

    The file holds, for a weight `NAME` with its last axis as columns and all others as rows,
    `NAME:data`, `NAME:indices`, `NAME:indptr` (compressed sparse rows, as SciPy names them) and
    `NAME:shape`; a weight without zeros to spare is `NAME` alone.

    Args:
        path: the `.npz` file.

    Returns:
        weights: dict from a weight's path in the model to its array.

    Raises:
        ValueError: the file is damaged or of another kind.
    """
    weights: dict[str, np.ndarray] = {}
    fix = "write it again with export_sparse, or get a whole copy"
    # Opened here: NumPy leaves a damaged file open.
    with reading(path, fix), open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
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


def _write(model: Any, path: pathlib.Path, inputs: list[np.ndarray], sparse: bool) -> None:
    chosen = {id(target.variable) for target in sparse_weights(model)} if sparse else set()
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
def _load(model: Any, path: pathlib.Path, inputs: list[np.ndarray]) -> Iterator[Run]:
    weights = read_csr(path)
    pairs = [(variable, tf.constant(weights[variable.path])) for variable in model.weights]

    def run() -> list[np.ndarray]:
        with keras.StatelessScope(pairs):
            return flat_outputs(model(structured(model, inputs), training=False))

    yield run


NPZ_CSR = Format(_write, _load, runs=False)
