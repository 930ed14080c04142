"""Groups of weights that live or die together: one score per group."""

import dataclasses
import math
import re
from typing import Any

import numpy as np
import tensorflow as tf

from pruning.groups.targets import Target
from tfgumbel.internal import validation


def _unknown(name: str, expected: str, received: Any) -> ValueError:
    fix = "leave both out for single weights; block=(1, 4) gives blocks of four inputs"
    problem = f"`{name}` describes no groups of weights."
    return ValueError(validation.describe(problem, expected=expected, received=received, fix=fix))


@dataclasses.dataclass(frozen=True)
class Structure:
    """How weights are grouped under one score.

    Attributes:
        kind: `"unstructured"`, `"block"`, `"filter"` or `"n:m"`.
        sizes: `(rows, columns)` of a block, `(n, m)` of n:m, else empty.
    """

    kind: str
    sizes: tuple[int, ...] = ()

    @classmethod
    def parse(cls, structure: Any = "unstructured", block: Any = None) -> "Structure":
        """Reads the `structure` and `block` arguments of `prune`.

        Example:
            >>> Structure.parse("2:4")
            Structure(kind='n:m', sizes=(2, 4))
            >>> Structure.parse(block=(1, 4))
            Structure(kind='block', sizes=(1, 4))
        """
        if isinstance(structure, Structure):
            return structure
        if block is not None:
            sizes = tuple(block) if isinstance(block, (list, tuple)) else ()
            if len(sizes) != 2 or not all(isinstance(i, int) and i >= 1 for i in sizes):
                raise _unknown("block", "two integers >= 1, (outputs, inputs)", block)
            if structure not in ("unstructured", "block"):
                raise _unknown("structure", "none beside `block`: either, not both", structure)
            return cls("block", sizes)
        if structure in ("unstructured", "filter"):
            return cls(structure)
        if structure == "block":
            raise _unknown("block", "two integers >= 1 with structure='block'", block)
        match = re.fullmatch(r"(\d+):(\d+)", structure) if isinstance(structure, str) else None
        if match:
            n, m = int(match[1]), int(match[2])
            if 1 <= n < m:
                return cls("n:m", (n, m))
        expected = "'unstructured', 'filter', or 'n:m' with 1 <= n < m, such as '2:4'"
        raise _unknown("structure", expected, structure)


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """The groups of one target: blocks of `steps[axis]` weights along each axis.

    The last block of an axis is smaller where the length is not a multiple of the step.
    """

    shape: tuple[int, ...]
    steps: tuple[int, ...]

    @classmethod
    def of(cls, target: Target, structure: Structure) -> "Grid":
        steps = [1] * len(target.shape)
        if structure.kind == "block":
            rows, columns = structure.sizes
            steps[target.output_axes[-1]] = rows
            steps[target.input_axis] = columns
        elif structure.kind == "filter":
            steps = [
                1 if axis in target.output_axes else length
                for axis, length in enumerate(target.shape)
            ]
        return cls(target.shape, tuple(steps))

    @property
    def groups(self) -> tuple[int, ...]:
        return tuple(
            -(-length // step) for length, step in zip(self.shape, self.steps, strict=True)
        )

    @property
    def num_groups(self) -> int:
        return math.prod(self.groups)

    def sizes(self) -> np.ndarray:
        """Number of weights in each group, int64, shape (num_groups,)."""
        sizes = np.ones((1,) * len(self.shape), np.int64)
        for axis, (length, step) in enumerate(zip(self.shape, self.steps, strict=True)):
            counts = np.full(-(-length // step), step, np.int64)
            counts[-1] = length - step * (len(counts) - 1)
            sizes = sizes * counts.reshape([-1 if i == axis else 1 for i in range(len(self.shape))])
        return sizes.reshape(-1)

    def expand(self, values: tf.Tensor) -> tf.Tensor:
        """Gives each weight its group's value: (num_groups,) -> the weight's shape."""
        values = tf.reshape(values, self.groups)
        for axis, step in enumerate(self.steps):
            if step > 1:
                values = tf.repeat(values, step, axis=axis)
        return tf.slice(values, [0] * len(self.shape), self.shape)

    def reduce_mean_abs(self, weight: tf.Tensor) -> tf.Tensor:
        """Mean absolute weight of each group: the weight's shape -> (num_groups,), float32."""
        total = tf.abs(tf.cast(weight, tf.float32))
        for axis, (length, step) in enumerate(zip(self.shape, self.steps, strict=True)):
            if step > 1:
                blocks = -(-length // step)
                padding = [[0, 0]] * len(self.shape)
                padding[axis] = [0, blocks * step - length]
                total = tf.pad(total, padding)
                shape = list(total.shape)
                shape[axis : axis + 1] = [blocks, step]
                total = tf.reduce_sum(tf.reshape(total, shape), axis=axis + 1)
        return tf.reshape(total, [-1]) / tf.cast(self.sizes(), tf.float32)
