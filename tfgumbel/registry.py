"""The table of estimators that tests, layers, documentation, benchmarks and flags iterate over.

There are two kinds. One acts on the sample: a function of logits whose sample carries the gradient.
The other acts on the loss: it runs a whole program (`tfgumbel.expectation`), as often as it needs.
An estimator registers itself in its own file; the package that holds it imports it by one line.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeVar

import tensorflow as tf

from tfgumbel.distributions.abilities import VARIABLES, Kind, Variable
from tfgumbel.internal import validation

__all__ = [
    "REGISTRY",
    "Entry",
    "LossEstimator",
    "SampleEstimator",
    "counterpart",
    "get",
    "gradient_estimators",
    "loss_estimators",
    "register",
    "sample_estimators",
]

Function = TypeVar("Function", bound=Callable[..., tf.Tensor])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One estimator and what may be said of it.

    Attributes:
        name: By which `expectation`, layers and tools know it.
        function: What it does; its keyword-only arguments are the estimator's options.
        bias: The gradient's bias, in a few words.
        use_when: When to prefer it, in a few words.
        reference: Authors, venue, year and equation.
        differentiable: Whether it has a gradient at all.
        acts_on: "sample" or "loss".
    """

    name: str
    function: Callable[..., tf.Tensor]
    bias: str
    use_when: str
    reference: str
    differentiable: bool = True
    acts_on: ClassVar[Literal["sample", "loss"]]

    @property
    def variables(self) -> tuple[Kind, ...]:
        """The kinds of variable that it can draw."""
        raise NotImplementedError

    @functools.cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The function's parameters."""
        return inspect.signature(self.function).parameters

    @property
    def takes_temperature(self) -> bool:
        """Whether the function has a temperature."""
        return "temperature" in self.parameters

    @property
    def needs_temperature(self) -> bool:
        """Whether it has one and no default for it."""
        parameter = self.parameters.get("temperature")
        return parameter is not None and parameter.default is parameter.empty


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleEstimator(Entry):
    """An estimator that acts on the sample, `tfgumbel.<name>`.

    Attributes:
        function: `function(logits, *, temperature, seed, ...) -> sample`.
        variable: The kind of variable that its logits describe.
        hard: Whether samples are exactly 0 or 1.
        family: What the same estimator is called across kinds of variable, if it has others. A
            relaxed one's layer rounds by the straight-through estimator of its kind.
        temperature_gradient: Whether the gradient reaches the temperature.
        exact_sampling: Whether samples round to an exact sample of the variable.
        density: `density(logits, *, temperature, ...)` gives the TFP distribution of the samples
            where it is neither the variable's own nor its relaxation.
    """

    variable: Kind
    hard: bool
    family: str | None = None
    temperature_gradient: bool = False
    exact_sampling: bool = True
    density: Callable[..., Any] | None = None
    acts_on: ClassVar[Literal["sample", "loss"]] = "sample"

    @property
    def variables(self) -> tuple[Kind, ...]:
        return (self.variable,)

    def __call__(self, logits: Any, *, temperature: Any, seed: Any, **options: Any) -> tf.Tensor:
        """Calls the estimator, leaving out the temperature where it has none."""
        if self.takes_temperature:
            options["temperature"] = temperature
        return self.function(logits, seed=seed, **options)

    def distribution(self, logits: tf.Tensor, *, temperature: Any, **options: Any) -> Any:
        """The TFP distribution of the samples that the estimator draws from `logits`."""
        if self.density is not None:
            names = inspect.signature(self.density).parameters
            options = {name: value for name, value in options.items() if name in names}
            return self.density(logits, temperature=temperature, **options)
        own = {name: options[name] for name in self.variable.parameters}
        if self.hard:
            return self.variable.make(logits, **own)
        return self.variable.make_relaxed(logits, temperature, **own)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossEstimator(Entry):
    """An estimator that acts on the loss, a name for `tfgumbel.expectation`.

    Attributes:
        function: `function(program, *, seed, ...) -> value`: it runs the program as it needs, and
            returns the objective, shape (batch,), whose gradient is the estimator's.
        kinds: The kinds of variable that it can draw, all of them unless said otherwise.
        multi_sample: Whether it knows the gradient of a multi-sample bound.
        cascades: Whether a draw may depend on an earlier one.
        min_samples: The number of samples that it needs of each example.
        any_distribution: Whether log probabilities are all that it asks of a draw.
    """

    kinds: tuple[Variable, ...] = VARIABLES
    multi_sample: bool = False
    cascades: bool = True
    min_samples: int = 1
    any_distribution: bool = False
    acts_on: ClassVar[Literal["sample", "loss"]] = "loss"

    @property
    def variables(self) -> tuple[Kind, ...]:
        return self.kinds


_ENTRIES: dict[str, Entry] = {}

# A read-only view in order of registration.
REGISTRY: Mapping[str, Entry] = MappingProxyType(_ENTRIES)


def register(kind: type[Entry], **description: Any) -> Callable[[Function], Function]:
    """Registers the decorated function as an estimator under its own name.

    Args:
        kind: `SampleEstimator` or `LossEstimator`.
        **description: The fields of `kind` other than `name` and `function`.

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
        _ENTRIES[name] = kind(name=name, function=function, **description)
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


def sample_estimators(variable: Kind | None = None) -> dict[str, SampleEstimator]:
    """Those that act on the sample, of one kind of variable or (None) of all."""
    return {
        name: entry
        for name, entry in _ENTRIES.items()
        if isinstance(entry, SampleEstimator) and variable in (None, entry.variable)
    }


def loss_estimators() -> dict[str, LossEstimator]:
    """Those that act on the loss."""
    return {name: entry for name, entry in _ENTRIES.items() if isinstance(entry, LossEstimator)}


def gradient_estimators(variable: Kind) -> dict[str, Entry]:
    """Those of either kind that have a gradient and can draw such a variable."""
    return {
        name: entry
        for name, entry in _ENTRIES.items()
        if entry.differentiable and variable in entry.variables
    }


def counterpart(entry: Entry, variable: Kind) -> SampleEstimator:
    """The estimator itself, or what it is called for another kind of variable.

    Raises:
        ValueError: if it cannot draw such a variable, naming those that can.
    """
    if isinstance(entry, SampleEstimator):
        if entry.variable is variable:
            return entry
        for other in sample_estimators(variable).values():
            if entry.family is not None and other.family == entry.family:
                return other
    raise ValueError(
        validation.describe(
            f"Estimator {entry.name!r} cannot draw from a {variable}.",
            expected="a " + " or ".join(map(repr, entry.variables)),
            received=f"a {variable}",
            fix=f"for a {variable}, one of " + ", ".join(sample_estimators(variable)),
        )
    )
