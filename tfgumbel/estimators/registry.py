"""The table of estimators that tests, layers, documentation and benchmarks iterate over."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeVar

import tensorflow as tf

from tfgumbel.internal import validation

Function = TypeVar("Function", bound=Callable[..., tf.Tensor])


@dataclasses.dataclass(frozen=True)
class Entry:
    """One estimator and what may be said of it.

    Attributes:
        name: The public name, `tfgumbel.<name>`.
        function: `function(logits, *, temperature, seed, ...) -> sample`.
        event: "categorical" (classes on the last axis) or "bernoulli" (one logit per variable).
        hard: Whether samples are exactly 0 or 1.
        bias: The gradient's bias, in a few words.
        use_when: When to prefer it, in a few words.
        reference: Authors, venue, year and equation.
        differentiable: Whether it has a gradient at all.
        temperature_gradient: Whether the gradient reaches the temperature.
        exact_sampling: Whether class j is the largest with probability softmax(logits)_j.
    """

    name: str
    function: Callable[..., tf.Tensor]
    event: Literal["categorical", "bernoulli"]
    hard: bool
    bias: str
    use_when: str
    reference: str
    differentiable: bool = True
    temperature_gradient: bool = False
    exact_sampling: bool = True

    @property
    def takes_temperature(self) -> bool:
        """Whether the function has a temperature."""
        return "temperature" in inspect.signature(self.function).parameters

    def __call__(self, logits: Any, *, temperature: Any, seed: Any, **options: Any) -> tf.Tensor:
        """Calls the estimator, leaving out the temperature where it has none."""
        if self.takes_temperature:
            options["temperature"] = temperature
        return self.function(logits, seed=seed, **options)


_ENTRIES: dict[str, Entry] = {}


class _Registry(Mapping[str, Entry]):
    """A read-only view in order of registration; unknown names list the known ones."""

    def __getitem__(self, name: str) -> Entry:
        return _ENTRIES[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_ENTRIES)

    def __len__(self) -> int:
        return len(_ENTRIES)


REGISTRY: Mapping[str, Entry] = _Registry()


def register(**description: Any) -> Callable[[Function], Function]:
    """Registers the decorated function as an estimator under its own name.

    Args:
        **description: The fields of `Entry` other than `name` and `function`.

    Raises:
        ValueError: if the name is taken.
    """

    def decorate(function: Function) -> Function:
        name = function.__name__
        if name in _ENTRIES:
            raise ValueError(
                validation.describe(
                    "An estimator is registered twice.",
                    expected="a new name",
                    received=name,
                    fix="rename the function; registered: " + ", ".join(_ENTRIES),
                )
            )
        _ENTRIES[name] = Entry(name=name, function=function, **description)
        return function

    return decorate


def get(name: str) -> Entry:
    """Returns the estimator called `name`.

    Raises:
        ValueError: if there is none, naming those there are.

    >>> import tfgumbel
    >>> get("gumbel_softmax").hard
    False
    """
    return _ENTRIES[validation.one_of("estimator", name, _ENTRIES)]
