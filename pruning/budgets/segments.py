"""Budgets of so many weights in each stretch of consecutive groups."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pruning.budgets.projection import project_onto_budget
from pruning.budgets.selection import highest


class SegmentBudget:
    """At most `kept[i]` weights in the i-th segment of consecutive groups; see `Budget`.

    One segment holds the whole model (scope `"global"`), or one holds each target.

    Args:
        segments: number of groups in each segment.
        kept: number of weights to keep in each.
        sizes: number of weights in every group, an int; or, where groups differ, a function that
            computes it for each, int64, shape (num_groups,). No graph holds these numbers.
    """

    def __init__(
        self,
        segments: Sequence[int],
        kept: Sequence[int],
        sizes: int | Callable[[], tf.Tensor] = 1,
    ):
        self.segments = tuple(segments)
        self.kept = tuple(kept)
        self.k = sum(self.kept)
        self.num_multipliers = len(self.segments)
        bounds = np.cumsum((0, *self.segments)).tolist()
        self._slices = list(zip(bounds[:-1], bounds[1:], strict=True))
        self._sizes = sizes
        if isinstance(sizes, int):
            self.totals = tuple(sizes * length for length in self.segments)
        else:
            parts = tf.split(sizes(), self.segments)
            self.totals = tuple(int(tf.reduce_sum(part)) for part in parts)

    def _at(self, tightness: Any) -> tf.Tensor:
        """Weights kept in each segment at this point of the schedule, float64."""
        kept, totals = (tf.constant(value, tf.float64) for value in (self.kept, self.totals))
        return totals - (totals - kept) * tf.cast(tightness, tf.float64)

    def project(
        self, scores: tf.Tensor, tightness: Any, multiplier: Any = None, jit_compile: bool = True
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The nearest point with at most so many expected weights in each segment."""
        k, costs = self._at(tightness), None
        if isinstance(self._sizes, int):
            k /= self._sizes  # groups of one size count in groups: the plain projection
        else:
            costs = self._sizes()
        return project_onto_budget(
            scores,
            k,
            costs=costs,
            segments=self.segments,
            initial_multiplier=multiplier,
            return_multiplier=True,
            jit_compile=jit_compile,
        )

    def top(self, scores: tf.Tensor, tightness: Any, ties: tf.Tensor | None = None) -> tf.Tensor:
        """The groups of highest score while they fit.

        A group that does not fit is passed over for the next one that does.
        """
        budgets = tf.cast(tf.floor(self._at(tightness) + 1e-6), tf.int64)
        sizes = self._sizes if isinstance(self._sizes, int) else self._sizes()
        masks = []
        for i, (start, stop) in enumerate(self._slices):
            keys = [key[start:stop] for key in (scores, ties) if key is not None]
            if isinstance(sizes, int):
                masks.append(highest(keys, budgets[i] // sizes))
            else:
                order = _descending(*keys)
                kept = _fill(tf.gather(sizes[start:stop], order), budgets[i])
                masks.append(tf.scatter_nd(order[:, None], kept, [stop - start]))
        return tf.concat(masks, 0)


def _descending(scores: tf.Tensor, ties: tf.Tensor | None = None) -> tf.Tensor:
    """Indices from the highest score down; ties by `ties`, then by the lower index."""
    if ties is None:
        return tf.argsort(scores, direction="DESCENDING", stable=True)
    first = tf.argsort(ties, direction="DESCENDING", stable=True)
    second = tf.argsort(tf.gather(scores, first), direction="DESCENDING", stable=True)
    return tf.gather(first, second)


def _fill(sizes: tf.Tensor, budget: tf.Tensor) -> tf.Tensor:
    """Takes groups in order while they fit; 0/1, float32."""

    def candidates(kept, rest):
        return tf.logical_and(~kept, sizes <= rest)

    def unfinished(kept, rest):
        return tf.reduce_any(candidates(kept, rest))

    def take(kept, rest):
        fitting = candidates(kept, rest)
        filled = tf.cumsum(tf.where(fitting, sizes, 0))
        taken = tf.logical_and(fitting, filled <= rest)
        return tf.logical_or(kept, taken), rest - tf.reduce_sum(tf.where(taken, sizes, 0))

    kept, _ = tf.while_loop(unfinished, take, (tf.zeros_like(sizes, tf.bool), budget))
    return tf.cast(kept, tf.float32)
