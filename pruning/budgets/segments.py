"""How many weights are kept, and where: budgets that project scores and pick the kept groups.

A budget answers two questions about the flat vector of scores, at any time of the schedule:
`project(scores, ...)`, the nearest feasible keep probabilities, and `top(scores, ...)`, the best
feasible 0/1 mask. `pruned`, a scalar in [0, 1], says how far the schedule has come: 0 keeps
everything, 1 keeps the budget.
"""

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pruning.budgets.projection import project_onto_budget
from pruning.groups.structures import Grid, Structure
from pruning.groups.targets import Target
from tfgumbel.internal import validation


def resolve_budget(k: Any, size: int) -> int:
    """Number of weights kept out of `size`: an int is a count, a float a fraction.

    Example:
        >>> resolve_budget(0.02, 266_200), resolve_budget(100, 266_200)
        (5324, 100)
    """
    number = not isinstance(k, bool) and isinstance(k, numbers.Real)
    count = number and isinstance(k, numbers.Integral)
    if number and (1 <= k <= size if count else 0.0 < k <= 1.0):
        return int(k) if count else max(1, int(np.floor(float(k) * size + 0.5)))
    raise (ValueError if number else TypeError)(
        validation.describe(
            "`k` is no budget of this model.",
            expected=f"an int from 1 to {size}, the weights that can be pruned, or a fraction in "
            "(0, 1] of them",
            received=k,
            fix="pass 0.02 to keep 2%, or 100 to keep a hundred weights",
        )
    )


def _share(total: int, quotas: Sequence[float]) -> list[int]:
    """Rounds quotas down and gives what is left of the total to the largest remainders."""
    counts = [int(np.floor(quota)) for quota in quotas]
    order = sorted(range(len(quotas)), key=lambda i: counts[i] - quotas[i])
    for i in order[: total - sum(counts)]:
        counts[i] += 1
    return counts


