"""The truth: a program's expectation and its gradient by a sum over every outcome."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics.problem import Problem
from tfgumbel.expectations.outcomes import Outcomes, weighted_costs
from tfgumbel.expectations.program import Program, hard

MAX_OUTCOMES = 2**16

# Rows handed to the program at a time.
CHUNK = 4096


def exact_expectation(
    program: Callable[..., Any],
    inputs: Any,
    *,
    variables: Iterable[Any] = (),
    of_inputs: bool | None = None,
    max_outcomes: int = MAX_OUTCOMES,
) -> tuple[float, list[np.ndarray]]:
    """Returns a program's mean cost and the gradient of it, summed over every outcome.

    The value is (1/batch) Sum_b Sum_d p_b(d) cost_b(d), d running through the joint outcomes of all
    draws, in a cascade too; the gradient is its derivative. The program is run in the dtype of its
    inputs, some thousand rows at a time; what they give is added up in float64.

    Args:
        program: `program(draw, inputs) -> cost`, as in `tfgumbel.expectation`.
        inputs: Tensor or nest of tensors, the batch on the first axis.
        variables: What the gradient is for, such as a model's trainable variables.
        of_inputs: Whether it is for the floating inputs too; None: if there are no variables.
        max_outcomes: The largest number of joint outcomes of an example to accept.

    Returns:
        value: The mean over the examples of E[cost].
        gradients: float64 arrays, for the floating inputs in turn, then for the variables.

    Raises:
        ValueError: if outcomes are more than `max_outcomes`, the costs are of a wrong shape, or
            there is nothing that the gradient could be for.

    >>> import tensorflow as tf
    >>> value, gradients = exact_expectation(
    ...     lambda draw, logits: draw(logits)[:, 1], tf.constant([[0.0, 0.0]]))
    >>> value, gradients[0].tolist()
    (0.5, [[-0.25, 0.25]])
    """
    problem = Problem(program, inputs, variables, of_inputs)
    value, gradients, _ = enumerate_outcomes(problem, max_outcomes)
    return value, gradients


def enumerate_outcomes(
    problem: Problem, max_outcomes: int
) -> tuple[float, list[np.ndarray], Outcomes]:
    """The value and gradients of `exact_expectation`, and an example's outcomes."""
    program = Program(problem.program, problem.inputs, num_samples=1)
    seed = tf.zeros([2], tf.int32)
    outcomes = Outcomes.of(program.run(hard, seed).sites, max_outcomes)
    chunk = max(1, CHUNK // problem.batch_size)
    value, gradients = 0.0, [np.zeros(source.shape) for source in problem.sources(problem.inputs)]
    for start in range(0, outcomes.number, chunk):
        numbers = tf.range(start, min(start + chunk, outcomes.number))
        with tf.GradientTape() as tape:
            tape.watch(tf.nest.flatten(program.inputs))
            costs = tf.cast(weighted_costs(program, outcomes, numbers, seed), tf.float64)
            total = tf.reduce_sum(costs) / problem.batch_size
        value += float(total)
        for gradient, part in zip(
            gradients, problem.gradient(tape, total, program.inputs), strict=True
        ):
            gradient += part.numpy()
    return value, gradients, outcomes
