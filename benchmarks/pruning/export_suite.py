"""Bytes and latency of exported files, by how many zeros there are and how they lie."""

import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import tfgumbel

# A network wide enough for its products to dominate, as in the report's advice.
WIDTHS = (1024, 2048, 2048, 16)
DENSITIES = (0.1, 0.05, 0.02, 0.01)
BLOCKS = (1, 4)
# Format, density, block.
CASES = (
    *(("litert", density, block) for block in BLOCKS for density in DENSITIES),
    ("saved_model", 0.02, 1),
    ("npz_csr", 0.02, 1),
)


def sparse_mlp(density: float, block: int) -> keras.Model:
    """A network that keeps a random share of each kernel, in blocks of so many inputs."""
    rng = np.random.default_rng(0)
    layers = [keras.layers.Dense(width, activation="relu") for width in WIDTHS[1:]]
    model = keras.Sequential([keras.Input(WIDTHS[:1]), *layers])
    for layer in layers:
        inputs, outputs = layer.kernel.shape
        kept = np.repeat(rng.random((inputs // block, outputs)) < density, block, axis=0)
        layer.kernel.assign(kept * rng.normal(size=kept.shape) / np.sqrt(density * inputs))
    return model


def run(repetitions: int = 50, advance: Callable[[], Any] = lambda: None) -> list[dict[str, Any]]:
    """Exports every case to LiteRT, and one to the other formats.

    Args:
        repetitions: timed calls of each file.
        advance: called after each of the `CASES`.

    Returns:
        results: one dict a file: `density`, `block`, and what `ExportResult.to_dict` holds.
    """
    results = []
    for format, density, block in CASES:
        model = sparse_mlp(density, block)
        with tempfile.TemporaryDirectory() as folder:
            result = tfgumbel.export_sparse(
                model, pathlib.Path(folder) / "model", format, repetitions=repetitions
            )
        values = result.to_dict()
        del values["path"]
        results.append({"density": density, "block": block, **values})
        advance()
    return results
