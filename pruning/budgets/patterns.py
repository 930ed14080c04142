"""Budgets of n of every m consecutive weights, such as 2:4."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf


class PatternBudget:
    """At most n of every m consecutive weights along the input axis; see `Budget`.

    The last row of an axis that m does not divide may keep n, or all where it has fewer.

    Args:
        shapes: of each weight variable, all of whose entries have a score.
        axes: the input axis of each.
        n: most that a row of m keeps.
        m: length of a row.
    """

    num_multipliers = 0

    def __init__(self, shapes: Sequence[tuple[int, ...]], axes: Sequence[int], n: int, m: int):
        self.n, self.m = n, m
        self.segments = tuple(math.prod(shape) for shape in shapes)
        # Each variable's shape, input axis, and entries that the last row of that axis lacks.
        self._layouts: list[tuple[tuple[int, ...], int, int]] = []
        self.kept: tuple[int, ...] = ()
        for shape, axis in zip(shapes, axes, strict=True):
            length = shape[axis]
            rows = -(-length // m)
            self._layouts.append((shape, axis, rows * m - length))
            last = length - m * (rows - 1)
            others = math.prod(shape) // length
            self.kept += (others * ((rows - 1) * n + min(n, last)),)
        self.k = sum(self.kept)

    def _rows(self, flat: tf.Tensor, fill: float) -> list[tf.Tensor]:
        """Each variable's values as rows of m, the axis of the pattern last."""
        rows = []
        for part, (shape, axis, padding) in zip(
            tf.split(flat, self.segments), self._layouts, strict=True
        ):
            order = [i for i in range(len(shape)) if i != axis] + [axis]
            moved = tf.transpose(tf.reshape(part, shape), order)
            pads = [[0, 0]] * (len(shape) - 1) + [[0, padding]]
            rows.append(tf.reshape(tf.pad(moved, pads, constant_values=fill), [-1, self.m]))
        return rows

    def _flat(self, rows: Sequence[tf.Tensor]) -> tf.Tensor:
        """The inverse of `_rows`."""
        parts = []
        for part, (shape, axis, padding) in zip(rows, self._layouts, strict=True):
            order = [i for i in range(len(shape)) if i != axis] + [axis]
            moved_shape = [shape[i] for i in order]
            padded = tf.reshape(part, [*moved_shape[:-1], moved_shape[-1] + padding])
            moved = padded[..., : moved_shape[-1]]
            parts.append(tf.reshape(tf.transpose(moved, np.argsort(order)), [-1]))
        return tf.concat(parts, 0)

    def _at(self, tightness: Any) -> tf.Tensor:
        return self.m - (self.m - self.n) * tf.cast(tightness, tf.float32)

    def project(
        self, scores: tf.Tensor, tightness: Any, multiplier: Any = None, jit_compile: bool = True
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Projects every row of m; rows are short, so each root is found by sorting."""
        budget = self._at(tightness)
        projected = []
        for rows in self._rows(scores, 0.0):
            # The sum at multiplier x is piecewise linear with corners at z and z - 1: find the two
            # corners around the budget, then interpolate.
            corners = tf.sort(tf.concat([rows, rows - 1.0], -1), axis=-1)
            sums = tf.reduce_sum(
                tf.clip_by_value(rows[:, None, :] - corners[:, :, None], 0.0, 1.0), -1
            )
            above = tf.reduce_sum(tf.cast(sums > budget, tf.int32), -1)
            lower, upper = tf.maximum(above - 1, 0), tf.minimum(above, 2 * self.m - 1)
            x0, x1 = (tf.gather(corners, i, batch_dims=1) for i in (lower, upper))
            y0, y1 = (tf.gather(sums, i, batch_dims=1) for i in (lower, upper))
            root = x0 + (x1 - x0) * tf.math.divide_no_nan(y0 - budget, y0 - y1)
            fits = tf.reduce_sum(tf.clip_by_value(rows, 0.0, 1.0), -1) <= budget
            root = tf.where(fits, 0.0, tf.maximum(root, 0.0))
            projected.append(tf.clip_by_value(rows - root[:, None], 0.0, 1.0))
        return self._flat(projected), tf.zeros([0], tf.float64)

    def top(self, scores: tf.Tensor, tightness: Any, ties: tf.Tensor | None = None) -> tf.Tensor:
        """The highest scores of each row."""
        count = tf.floor(self._at(tightness) + 1e-6)
        tie_rows = self._rows(tf.zeros_like(scores) if ties is None else ties, -1.0)
        masks = []
        for rows, tie in zip(self._rows(scores, -1.0), tie_rows, strict=True):
            equal = rows[:, None, :] == rows[:, :, None]
            tied = tie[:, None, :] == tie[:, :, None]
            earlier = np.tril(np.ones((self.m, self.m), bool), -1)
            ahead = (rows[:, None, :] > rows[:, :, None]) | (
                equal & ((tie[:, None, :] > tie[:, :, None]) | (tied & earlier))
            )
            rank = tf.reduce_sum(tf.cast(ahead, tf.float32), -1)
            masks.append(tf.cast(rank < count, tf.float32))
        return self._flat(masks)
