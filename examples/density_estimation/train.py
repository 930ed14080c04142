"""Training and evaluation of the belief network: its settings, and a run."""

import dataclasses

from examples.common import bound_training
from examples.density_estimation.model import BeliefNetwork


@dataclasses.dataclass(frozen=True)
class Settings(bound_training.BoundSettings):
    """Everything that decides a run's result; see the flags in main.py for what each does."""

    optimizer: str = "adam"
    learning_rate: float = 4e-3
    batch_size: int = 32
    steps: int = 30_000
    warmup_steps: int = 100
    layers: tuple[int, ...] = (200,)
    prior_temperature: float = 0.5


def make_model(settings, splits):
    """The model of a run."""
    return BeliefNetwork(splits.pixel_means, settings)


def run(settings, run_dir, *, splits=None, evaluate=True):
    """One run, from where it was stopped: `bound_training.run` says what it leaves and returns."""
    return bound_training.run(settings, run_dir, make_model, splits=splits, evaluate=evaluate)