class SegmentBudget:
    """At most `kept[i]` weights in the i-th segment of consecutive groups.

    One segment holds the whole model (scope `"global"`), or one holds each target.

    Args:
        segments: number of groups in each segment.
        kept: number of weights to keep in each.
        sizes: number of weights in each group, int64, shape (num_groups,).
    """

    def __init__(self, segments: Sequence[int], kept: Sequence[int], sizes: np.ndarray):
        self.segments = tuple(segments)
        self.kept = tuple(kept)
        self.sizes = sizes
        self.uniform_size = int(sizes[0]) if np.all(sizes == sizes[0]) else None
        self._group_sizes = None if self.uniform_size else sizes.astype(np.float32)
        bounds = np.cumsum((0, *self.segments))
        self._slices = list(zip(bounds[:-1], bounds[1:], strict=True))
        self.totals = tuple(int(sizes[start:stop].sum()) for start, stop in self._slices)
        self.k = sum(self.kept)
        self.num_multipliers = len(self.segments)

    def _at(self, pruned: Any) -> tf.Tensor:
        """Weights kept in each segment at this point of the schedule, float64."""
        kept, totals = (tf.constant(value, tf.float64) for value in (self.kept, self.totals))
        return totals - (totals - kept) * tf.cast(pruned, tf.float64)

    def project(
        self, scores: tf.Tensor, pruned: Any, multiplier: Any = None, jit_compile: bool = True
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the nearest feasible scores, and the multipliers to start the next search at."""
        # Groups of one size count in groups, which is the plain projection.
        scale = self.uniform_size or 1
        weights = None if self._group_sizes is None else tf.constant(self._group_sizes)
        return project_onto_budget(
            scores,
            self._at(pruned) / scale,
            weights=weights,
            segments=self.segments,
            initial_multiplier=multiplier,
            return_multiplier=True,
            jit_compile=jit_compile,
        )

    def top(self, scores: tf.Tensor, pruned: Any, ties: tf.Tensor | None = None) -> tf.Tensor:
        """Keeps the groups of highest score while they fit: 0/1, float32, shape (num_groups,).

        Equal scores go by the larger value of `ties`, then by the lower index. A group that does
        not fit is passed over for the next one that does.
        """
        budgets = tf.cast(tf.floor(self._at(pruned) + 1e-6), tf.int64)
        masks = []
        for i, (start, stop) in enumerate(self._slices):
            order = _descending(scores[start:stop], None if ties is None else ties[start:stop])
            kept = _fill(tf.gather(self.sizes[start:stop], order), budgets[i], self.uniform_size)
            masks.append(tf.scatter_nd(order[:, None], kept, [stop - start]))
        return tf.concat(masks, 0)


class PatternBudget:
    """At most n of every m consecutive weights along the input axis (n:m, such as 2:4).

    The last group of an axis that m does not divide may keep n, or all where it has fewer.
    """

    def __init__(self, grids: Sequence[Grid], axes: Sequence[int], n: int, m: int):
        self.n, self.m = n, m
        self.sizes = np.ones(sum(grid.num_groups for grid in grids), np.int64)
        self.num_multipliers = 0
        self.segments = tuple(grid.num_groups for grid in grids)
        self._layouts = []
        self.kept: tuple[int, ...] = ()
        for grid, axis in zip(grids, axes, strict=True):
            length = grid.shape[axis]
            rows = -(-length // m)
            others = grid.num_groups // length
            self._layouts.append((grid.shape, axis, rows * m - length))
            last = length - m * (rows - 1)
            self.kept += (others * ((rows - 1) * n + min(n, last)),)
        self.k = sum(self.kept)

    def _rows(self, flat: tf.Tensor, fill: float) -> list[tf.Tensor]:
        """Each target's values as rows of m, the axis of the pattern last."""
        parts = tf.split(flat, [int(np.prod(shape)) for shape, _, _ in self._layouts])
        rows = []
        for part, (shape, axis, padding) in zip(parts, self._layouts, strict=True):
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

    def _at(self, pruned: Any) -> tf.Tensor:
        return self.m - (self.m - self.n) * tf.cast(pruned, tf.float32)

    def project(
        self, scores: tf.Tensor, pruned: Any, multiplier: Any = None, jit_compile: bool = True
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Projects every row of m; rows are short, so each root is found by sorting."""
        budget = self._at(pruned)
        projected = []
        for rows in self._rows(scores, 0.0):
            # The sum at multiplier x is piecewise linear with corners at z and z - 1: find the two
            # corners around the budget, then interpolate.
            corners = tf.sort(tf.concat([rows, rows - 1.0], -1), axis=-1)
            sums = tf.reduce_sum(
                tf.clip_by_value(rows[:, None, :] - corners[:, :, None], 0.0, 1.0), -1
            )
            right = tf.reduce_sum(tf.cast(sums > budget, tf.int32), -1)
            left = tf.maximum(right - 1, 0)
            right = tf.minimum(right, 2 * self.m - 1)
            x0, x1 = (tf.gather(corners, i, batch_dims=1) for i in (left, right))
            y0, y1 = (tf.gather(sums, i, batch_dims=1) for i in (left, right))
            root = x0 + (x1 - x0) * tf.math.divide_no_nan(y0 - budget, y0 - y1)
            fits = tf.reduce_sum(tf.clip_by_value(rows, 0.0, 1.0), -1) <= budget
            root = tf.where(fits, 0.0, tf.maximum(root, 0.0))
            projected.append(tf.clip_by_value(rows - root[:, None], 0.0, 1.0))
        return self._flat(projected), tf.zeros([0], tf.float64)

    def top(self, scores: tf.Tensor, pruned: Any, ties: tf.Tensor | None = None) -> tf.Tensor:
        """Keeps the highest scores of each row; ties as in `SegmentBudget.top`."""
        count = tf.floor(self._at(pruned) + 1e-6)
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


Budget = SegmentBudget | PatternBudget


def _descending(scores: tf.Tensor, ties: tf.Tensor | None) -> tf.Tensor:
    """Indices from the highest score down; ties by `ties`, then by the lower index."""
    if ties is None:
        return tf.argsort(scores, direction="DESCENDING", stable=True)
    first = tf.argsort(ties, direction="DESCENDING", stable=True)
    second = tf.argsort(tf.gather(scores, first), direction="DESCENDING", stable=True)
    return tf.gather(first, second)


def _fill(sizes: tf.Tensor, budget: tf.Tensor, uniform_size: int | None) -> tf.Tensor:
    """Takes groups in order while they fit; 0/1, float32."""
    if uniform_size is not None:
        ranks = tf.range(tf.size(sizes, tf.int64), dtype=tf.int64)
        return tf.cast(ranks < budget // uniform_size, tf.float32)

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


def make_budget(
    targets: Sequence[Target], grids: Sequence[Grid], k: Any, scope: Any, structure: Structure
) -> Budget:
    """Builds the budget that the arguments of `prune` describe.

    Raises:
        ValueError: `k` or `scope` is out of range, or both are given where one says everything.
    """
    sizes = np.concatenate([grid.sizes() for grid in grids])
    totals = [target.size for target in targets]
    names = [target.name for target in targets]
    segments = [grid.num_groups for grid in grids]
    if structure.kind == "n:m":
        budget = PatternBudget(grids, [target.input_axis for target in targets], *structure.sizes)
        if k is not None and resolve_budget(k, sum(totals)) != budget.k:
            if not isinstance(k, float) or not np.isclose(k, structure.sizes[0] / budget.m):
                raise ValueError(
                    validation.describe(
                        f"`k` does not go with structure='{budget.n}:{budget.m}'.",
                        expected=f"no `k`: the structure keeps {budget.k} of {sum(totals)} weights",
                        received=k,
                        fix="leave `k` out",
                    )
                )
        return budget
    if isinstance(scope, Mapping):
        if k is not None:
            raise ValueError(
                validation.describe(
                    "`k` does not go with a mapping as `scope`.",
                    expected="no `k`: the mapping gives every target its own",
                    received=k,
                    fix="leave `k` out",
                )
            )
        missing = [name for name in names if name not in scope]
        unknown = [name for name in scope if name not in names]
        if missing or unknown:
            raise ValueError(
                validation.describe(
                    "`scope` does not name every target.",
                    expected=f"exactly the keys {names}",
                    received=list(scope),
                    fix=f"add {missing}, remove {unknown}; `exclude` leaves a weight dense",
                )
            )
        kept = [resolve_budget(scope[name], size) for name, size in zip(names, totals, strict=True)]
        return SegmentBudget(segments, kept, sizes)
    if k is None:
        raise ValueError(
            validation.describe(
                "`k` is missing.",
                expected="a fraction, or the number of weights to keep",
                received=k,
                fix="pass k=0.02 to keep 2%",
            )
        )
    total = resolve_budget(k, sum(totals))
    if scope == "layer":
        density = total / sum(totals)
        return SegmentBudget(segments, _share(total, [density * size for size in totals]), sizes)
    if scope == "global":
        return SegmentBudget([sum(segments)], [total], sizes)
    raise ValueError(
        validation.describe(
            "`scope` is unknown.",
            expected="'global', 'layer', or a mapping from each target's name to its k",
            received=scope,
            fix="leave it out for one budget over all targets",
        )
    )
