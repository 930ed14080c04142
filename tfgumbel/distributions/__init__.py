"""Distributions, all TensorFlow Probability's: densities, divergences and batch semantics are its.

The relaxed samples of `gumbel_softmax` have the density of `RelaxedOneHotCategorical`, those of
`binary_concrete` that of `RelaxedBernoulli`, the hard ones of every estimator the probabilities of
`OneHotCategorical` or `Bernoulli`; `HardConcrete` is added here. `layer.distribution(logits)` is
the one that a layer draws from.

TFP takes seconds to import, and is imported at the first use of a name of this module.
"""

import importlib
from typing import Any

__all__ = [
    "Bernoulli",
    "HardConcrete",
    "OneHotCategorical",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
]


def __getattr__(name: str) -> Any:
    if name == "HardConcrete":
        return importlib.import_module("tfgumbel.distributions._hard_concrete").HardConcrete
    if name in __all__:
        return getattr(importlib.import_module("tensorflow_probability").distributions, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
