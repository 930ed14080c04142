"""Distributions, all TensorFlow Probability's in form: densities and batch semantics are its.

The relaxed samples of `gumbel_softmax` have the density of `RelaxedOneHotCategorical`, those of
`binary_concrete` that of `RelaxedBernoulli`, the hard ones of every estimator the probabilities of
`OneHotCategorical` or `Bernoulli`. Added here: `HardConcrete`; and subsets of k classes, by their
logits' sum (`ConditionalBernoulli`) or drawn one after the other without replacement, with the
order (`OrderedSubset`) or without (`PlackettLuceSubset`). `layer.distribution(logits)` is the one
that a layer draws from.

TFP takes seconds to import, and is imported at the first use of a name of this module.
"""

import importlib
from typing import Any

# Each in a file of its own.
_OURS = {
    "ConditionalBernoulli": "_conditional_bernoulli",
    "HardConcrete": "_hard_concrete",
    "OrderedSubset": "_ordered_subset",
    "PlackettLuceSubset": "_plackett_luce_subset",
}

__all__ = [
    "Bernoulli",
    "ConditionalBernoulli",
    "HardConcrete",
    "OneHotCategorical",
    "OrderedSubset",
    "PlackettLuceSubset",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
]


def __getattr__(name: str) -> Any:
    if name in _OURS:
        return getattr(importlib.import_module(f"tfgumbel.distributions.{_OURS[name]}"), name)
    if name in __all__:
        return getattr(importlib.import_module("tensorflow_probability").distributions, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
