"""Groups of weights that live or die together, as one flat vector: an entry a group."""

import dataclasses
import math
from collections.abc import Sequence

import tensorflow as tf


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """The groups of one weight variable: blocks of `steps[axis]` entries along each axis.

    The last block of an axis is smaller where the length is not a multiple of the step.
    """

    shape: tuple[int, ...]
    steps: tuple[int, ...]

    @property
    def blocks(self) -> tuple[int, ...]:
        """Number of blocks along each axis."""
        return tuple(
            -(-length // step) for length, step in zip(self.shape, self.steps, strict=True)
        )

    @property
    def num_groups(self) -> int:
        return math.prod(self.blocks)

    @property
    def uniform_size(self) -> int | None:
        """The size of every group, None where they differ."""
        sizes = [min(step, length) for length, step in zip(self.shape, self.steps, strict=True)]
        whole = all(length % size == 0 for length, size in zip(self.shape, sizes, strict=True))
        return math.prod(sizes) if whole else None

    def sizes(self) -> tf.Tensor:
        """Number of weights in each group, int64, shape (num_groups,): computed, never stored."""
        sizes = tf.ones([1] * len(self.shape), tf.int64)
        for axis, blocks in enumerate(self.blocks):
            start = self.steps[axis] * tf.range(blocks, dtype=tf.int64)
            counts = tf.minimum(tf.constant(self.steps[axis], tf.int64), self.shape[axis] - start)
            sizes *= tf.reshape(counts, [-1 if i == axis else 1 for i in range(len(self.shape))])
        return tf.reshape(sizes, [-1])

    def expand(self, values: tf.Tensor) -> tf.Tensor:
        """Gives each weight its group's value: (num_groups,) -> the variable's shape."""
        values = tf.reshape(values, self.blocks)
        for axis, step in enumerate(self.steps):
            if step > 1:
                values = tf.repeat(values, step, axis=axis)
        return tf.slice(values, [0] * len(self.shape), self.shape)

    def mean_abs(self, weight: tf.Tensor) -> tf.Tensor:
        """Mean absolute weight of each group: the variable's shape -> (num_groups,), float32."""
        sums = tf.abs(tf.cast(weight, tf.float32))
        for axis, (length, step) in enumerate(zip(self.shape, self.steps, strict=True)):
            if step > 1:
                blocks = self.blocks[axis]
                padding = [[0, 0]] * len(self.shape)
                padding[axis] = [0, blocks * step - length]
                sums = tf.pad(sums, padding)
                shape = list(sums.shape)
                shape[axis : axis + 1] = [blocks, step]
                sums = tf.reduce_sum(tf.reshape(sums, shape), axis=axis + 1)
        sizes = self.uniform_size or tf.cast(self.sizes(), tf.float32)
        return tf.reshape(sums, [-1]) / sizes


class Groups:
    """The groups of several weight variables, one after the other.

    Args:
        grids: one for each variable.
    """

    def __init__(self, grids: Sequence[Grid]):
        self.grids = tuple(grids)
        self.lengths = tuple(grid.num_groups for grid in self.grids)
        self.num_groups = sum(self.lengths)
        self.num_weights = sum(math.prod(grid.shape) for grid in self.grids)
        sizes = {grid.uniform_size for grid in self.grids}
        self.uniform_size: int | None = sizes.pop() if len(sizes) == 1 else None

    def sizes(self) -> tf.Tensor:
        """Number of weights in each group, int64, shape (num_groups,)."""
        return tf.concat([grid.sizes() for grid in self.grids], 0)

    def expand(self, values: tf.Tensor) -> list[tf.Tensor]:
        """Gives each weight its group's value: (num_groups,) -> a tensor for each variable."""
        parts = tf.split(values, self.lengths)
        return [grid.expand(part) for grid, part in zip(self.grids, parts, strict=True)]

    def multiply(self, mask: tf.Tensor, weights: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Multiplies every weight by its group's entry of a flat mask, shape (num_groups,)."""
        expanded = self.expand(mask)
        return [w * tf.cast(m, w.dtype) for w, m in zip(weights, expanded, strict=True)]

    def mean_abs(self, weights: Sequence[tf.Tensor]) -> tf.Tensor:
        """Mean absolute weight of every group, float32, shape (num_groups,)."""
        pairs = zip(self.grids, weights, strict=True)
        return tf.concat([grid.mean_abs(weight) for grid, weight in pairs], 0)
