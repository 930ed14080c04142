"""Gradient estimators for discrete latent variables, and L0-budgeted pruning, for Keras 3."""

import importlib
from typing import Any

import tfgumbel.internal.backend  # noqa: F401
from tfgumbel import (
    callbacks,
    diagnostics,
    distributions,
    estimators,
    expectations,
    layers,
    objectives,
    registry,
    schedules,
)
from tfgumbel.estimators import *  # noqa: F403
from tfgumbel.expectations import RunningMean, expectation, multi_sample_bound
from tfgumbel.internal.random import fold_in
from tfgumbel.layers import *  # noqa: F403

# Resolved on first use: pruning imports this package, never the reverse at load time.
_PRUNING = ("prune", "sparsity_report", "export_sparse", "keep_sparsity")

__all__ = [
    *estimators.__all__,
    *layers.__all__,
    "RunningMean",
    "callbacks",
    "diagnostics",
    "distributions",
    "expectation",
    "expectations",
    "fold_in",
    "layers",
    "multi_sample_bound",
    "objectives",
    "registry",
    "schedules",
    *_PRUNING,
]


def __getattr__(name: str) -> Any:
    if name in _PRUNING:
        return getattr(importlib.import_module("pruning"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
