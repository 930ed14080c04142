"""Hands a program to an estimator: what `expectation` and `multi_sample_bound` share."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tfgumbel import registry
from tfgumbel.distributions.abilities import VARIABLES
from tfgumbel.expectations.objectives import Mean
from tfgumbel.expectations.program import Program, Relaxed, Run, Site
from tfgumbel.expectations.score_function import mean_of_others, without_value
from tfgumbel.internal import random, validation

Estimator = str | tuple[str, Mapping[str, Any]] | Callable[..., tf.Tensor]


def estimate(
    program: Program,
    estimator: Estimator,
    seed: Any,
    temperature: Any,
    options: Mapping[str, Any],
) -> tf.Tensor:
    """The program's objective, shape (batch,), with the estimator's gradient."""
    seed = random.normalize_seed(seed)
    if isinstance(estimator, tuple):
        estimator, given = estimator
        options = {**given, **options}
    if temperature is not None:
        options = {"temperature": temperature, **options}
    if not isinstance(estimator, str):
        function = functools.partial(estimator, **options)
        run = program.run(lambda site: function(site.logits, seed=site.seed), seed)
        return _with_scores(program, run)
    entry = registry.get(estimator)
    _check_options(entry, options)
    if isinstance(entry, registry.SampleEstimator):
        run = program.run(functools.partial(_answer, entry, options), seed)
        return _with_scores(program, run)
    entry = registry.loss_estimators()[entry.name]
    if program.num_samples < entry.min_samples:
        raise ValueError(
            validation.describe(
                f"Estimator {entry.name!r} compares the samples of an example.",
                expected=f"num_samples >= {entry.min_samples}",
                received=program.num_samples,
                fix="raise num_samples, or take one that needs no second sample, as 'reinforce'",
            )
        )
    if not (entry.multi_sample or isinstance(program.objective, Mean)):
        known = [name for name, other in registry.loss_estimators().items() if other.multi_sample]
        raise ValueError(
            validation.describe(
                f"Estimator {entry.name!r} does not know multi-sample bounds.",
                expected="one that acts on the sample, or one of " + ", ".join(known),
                received=entry.name,
                fix="with a single sample of each example, tfgumbel.expectation is the bound",
            )
        )
    program.refusing = "" if entry.any_distribution else entry.name
    return entry.function(program, seed=seed, **options)


def _with_scores(program: Program, run: Run) -> tf.Tensor:
    """The objective, with the score function's gradient for draws without a pathwise one."""
    value = program.objective.value(run.costs)
    if not run.scored:
        return value
    level = mean_of_others(tf.stop_gradient(program.objective.seen(run.costs)))
    signal = tf.stop_gradient(program.objective.signal(run.costs, level))
    return value + tf.reduce_sum(signal * without_value(run.log_prob(scored_only=True)), axis=0)


def _check_options(entry: registry.Entry, options: Mapping[str, Any]) -> None:
    """Raises an error that says what is wrong with an estimator or its options."""
    if not entry.differentiable:
        raise ValueError(
            validation.describe(
                f"Estimator {entry.name!r} has no gradient.",
                expected="an estimator of gradients",
                received=entry.name,
                fix='"reinforce" draws exact samples too, and has one',
            )
        )
    if set(VARIABLES).isdisjoint(entry.variables):
        kind = " or ".join(map(repr, entry.variables))
        raise ValueError(
            validation.describe(
                f"Estimator {entry.name!r} is for a {kind}, which no program draws.",
                expected="an estimator for a " + " or a ".join(map(repr, VARIABLES)),
                received=entry.name,
                fix=f"call tfgumbel.{entry.name} inside the program, in place of `draw`",
            )
        )
    if entry.needs_temperature and "temperature" not in options:
        raise ValueError(
            validation.describe(
                f"Estimator {entry.name!r} needs a temperature.",
                expected="a positive number, tensor or variable",
                received=None,
                fix="pass `temperature=0.5`, say",
            )
        )
    known = [name for name in entry.parameters if name not in ("logits", "program", "seed")]
    for name in options:
        if name not in known:
            raise TypeError(
                validation.describe(
                    f"Estimator {entry.name!r} has no option {name!r}.",
                    expected="one of " + ", ".join(known) if known else "no option",
                    received=name,
                    fix="leave it out, or change the estimator",
                )
            )


def _answer(
    entry: registry.SampleEstimator, options: Mapping[str, Any], site: Site
) -> tf.Tensor | Relaxed:
    """Answers a draw by an estimator, or by what it is called for another kind of variable."""
    chosen = registry.counterpart(entry, site.variable)
    known = {name: value for name, value in options.items() if name in chosen.parameters}
    if chosen.hard or not chosen.exact_sampling:
        return chosen.function(site.logits, seed=site.seed, **known)
    temperature = validation.temperature_tensor(
        known["temperature"], validation.compute_dtype(site.logits.dtype)
    )
    return Relaxed(*site.variable.relax(site.logits, temperature, site.seed), temperature)
