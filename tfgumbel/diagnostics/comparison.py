"""Gradient estimators side by side, against the truth by enumeration."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics.enumeration import MAX_OUTCOMES, enumerate_outcomes
from tfgumbel.diagnostics.moments import Draws, Sums, within_outcome_variance
from tfgumbel.diagnostics.problem import Problem
from tfgumbel.diagnostics.specifications import name_specifications
from tfgumbel.diagnostics.table import Comparison, Row
from tfgumbel.internal import random, validation

# Entries of the gradients of one batch of draws: 1 MiB of float32.
BATCH_ELEMENTS = 2**18
MIN_BATCHES = 4


def compare_estimators(
    program: Callable[..., Any],
    inputs: Any,
    estimators: Iterable[str] | Mapping[str, Any],
    num_draws: int = 10_000,
    seed: Any = 0,
    *,
    num_samples: int = 1,
    variables: Iterable[Any] = (),
    of_inputs: bool | None = None,
    temperature: Any = 0.5,
    max_outcomes: int = MAX_OUTCOMES,
    jit_compile: bool = False,
) -> Comparison:
    """Compares gradient estimators of a program: bias, variance and its split, error, cosine, time.

    Each draw is a gradient of the program's cost, the mean over the examples, as one call of
    `tfgumbel.expectation` gives it. With g a draw, t the truth by enumeration over all draws of the
    program, D what it drew, and tr Var the sum of the entries' variances (Paulus et al. 2021,
    eq. 13),

        bias = |E[g] - t|    variance = tr Var(g) = E[tr Var(g | D)] + tr Var(E[g | D])
        mse = E|g - t|^2 = variance + bias^2    variance_per_run = runs * tr Var(g)

    where `runs` is how often an estimator runs the program on an example, counted: at the same
    number of runs in all, the average of cheaper gradients has the variance that the last compares.

    Relaxed samples count as the outcome they round to. The standard error of the bias is what
    |mean - t| would be, in root mean square, without any. Within-D variance needs outcomes that
    were drawn more than once: let num_draws be many times the number of outcomes. Gradients for
    inputs are drawn for together, as one large batch: baselines made of a batch's other rows are as
    good as those get. With variables each is of the batch that is given.

    Args:
        program: `program(draw, inputs) -> cost`, as in `tfgumbel.expectation`. A function f of one
            sample is `lambda draw, logits: f(draw(logits))`.
        inputs: Tensor or nest of tensors, the batch on the first axis.
        estimators: Names in `tfgumbel.registry.REGISTRY`, or a mapping from labels to names, pairs
            (name, options), or callables (logits, *, seed) -> sample.
        num_draws: Number of draws of each, an int >= 2; rounded up to whole batches.
        seed: Int, pair of ints, or integer tensor of shape [2]; shared by all estimators.
        num_samples: Samples of each example in one draw; estimators that need more take more.
        variables: What the gradient is for, such as a model's trainable variables.
        of_inputs: Whether it is for the floating inputs too; None: if there are no variables.
        temperature: Of the estimators that require one and whose options do not give it.
        max_outcomes: The largest number of joint outcomes of an example to enumerate.
        jit_compile: Whether to compile the draws with XLA, in place of a graph.

    Returns:
        comparison: One row for each estimator; prints as a table.

    Raises:
        ValueError: if a name is unknown or has no gradient, an estimator cannot do the program, the
            costs have the wrong shape, or the outcomes are too many.

    >>> import tensorflow as tf
    >>> import tfgumbel
    >>> comparison = tfgumbel.diagnostics.compare_estimators(
    ...     lambda draw, logits: draw(logits)[:, 0] ** 2, tf.constant([[0.0, 0.5, 1.0]]),
    ...     ["reinforce", "straight_through_gumbel_softmax", "gumbel_rao"], num_draws=1000)
    >>> rows = comparison.rows
    >>> rows["gumbel_rao"].variance < rows["straight_through_gumbel_softmax"].variance
    True

    References: Paulus, Maddison & Krause, ICLR 2021, eq. 13.
    """
    measurement = Measurement(
        Problem(program, inputs, variables, of_inputs),
        estimators,
        num_draws,
        num_samples=num_samples,
        max_outcomes=max_outcomes,
        jit_compile=jit_compile,
    )
    return measurement.run(seed, temperature)


class Measurement:
    """A comparison made ready: the truth enumerated, every estimator compiled.

    Args: as those of `compare_estimators`, but for the problem.
    """

    def __init__(
        self,
        problem: Problem,
        estimators: Iterable[str] | Mapping[str, Any],
        num_draws: int,
        *,
        num_samples: int = 1,
        max_outcomes: int = MAX_OUTCOMES,
        jit_compile: bool = False,
    ):
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
        self._problem = problem
        self._value, gradients, self._outcomes = enumerate_outcomes(problem, max_outcomes)
        self._truth = np.concatenate([gradient.reshape(-1) for gradient in gradients])
        elements = num_draws * num_samples * problem.size
        num_batches = max(MIN_BATCHES, -(-elements // BATCH_ELEMENTS))
        self._num_batches = min(num_batches, num_draws)
        self._batch_size = -(-num_draws // self._num_batches)
        self._draws = {
            label: Draws(
                problem,
                self._outcomes,
                specification,
                problem.units_of(self._truth),
                num_draws=self._batch_size,
                num_samples=num_samples,
                jit_compile=jit_compile,
            )
            for label, specification in specifications.items()
        }

    def run(self, seed: Any, temperature: Any) -> Comparison:
        """Draws and sums up; a tensor as temperature is traced once for all its values."""
        sums, seconds = _accumulate(
            self._draws, self._num_batches, random.normalize_seed(seed), temperature
        )
        return Comparison(
            rows={
                label: summarize(
                    label,
                    sums[label],
                    self._problem,
                    self._truth,
                    draws.runs,
                    seconds[label] / self._batch_size,
                )
                for label, draws in self._draws.items()
            },
            value=self._value,
            truth=self._truth,
            num_outcomes=self._outcomes.number,
            num_draws=self._num_batches * self._batch_size,
            batch_size=self._batch_size,
        )


def summarize(
    label: str, sums: Sums, problem: Problem, truth: np.ndarray, runs: float, seconds: float
) -> Row:
    """Makes a table's row from the sums of `Draws`."""
    number = sums["number"]
    mean_error = sums["error"] / number
    mse = sums["square"] / number
    variance_by_entry = sums["square_by_entry"] - number * mean_error**2
    variance_by_entry = np.maximum(variance_by_entry, 0.0) / (number - 1)
    variance = variance_by_entry.sum()
    # The units' draws are independent: variances add up.
    within = float(np.sum(within_outcome_variance(sums))) if "count" in sums else float("nan")
    mean = truth + problem.flat_of(mean_error)
    lengths = np.linalg.norm(mean) * np.linalg.norm(truth)
    fourth = sums["fourth"] / number
    return Row(
        estimator=label,
        bias=float(np.linalg.norm(mean_error)),
        bias_standard_error=float(np.sqrt(variance / number)),
        variance=float(variance),
        within_variance=within,
        between_variance=float(variance - within),
        runs=runs,
        variance_per_run=float(variance * runs),
        mse=float(mse),
        mse_standard_error=float(np.sqrt(max(fourth - mse**2, 0.0) / (number - 1))),
        cosine=float(sums["cosine"] / number),
        cosine_of_mean=float(np.sum(mean * truth) / lengths) if lengths > 0 else 0.0,
        seconds=seconds,
        mean=mean,
        standard_error=problem.flat_of(np.sqrt(variance_by_entry / number)),
    )


def _accumulate(
    functions: Mapping[str, Callable[[tf.Tensor, Any], Sums]],
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
            result = function(batch_seed, temperature)
            elapsed = time.perf_counter() - start
            if batch == 0:
                continue
            seconds[label].append(elapsed)
            total = sums.setdefault(label, {})
            for key, value in result.items():
                total[key] = total.get(key, 0.0) + value
    return sums, {label: float(np.median(times)) for label, times in seconds.items()}
