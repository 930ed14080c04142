"""Objectives of models with discrete latents: closed-form KL, ELBO, importance-weighted bounds."""

from tfgumbel.objectives.bounds import elbo, importance_weighted_bound, multi_sample_bound
from tfgumbel.objectives.divergences import bernoulli_kl, categorical_kl

__all__ = [
    "bernoulli_kl",
    "categorical_kl",
    "elbo",
    "importance_weighted_bound",
    "multi_sample_bound",
]
