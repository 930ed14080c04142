"""A program, its inputs, and what its gradient is for."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.expectations.program import Draw
from tfgumbel.internal import validation


class Problem:
    """The gradient of a program's mean cost, for its floating inputs, for variables, or both.

    A gradient is laid out in units, shape (units, entries). Inputs alone make a unit of each
    example, whose draws are its own; variables are shared by all examples, one unit.

    Args:
        program: `program(draw, inputs) -> cost`, as in `tfgumbel.expectation`.
        inputs: Tensor or nest of tensors, the batch on the first axis.
        variables: What the gradient is for.
        of_inputs: Whether it is for the floating inputs too; None: if there are no variables.

    Raises:
        ValueError: if there is nothing that the gradient could be for.
    """

    def __init__(
        self,
        program: Callable[..., Any],
        inputs: Any,
        variables: Iterable[Any] = (),
        of_inputs: bool | None = None,
    ):
        self.program = program
        self.variables = tuple(variables)
        self.inputs = tf.nest.map_structure(tf.convert_to_tensor, inputs)
        self._of_inputs = not self.variables if of_inputs is None else of_inputs
        self.batch_size = _batch_size(self.inputs)
        if not self.sources(self.inputs):
            raise ValueError(
                validation.describe(
                    "There is nothing to take the gradient for.",
                    expected="floating inputs, or variables",
                    received=[leaf.dtype.name for leaf in tf.nest.flatten(self.inputs)],
                    fix="pass `variables=model.trainable_variables`, or logits as the inputs",
                )
            )
        self._order = self._unit_order()

    @property
    def size(self) -> int:
        """Entries of the whole gradient."""
        return self._order.size

    @property
    def units(self) -> int:
        """Parts of the gradient that depend on different draws."""
        return len(self._order)

    def sources(self, inputs: Any) -> list[Any]:
        """What the gradient is for: the floating ones of these inputs, then the variables."""
        leaves = tf.nest.flatten(inputs) if self._of_inputs else []
        return [*(leaf for leaf in leaves if leaf.dtype.is_floating), *self.variables]

    def gradient(self, tape: tf.GradientTape, value: tf.Tensor, inputs: Any) -> list[tf.Tensor]:
        """The derivatives, float64, of a scalar for the sources; 0 where it depends on none.

        Raises:
            ValueError: if it depends on none at all.
        """
        sources = self.sources(inputs)
        gradients = tape.gradient(value, sources)
        if all(gradient is None for gradient in gradients):
            raise ValueError(
                validation.describe(
                    "An estimator gave no gradient.",
                    expected="a value that depends on the inputs or the variables",
                    received=[None] * len(gradients),
                    fix="use an estimator of the registry, or one whose output depends on its "
                    "logits; let these depend on what the gradient is for",
                )
            )
        return [
            tf.zeros(source.shape, tf.float64)
            if gradient is None
            else tf.cast(tf.convert_to_tensor(gradient), tf.float64)
            for source, gradient in zip(sources, gradients, strict=True)
        ]

    def by_unit(self, gradients: Sequence[tf.Tensor], num_draws: int) -> tf.Tensor:
        """Lays out gradients of `num_draws` repeated inputs: shape (draws, units, entries)."""
        rows = num_draws * self.units
        return tf.reshape(
            tf.concat([tf.reshape(gradient, [rows, -1]) for gradient in gradients], axis=1),
            [num_draws, self.units, -1],
        )

    def units_of(self, flat: np.ndarray) -> np.ndarray:
        """From a vector, source after source, to (units, entries)."""
        return flat[self._order]

    def flat_of(self, units: np.ndarray) -> np.ndarray:
        """The inverse of `units_of`."""
        flat = np.empty(self.size)
        flat[self._order] = units
        return flat

    def _unit_order(self) -> np.ndarray:
        """Positions in the flat vector of the entries of each unit."""
        units = 1 if self.variables else self.batch_size
        columns, start = [], 0
        for source in self.sources(self.inputs):
            size = int(np.prod(source.shape))
            columns.append(np.arange(start, start + size).reshape(units, -1))
            start += size
        return np.concatenate(columns, axis=1)


class Recorder:
    """A problem's program that notes how many rows it was run on, and what its first run drew.

    Attributes:
        rows: Rows of all runs together.
        first: The draws of the first run.
    """

    def __init__(self, problem: Problem):
        self._program = problem.program
        self.rows = 0
        self.first: Draw | None = None

    def __call__(self, draw: Draw, inputs: Any) -> Any:
        cost = self._program(draw, inputs)
        self.rows += _batch_size(inputs)
        self.first = draw if self.first is None else self.first
        return cost


def _batch_size(inputs: Any) -> int:
    leaves = tf.nest.flatten(inputs)
    shapes = [tuple(leaf.shape) for leaf in leaves]
    if not leaves or any(shape[:1] != shapes[0][:1] or not shape for shape in shapes):
        raise ValueError(
            validation.describe(
                "`inputs` have no batch axis in common.",
                expected="a tensor or nest of tensors, shape (batch, ...) each",
                received=shapes,
                fix="logits of a single example are logits[tf.newaxis]",
            )
        )
    return int(shapes[0][0])
