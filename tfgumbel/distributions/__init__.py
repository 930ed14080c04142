"""Distributions, all TensorFlow Probability's: densities, divergences and batch semantics are its.

The relaxed samples of `gumbel_softmax` have the density of `RelaxedOneHotCategorical`, those of
`binary_concrete` that of `RelaxedBernoulli`, the hard ones of every estimator the probabilities of
`OneHotCategorical` or `Bernoulli`; `HardConcrete` is added here.
"""

import tensorflow_probability as tfp

from tfgumbel.distributions.hard_concrete_distribution import HardConcrete

Bernoulli = tfp.distributions.Bernoulli
OneHotCategorical = tfp.distributions.OneHotCategorical
RelaxedBernoulli = tfp.distributions.RelaxedBernoulli
RelaxedOneHotCategorical = tfp.distributions.RelaxedOneHotCategorical

__all__ = [
    "Bernoulli",
    "HardConcrete",
    "OneHotCategorical",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
]
