"""Moments of a gradient estimator's draws: many in one compiled call, sums in float64."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics.problem import Problem, Recorder
from tfgumbel.diagnostics.specifications import resolve
from tfgumbel.expectations import expectation
from tfgumbel.expectations.outcomes import Outcomes
from tfgumbel.expectations.program import Site
from tfgumbel.internal import random

Sums = dict[str, np.ndarray]

# Sums kept by outcome, in float64: 32 MiB.
MAX_SUMS = 2**22


class Draws:
    """One estimator's gradients of a problem, many at a time, compiled.

    Inputs alone are drawn for together, as one batch of repeated examples; with variables each
    draw is a call of `expectation` on the inputs as they are.

    Args:
        problem: What is estimated.
        outcomes: An example's.
        specification: A name, a callable, or a pair (name or callable, options).
        truth: The true gradient, shape (units, entries).
        num_draws: Gradients of one call.
        num_samples: Of each example, for one gradient.
        jit_compile: Whether to compile with XLA, in place of a graph.

    Attributes:
        runs: How often the program is run on an example for one gradient, once it was traced.
    """

    def __init__(
        self,
        problem: Problem,
        outcomes: Outcomes,
        specification: Any,
        truth: np.ndarray,
        *,
        num_draws: int,
        num_samples: int,
        jit_compile: bool,
    ):
        self.runs = 0.0
        self._problem = problem
        self._outcomes = outcomes
        self._arguments, self._lacks_temperature = resolve(specification, num_samples)
        self._num_draws = num_draws
        self._truth = tf.constant(truth, tf.float64)
        # A unit's draws: of every sample, and of every example where they share variables.
        self._draws_of_unit = self._arguments["num_samples"] * problem.batch_size // problem.units
        self._num_codes = outcomes.number**self._draws_of_unit
        self._tracked = self._num_codes * problem.size <= MAX_SUMS
        # A function of its own: one method for all would warn of many traces.
        self._function = tf.function(
            lambda seed, temperature: self._sums(seed, temperature),
            autograph=False,
            jit_compile=jit_compile,
        )

    def __call__(self, seed: tf.Tensor, temperature: Any) -> Sums:
        """Draws errors x = g - truth and sums them up.

        The temperature is for an estimator that lacks one; as a tensor it is traced once.

        The sums: over all draws `number`, `error` (units, entries), `square_by_entry` (the same),
        `square` of |x|^2, `fourth` of |x|^4 and `cosine` of the draws' cosines with the truth. For
        each unit, by outcome of its draws, `count` and `outcome_square` (units, outcomes) and
        `outcome_error` (units, outcomes, entries), unless there are too many of them.
        """
        return {key: value.numpy() for key, value in self._function(seed, temperature).items()}

    def _sums(self, seed: tf.Tensor, temperature: Any) -> dict[str, tf.Tensor]:
        chosen = {"temperature": temperature} if self._lacks_temperature else {}
        sample = functools.partial(self._sample, arguments={**self._arguments, **chosen})
        if self._problem.variables:
            signature = [tf.TensorSpec([1, self._problem.size], tf.float64)]
            signature.append(tf.TensorSpec([1], tf.int32))
            gradients, codes = tf.map_fn(
                lambda index: tuple(part[0] for part in sample(1, random.fold_in(seed, index))),
                tf.range(self._num_draws),
                fn_output_signature=tuple(signature),
                parallel_iterations=1,  # an estimator's state is read and written in turn
            )
        else:
            gradients, codes = sample(self._num_draws, seed)
        return self._sum_up(gradients, codes)

    def _sample(
        self, num_draws: int, seed: tf.Tensor, arguments: Mapping[str, Any]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Gradients (draws, units, entries), and the numbers (draws, units) of what was drawn."""
        problem, recorder = self._problem, Recorder(self._problem)
        inputs = tf.nest.map_structure(
            lambda leaf: tf.tile(leaf, [num_draws] + [1] * (leaf.shape.rank - 1)), problem.inputs
        )
        with tf.GradientTape() as tape:
            tape.watch(tf.nest.flatten(inputs))
            value = expectation(recorder, inputs, seed=seed, **arguments)
            total = tf.reduce_sum(value) / problem.batch_size
        gradients = problem.by_unit(problem.gradient(tape, total, inputs), num_draws)
        self.runs = recorder.rows / (num_draws * problem.batch_size)
        return gradients, self._codes(recorder, num_draws)

    def _codes(self, recorder: Recorder, num_draws: int) -> tf.Tensor:
        """What each unit drew, one number; 0 where that is not tracked."""
        draw, units = recorder.first, self._problem.units
        rows = num_draws * units * self._draws_of_unit
        # Sets of outcomes, say, are no single one: they have more rows.
        sites = [] if draw is None else [one for one in draw.sites if isinstance(one, Site)]
        of_rows = [site for site in sites if site.logits.shape[0] == rows]
        if draw is None or len(of_rows) < len(draw.sites):
            self._tracked = False
        if draw is None or not self._tracked:
            return tf.zeros([num_draws, units], tf.int32)
        codes = tf.broadcast_to(self._outcomes.codes(sites, draw.samples), [rows])
        by_sample = tf.reshape(codes, [self._arguments["num_samples"], num_draws, units, -1])
        of_unit = tf.reshape(tf.transpose(by_sample, [1, 2, 0, 3]), [num_draws, units, -1])
        places = [self._outcomes.number**place for place in range(self._draws_of_unit)]
        return tf.reduce_sum(of_unit * places, axis=-1)

    def _sum_up(self, gradients: tf.Tensor, codes: tf.Tensor) -> dict[str, tf.Tensor]:
        error = gradients - self._truth
        square = tf.reduce_sum(error**2, axis=2)
        distance = tf.reduce_sum(square, axis=1)
        lengths = tf.norm(gradients, axis=[1, 2]) * tf.norm(self._truth)
        along = tf.reduce_sum(gradients * self._truth, axis=[1, 2])
        sums = {
            "number": tf.constant(self._num_draws, tf.float64),
            "error": tf.reduce_sum(error, axis=0),
            "square_by_entry": tf.reduce_sum(error**2, axis=0),
            "square": tf.reduce_sum(distance),
            "fourth": tf.reduce_sum(distance**2),
            "cosine": tf.reduce_sum(tf.math.divide_no_nan(along, lengths)),
        }
        if self._tracked:
            units, number = self._problem.units, self._num_codes
            segments = codes + number * tf.range(units)

            def by_outcome(values: tf.Tensor) -> tf.Tensor:
                sums = tf.math.unsorted_segment_sum(values, segments, units * number)
                return tf.reshape(sums, [units, number, *values.shape[2:]])

            sums["count"] = by_outcome(tf.ones_like(square))
            sums["outcome_error"] = by_outcome(error)
            sums["outcome_square"] = by_outcome(square)
        return sums


def within_outcome_variance(sums: Mapping[str, np.ndarray]) -> np.ndarray:
    """E[tr Var(g | D)], estimated from the outcomes that were drawn twice or more (else NaN).

    Args:
        sums: `count` and `outcome_square` (..., outcomes), `outcome_error` (..., outcomes, size).

    Returns:
        variance: Shape (...).
    """
    count = np.asarray(sums["count"])
    repeated = count > 1
    spread = sums["outcome_square"] - np.sum(sums["outcome_error"] ** 2, -1) / np.maximum(
        count, 1.0
    )
    spread = np.where(repeated, count * np.maximum(spread, 0.0) / np.maximum(count - 1.0, 1.0), 0.0)
    total = np.sum(count * repeated, -1)
    return np.where(total > 0, np.sum(spread, -1) / np.where(total > 0, total, 1.0), np.nan)
