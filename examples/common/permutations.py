"""The flags and the layer of networks that put things in order by Gumbel-Sinkhorn."""

import dataclasses

from absl import flags

import tfgumbel
from tfgumbel.distributions.permutations import GUMBEL_MATCHING
from tfgumbel.registry import sample_estimators


@dataclasses.dataclass(frozen=True)
class PermutationSettings:
    """How permutations are relaxed in training; an example's own settings are a subclass."""

    estimator: str = "gumbel_sinkhorn"
    temperature: float = 1.0
    num_iterations: int = 20
    noise_scale: float = 0.0
    seed: int = 0


def define_flags(defaults):
    """Defines a flag for every field of `PermutationSettings`, of these defaults."""
    one = defaults
    names = list(sample_estimators(GUMBEL_MATCHING))
    flags.DEFINE_enum("estimator", one.estimator, names, "Of permutations.")
    flags.DEFINE_float("temperature", one.temperature, "Of the scores.", lower_bound=1e-3)
    flags.DEFINE_integer("num_iterations", one.num_iterations, "Sinkhorn's.", lower_bound=1)
    flags.DEFINE_float("noise_scale", one.noise_scale, "Of the noise.", lower_bound=0.0)
    flags.DEFINE_integer("seed", one.seed, "Of weights, data and noise.")


def make_layer(settings):
    """Scores, things in rows and places in columns, to permutations: the best one in the test."""
    return tfgumbel.GumbelSinkhornLayer(
        settings.temperature,
        settings.estimator,
        num_iterations=settings.num_iterations,
        noise_scale=settings.noise_scale,
        inference="argmax",
        seed=settings.seed,
    )
