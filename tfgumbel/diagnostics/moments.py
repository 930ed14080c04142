"""Moments of a gradient estimator's draws: many in one compiled call, sums in float64."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel import registry
from tfgumbel.diagnostics.enumeration import outcome_codes
from tfgumbel.distributions.abilities import Variable
from tfgumbel.expectations import RunningMean, expectation
from tfgumbel.expectations.program import Draw
from tfgumbel.internal import validation

Sums = dict[str, np.ndarray]


def resolve(specification: Any, variable: Variable) -> tuple[dict[str, Any], bool]:
    """Returns the arguments of `expectation` that name an estimator, and if it lacks a temperature.

    Args:
        specification: A name, a callable, or a pair (name or callable, options).
        variable: What is drawn.
    """
    name, options = specification if isinstance(specification, tuple) else (specification, {})
    if not isinstance(name, str):
        function = functools.partial(name, **options)
        parameter = inspect.signature(function).parameters.get("temperature")
        lacks = parameter is not None and parameter.default is inspect.Parameter.empty
        return {"estimator": function}, lacks
    entry = registry.get(name)
    known = registry.gradient_estimators(variable)
    if name not in known:
        raise ValueError(
            validation.describe(
                f"`{name}` is no gradient estimator of a {variable}.",
                expected="one of " + ", ".join(known),
                received=name,
                fix="take one of those, or a distribution that it can draw from",
            )
        )
    if "baseline" in entry.parameters:
        options = {"baseline": RunningMean(), **options}
    return {"estimator": (name, options)}, entry.needs_temperature and "temperature" not in options


def sample_gradients(
    f: Callable[[tf.Tensor], tf.Tensor],
    variable: Variable,
    logits: tf.Tensor,
    arguments: Mapping[str, Any],
    seed: Any,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws independent gradient estimates together.

    Args:
        f: Maps samples (num_draws, ...) to values (num_draws,).
        variable: What is drawn.
        logits: Shape (num_draws, ...).
        arguments: Those of `expectation` that name the estimator.
        seed: Int tensor of shape [2].

    Returns:
        gradients: The shape of `logits`, each row from one sample.
        sample: The samples themselves.
    """
    seen = []

    def program(draw: Draw, logits: tf.Tensor) -> tf.Tensor:
        seen.append(draw.variable(variable, logits))
        return f(seen[0])

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(logits)
        value = expectation(program, logits, seed=seed, **arguments)
    gradients = tape.gradient(value, logits)
    if gradients is None:
        raise ValueError(
            validation.describe(
                "An estimator gave no gradient for the logits.",
                expected="a sample differentiable in the logits",
                received=f"{arguments['estimator']!r}",
                fix="use an estimator of the registry, or one whose output depends on its logits",
            )
        )
    return gradients, seen[0]


def summing_function(
    f: Callable[[tf.Tensor], tf.Tensor],
    variable: Variable,
    logits: tf.Tensor,
    specification: Any,
    truth: np.ndarray,
    *,
    num_draws: int,
    num_outcomes: int,
    jit_compile: bool,
) -> Callable[[tf.Tensor, Any], dict[str, tf.Tensor]]:
    """Compiles a function (seed, temperature) that draws errors x = g - truth and sums them up.

    The temperature is for an estimator that lacks one; as a tensor it is traced once.

    The sums, all float64: `count` (outcomes,), `error` (outcomes, size) and `square` (outcomes,) of
    |x|^2, by outcome; over all draws `square_by_entry` (size,), `fourth` of |x|^4 and `cosine` of
    the draws' cosines with the truth.
    """
    arguments, lacks_temperature = resolve(specification, variable)
    center = tf.constant(truth.reshape(-1), tf.float64)

    @tf.function(autograph=False, jit_compile=jit_compile)
    def sums(seed: tf.Tensor, temperature: Any) -> dict[str, tf.Tensor]:
        chosen = {"temperature": temperature} if lacks_temperature else {}
        repeated = tf.broadcast_to(logits, [num_draws, *logits.shape])
        gradients, sample = sample_gradients(f, variable, repeated, {**arguments, **chosen}, seed)
        gradients = tf.cast(tf.reshape(gradients, [num_draws, -1]), tf.float64)
        codes = outcome_codes(variable, sample)
        error = gradients - center
        square = tf.reduce_sum(error**2, axis=1)
        cosine = tf.math.divide_no_nan(
            tf.linalg.matvec(gradients, center), tf.norm(gradients, axis=1) * tf.norm(center)
        )
        by_outcome = functools.partial(
            tf.math.unsorted_segment_sum, segment_ids=codes, num_segments=num_outcomes
        )
        return {
            "count": by_outcome(tf.ones_like(square)),
            "error": by_outcome(error),
            "square": by_outcome(square),
            "square_by_entry": tf.reduce_sum(error**2, axis=0),
            "fourth": tf.reduce_sum(square**2),
            "cosine": tf.reduce_sum(cosine),
        }

    return sums


def within_outcome_variance(sums: Mapping[str, np.ndarray]) -> np.ndarray:
    """E[tr Var(g | D)], estimated from the outcomes that were drawn twice or more (else NaN).

    Args:
        sums: `count` and `square` (..., outcomes), `error` (..., outcomes, size).

    Returns:
        variance: Shape (...).
    """
    count = np.asarray(sums["count"])
    repeated = count > 1
    spread = sums["square"] - np.sum(sums["error"] ** 2, -1) / np.maximum(count, 1.0)
    spread = np.where(repeated, count * np.maximum(spread, 0.0) / np.maximum(count - 1.0, 1.0), 0.0)
    total = np.sum(count * repeated, -1)
    return np.where(total > 0, np.sum(spread, -1) / np.where(total > 0, total, 1.0), np.nan)
