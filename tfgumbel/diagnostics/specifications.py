"""What a caller may say of the estimators to be measured."""

import functools
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from tfgumbel import registry
from tfgumbel.internal import validation


def name_specifications(estimators: Iterable[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Returns {label: specification}; a name is its own label."""
    if isinstance(estimators, Mapping):
        specifications = dict(estimators)
    else:
        names = [estimators] if isinstance(estimators, str) else list(estimators)
        specifications = {name: name for name in names}
        if len(specifications) < len(names):
            raise ValueError(
                validation.describe(
                    "An estimator is named twice.",
                    expected="distinct names, or a mapping from distinct labels",
                    received=names,
                    fix='{"GR, 10 draws": ("gumbel_rao", {"num_samples": 10}), ...}',
                )
            )
    if not specifications:
        raise ValueError(
            validation.describe(
                "`estimators` is empty.",
                expected="at least one estimator",
                received=estimators,
                fix='["straight_through_gumbel_softmax", "gumbel_rao"] is a start',
            )
        )
    return specifications


def resolve(specification: Any, num_samples: int = 1) -> tuple[dict[str, Any], bool]:
    """Returns the arguments of `expectation` that name an estimator, and if it lacks a temperature.

    Args:
        specification: A name, a callable, or a pair (name or callable, options).
        num_samples: Of each example; an estimator that needs more gets what it needs.
    """
    name, options = specification if isinstance(specification, tuple) else (specification, {})
    if not isinstance(name, str):
        function = functools.partial(name, **options)
        parameter = inspect.signature(function).parameters.get("temperature")
        lacks = parameter is not None and parameter.default is inspect.Parameter.empty
        return {"estimator": function, "num_samples": num_samples}, lacks
    entry = registry.get(name)
    if isinstance(entry, registry.LossEstimator):
        num_samples = max(num_samples, entry.min_samples)
    arguments = {"estimator": (name, options), "num_samples": num_samples}
    return arguments, entry.needs_temperature and "temperature" not in options
