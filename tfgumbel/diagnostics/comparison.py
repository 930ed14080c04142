"""Gradient estimators side by side, against the truth by enumeration."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics.enumeration import MAX_OUTCOMES, count_outcomes, exact_expectation
from tfgumbel.diagnostics.moments import (
    Sums,
    summing_function,
    within_outcome_variance,
)
from tfgumbel.diagnostics.table import Comparison, Row
from tfgumbel.distributions import abilities
from tfgumbel.internal import random, validation

# Elements of the logits of one batch of draws: 1 MiB of float32.
BATCH_ELEMENTS = 2**18
MIN_BATCHES = 4


def compare_estimators(
    f: Callable[[tf.Tensor], tf.Tensor],
    logits: Any,
    estimators: Iterable[str] | Mapping[str, Any],
    num_draws: int = 10_000,
    seed: Any = 0,
    *,
    temperature: Any = 0.5,
    max_outcomes: int = MAX_OUTCOMES,
    jit_compile: bool = False,
) -> Comparison:
    """Compares gradient estimators of E[f(D)]: bias, variance and its split, error, cosine, time.

    Each draw is a gradient for the logits from one sample D. With g a draw, t the truth, and tr Var
    the sum of the entries' variances (Paulus et al. 2021, eq. 13),

        bias = |E[g] - t|    variance = tr Var(g) = E[tr Var(g | D)] + tr Var(E[g | D])
        mse = E|g - t|^2 = variance + bias^2

    Relaxed samples count as the outcome they round to. The standard error of the bias is what
    |mean - t| would be, in root mean square, without any. Within-D variance needs outcomes that
    were drawn more than once: let num_draws be many times the number of outcomes. The running mean
    of "reinforce_baseline" holds the values of earlier batches of draws.

    Args:
        f: Maps samples (num, *logits.shape) to values (num,); deterministic.
        logits: Shape (..., num_classes), every leading axis holding independent variables; or a
            TFP `OneHotCategorical` or `Bernoulli`, with its own logits.
        estimators: Names in `tfgumbel.registry.REGISTRY`, or a mapping from labels to names, pairs
            (name, options), or callables (logits, *, seed) -> sample.
        num_draws: Number of draws of each, an int >= 2; rounded up to whole batches.
        seed: Int, pair of ints, or integer tensor of shape [2]; shared by all estimators.
        temperature: Of the estimators that require one and whose options do not give it.
        max_outcomes: The largest number of joint outcomes to enumerate.
        jit_compile: Whether to compile the draws with XLA, in place of a graph.

    Returns:
        comparison: One row for each estimator; prints as a table.

    Raises:
        ValueError: if a name is unknown or has no gradient, f's values have the wrong shape, or the
            outcomes are too many.

    >>> import tensorflow as tf
    >>> import tfgumbel
    >>> comparison = tfgumbel.diagnostics.compare_estimators(
    ...     lambda sample: sample[:, 0] ** 2, tf.constant([0.0, 0.5, 1.0]),
    ...     ["reinforce", "straight_through_gumbel_softmax", "gumbel_rao"], num_draws=1000)
    >>> rows = comparison.rows
    >>> rows["gumbel_rao"].variance < rows["straight_through_gumbel_softmax"].variance
    True

    References: Paulus, Maddison & Krause, ICLR 2021, eq. 13.
    """
    measurement = Measurement(
        f,
        logits,
        estimators,
        num_draws,
        max_outcomes=max_outcomes,
        jit_compile=jit_compile,
    )
    return measurement.run(seed, temperature)


class Measurement:
    """A comparison made ready: the truth enumerated, every estimator compiled.

    Args: as those of `compare_estimators`.
    """

    def __init__(
        self,
        f: Callable[[tf.Tensor], tf.Tensor],
        logits: Any,
        estimators: Iterable[str] | Mapping[str, Any],
        num_draws: int,
        *,
        max_outcomes: int = MAX_OUTCOMES,
        jit_compile: bool = False,
    ):
        given = logits
        variable, logits = abilities.resolve(given)
        specifications = name_specifications(estimators)
        if validation.positive_integer("num_draws", num_draws) < 2:
            raise ValueError(
                validation.describe(
                    "`num_draws` is too small for a variance.",
                    expected="an integer >= 2",
                    received=num_draws,
                    fix="some thousands: the bias is known to sqrt(variance / num_draws)",
                )
            )
        self._num_outcomes = count_outcomes(variable, logits.shape, max_outcomes)
        self._value, self._truth = exact_expectation(f, given, max_outcomes=max_outcomes)
        num_batches = max(MIN_BATCHES, -(-num_draws * self._truth.size // BATCH_ELEMENTS))
        self._num_batches = min(num_batches, num_draws)
        self._batch_size = -(-num_draws // self._num_batches)
        self._functions = {
            label: summing_function(
                f,
                variable,
                logits,
                specification,
                self._truth,
                num_draws=self._batch_size,
                num_outcomes=self._num_outcomes,
                jit_compile=jit_compile,
            )
            for label, specification in specifications.items()
        }

    def run(self, seed: Any, temperature: Any) -> Comparison:
        """Draws and sums up; a tensor as temperature is traced once for all its values."""
        sums, seconds = _accumulate(
            self._functions, self._num_batches, random.normalize_seed(seed), temperature
        )
        return Comparison(
            rows={
                label: summarize(label, sums[label], self._truth, seconds[label] / self._batch_size)
                for label in self._functions
            },
            value=self._value,
            truth=self._truth,
            num_outcomes=self._num_outcomes,
            num_draws=self._num_batches * self._batch_size,
            batch_size=self._batch_size,
        )


def summarize(label: str, sums: Sums, truth: np.ndarray, seconds: float) -> Row:
    """Makes a table's row from the sums of `summing_function`."""
    num_draws = sums["count"].sum()
    mean_error = sums["error"].sum(0) / num_draws
    mse = sums["square"].sum() / num_draws
    variance_by_entry = sums["square_by_entry"] - num_draws * mean_error**2
    variance_by_entry = np.maximum(variance_by_entry, 0.0) / (num_draws - 1)
    variance = variance_by_entry.sum()
    within = float(within_outcome_variance(sums))
    mean = truth + mean_error.reshape(truth.shape)
    lengths = np.linalg.norm(mean) * np.linalg.norm(truth)
    fourth = sums["fourth"] / num_draws
    return Row(
        estimator=label,
        bias=float(np.linalg.norm(mean_error)),
        bias_standard_error=float(np.sqrt(variance / num_draws)),
        variance=float(variance),
        within_variance=within,
        between_variance=float(variance - within),
        mse=float(mse),
        mse_standard_error=float(np.sqrt(max(fourth - mse**2, 0.0) / (num_draws - 1))),
        cosine=float(sums["cosine"] / num_draws),
        cosine_of_mean=float(np.sum(mean * truth) / lengths) if lengths > 0 else 0.0,
        seconds=seconds,
        mean=mean,
        standard_error=np.sqrt(variance_by_entry / num_draws).reshape(truth.shape),
    )


def _accumulate(
    functions: Mapping[str, Callable[[tf.Tensor, Any], dict[str, tf.Tensor]]],
    num_batches: int,
    seed: tf.Tensor,
    temperature: Any,
) -> tuple[dict[str, Sums], dict[str, float]]:
    """Adds up batches, estimators taking turns so that times compare; batch 0 warms up."""
    sums: dict[str, Sums] = {}
    seconds: dict[str, list[float]] = {label: [] for label in functions}
    for batch in range(num_batches + 1):
        batch_seed = random.fold_in(seed, batch)
        for label, function in functions.items():
            start = time.perf_counter()
            result = {
                key: value.numpy() for key, value in function(batch_seed, temperature).items()
            }
            elapsed = time.perf_counter() - start
            if batch == 0:
                continue
            seconds[label].append(elapsed)
            total = sums.setdefault(label, {})
            for key, value in result.items():
                total[key] = total.get(key, 0.0) + value
    return sums, {label: float(np.median(times)) for label, times in seconds.items()}


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
