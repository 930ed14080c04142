"""The estimators that flags offer: read from the library's registry, here and nowhere else."""

import inspect

from tfgumbel.estimators import REGISTRY
from tfgumbel.expectations import SCORE_FUNCTIONS


def acting_on_samples(event=None):
    """Name to entry of those that give a sample with a gradient.

    Args:
        event: "categorical" or "bernoulli"; None for both.
    """
    return {
        name: entry
        for name, entry in REGISTRY.items()
        if entry.differentiable and event in (None, entry.event)
    }


def names(event):
    """Names of all that `tfgumbel.expectation` takes for a kind of variable."""
    return [*SCORE_FUNCTIONS, *acting_on_samples(event)]


def own_temperature(name):
    """The default of an estimator's temperature: inspect.Parameter.empty if it has to be given,
    None if it has no temperature."""
    if name in SCORE_FUNCTIONS:
        return None
    parameter = inspect.signature(REGISTRY[name].function).parameters.get("temperature")
    return None if parameter is None else parameter.default


def needs_temperature(name):
    """Whether an estimator's temperature has to be given."""
    return own_temperature(name) is inspect.Parameter.empty
