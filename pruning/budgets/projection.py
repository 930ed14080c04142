"""Projection of keep probabilities onto an L0 budget.

The feasible set is `{s : 0 <= s_i <= 1, sum_i c_i s_i <= k}`. Its projection of z is

    s_i(multiplier) = clip(z_i - multiplier * c_i, 0, 1)

with `multiplier = 0` where that fits the budget, and otherwise the root of the monotone,
piecewise-linear equation `sum_i c_i s_i(multiplier) = k`. Bisection finds the root in some 25
passes over z; Newton's method on the same equation, kept inside the bisection's bracket, in about
four, or two when it starts at the multiplier of the step before.

Reference: X. Zhou, W. Zhang, H. Xu, T. Zhang (2021), "Effective Sparsification of Neural Networks
with Global Sparsity Constraint", CVPR, Theorem 1; R. Cominetti, W. Mascarenhas, P. Silva (2014),
"A Newton's method for the continuous quadratic knapsack problem", Math. Prog. Comp. 6.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pruning.budgets.sums import BLOCK, runs
from tfgumbel.internal import validation

METHODS = ("newton", "bisection")
# A solution uses between 1 - 7e-7 and 1 + 1e-7 of the budget: never above it but for rounding.
_TOO_LITTLE, _TOO_MUCH = 1.0 - 7e-7, 1.0 + 1e-7
# The search aims at the budget, and for vectors of this size between the two: few entries give the
# exact answer, many would take a pass more to confirm what is right already.
_LARGE, _LARGE_AIM = 1_000_000, 1.0 - 3e-7
_NEWTON_STEPS = 10  # from here on every second step bisects, whatever the function looks like
_MAX_STEPS = 250


def project_onto_budget(
    z: Any,
    k: Any,
    *,
    costs: Any = None,
    segments: Sequence[int] | None = None,
    method: str = "newton",
    initial_multiplier: Any = None,
    return_multiplier: bool = False,
    jit_compile: bool = True,
) -> Any:
    """Projects z onto `{s : 0 <= s <= 1, sum(costs * s) <= k}`: the nearest point of it.

    The budget is met to a relative 1e-6 in float32 at any size up to 1e8 entries: partial sums of
    a few entries in float32 are added in float64.

    Args:
        z: Floating-point tensor of any shape. A NaN or an infinity raises in eager mode; inside a
            graph a NaN stays where it is and moves no other entry, and infinities count as 1 or 0.
        k: The budget, a number or a scalar tensor >= 0 in units of `sum(costs * s)` (not a
            fraction); one value a segment, shape `(len(segments),)`, where `segments` is given.
            A tensor may change from call to call without a retrace.
        costs: Positive tensor of z's shape, what each entry takes of the budget: the size of the
            group behind it. None for 1 everywhere.
        segments: Lengths that add up to the number of entries of z: consecutive stretches of z,
            each projected onto its own budget. None is one segment.
        method: `"newton"` (default) or `"bisection"`, the same root by the slower textbook route.
        initial_multiplier: Where the search starts, shape `()` or `(len(segments),)`: the
            multiplier of the step before saves half of the passes. None starts at 0.
        return_multiplier: Whether to return the multiplier as well.
        jit_compile: Whether to compile with XLA, which fuses each pass into one read of z.

    Returns:
        s: the projection, shape and dtype of z; with `return_multiplier`, the pair of s and
        multiplier, float64, shape `()` or `(len(segments),)`.

    Raises:
        TypeError: for a z that is not floating point.
        ValueError: for an unknown method, a negative k, segments that do not add up to the size
            of z, costs or k of a wrong shape, or, in eager mode, a z that is not finite.

    >>> import tensorflow as tf
    >>> from pruning.budgets.projection import project_onto_budget
    >>> s = project_onto_budget(tf.constant([1.25, 0.75, 0.25, -0.5]), 1.0)
    >>> s.numpy().tolist()
    [0.75, 0.25, 0.0, 0.0]
    """
    z = validation.floating_tensor("z", z)
    validation.one_of("method", method, METHODS)
    if not tf.is_tensor(k) and not isinstance(k, tf.Variable | keras.Variable):
        if not np.all(np.asarray(k) >= 0):
            raise ValueError(
                validation.describe(
                    "`k` is invalid.",
                    expected="a budget >= 0, in units of sum(costs * s)",
                    received=k,
                    fix="0 keeps nothing; any k >= sum(costs) leaves only 0 <= s <= 1",
                )
            )
    k = _float64(k)
    if segments is not None:
        segments = _checked_segments(segments, z.shape.num_elements())
    expected = () if segments is None else (len(segments),)
    if k.shape.rank and not k.shape.is_compatible_with(expected):
        raise ValueError(
            validation.describe(
                "`k` has the wrong shape.",
                expected=f"shape () or {expected}, one budget for each segment",
                received=tuple(k.shape),
                fix="pass `segments`, the length of the stretch of z that each budget is for",
            )
        )
    if costs is not None:
        costs = tf.cast(costs, validation.compute_dtype(z.dtype))
        if not costs.shape.is_compatible_with(z.shape):
            raise ValueError(
                validation.describe(
                    "`costs` has the wrong shape.",
                    expected=f"the shape of z, {tuple(z.shape)}",
                    received=tuple(costs.shape),
                    fix="give every entry of z the size of its group",
                )
            )
    if tf.executing_eagerly():
        finite = tf.math.is_finite(z)
        if not bool(tf.reduce_all(finite)):
            raise ValueError(
                validation.describe(
                    "`z` is not finite.",
                    expected="finite entries",
                    received=f"{int(tf.math.count_nonzero(~finite))} NaN or infinite of "
                    f"{int(tf.size(z))}",
                    fix="clip the gradient of the scores, or lower their learning rate",
                )
            )
    start = _float64(0.0 if initial_multiplier is None else initial_multiplier)
    solve = _solve_compiled if jit_compile else _solve
    s, multiplier = solve(z, k, costs, start, segments, method)
    return (s, multiplier) if return_multiplier else s


def _solve(z, k, costs, start, segments, method):
    """Projects each segment: searches for the multipliers together, then maps z once."""
    dtype = validation.compute_dtype(z.dtype)
    lengths = [-1] if segments is None else list(segments)
    flat = tf.reshape(tf.cast(z, dtype), [-1])
    parts = [flat] if segments is None else tf.split(flat, lengths)
    sizes: list[Any] = [None] * len(parts)
    if costs is not None:
        costs = tf.reshape(costs, [-1])
        sizes = [costs] if segments is None else tf.split(costs, lengths)
    k = tf.broadcast_to(k, [len(parts)])
    start = tf.broadcast_to(start, [len(parts)])
    start = tf.where(tf.math.is_finite(start), tf.maximum(start, 0.0), 0.0)

    def used(multiplier):
        pairs = [_used(*row) for row in zip(parts, sizes, tf.unstack(multiplier), strict=True)]
        value, slope = zip(*pairs, strict=True)
        return tf.stack(value), tf.stack(slope)

    aim = k * _LARGE_AIM if (flat.shape[0] or 0) >= _LARGE else k
    multiplier = _search(used, k, aim, start, method)
    projected = [_clipped(*row) for row in zip(parts, sizes, tf.unstack(multiplier), strict=True)]
    s = tf.concat(projected, 0) if len(projected) > 1 else projected[0]
    s = tf.where(tf.math.is_nan(flat), flat, s)
    s = tf.cast(tf.reshape(s, tf.shape(z)), z.dtype)
    return s, multiplier[0] if segments is None else multiplier


_solve_compiled = tf.function(_solve, jit_compile=True, autograph=False)


def _search(used, k, aim, start, method):
    """Finds where `used(multiplier)` is k, or 0 where `used(0) <= k`; all in float64, shape (S,).

    Newton's steps go for `aim`, k or just below it. Invariant: used(lower) > k >= used(upper), so
    `upper` is always a feasible answer.
    """
    infinity = tf.fill(tf.shape(k), tf.constant(np.inf, tf.float64))

    def unfinished(step, multiplier, lower, upper, done):
        return tf.logical_and(step < _MAX_STEPS, tf.reduce_any(~done))

    def advance(step, multiplier, lower, upper, done):
        value, slope = used(multiplier)
        fits = value <= k
        found = (value >= _TOO_LITTLE * k) & (value <= _TOO_MUCH * k)
        found |= fits & (multiplier <= 0.0)
        lower = tf.where(fits, lower, multiplier)
        upper = tf.where(fits, multiplier, upper)
        middle = _between(lower, upper)
        following = middle
        if method == "newton":
            newton = tf.maximum(multiplier + (value - aim) / tf.maximum(slope, 1e-300), 0.0)
            # At the left end 0 itself is a candidate until it has been tried (lower < 0).
            inside = (slope > 0.0) & (newton > lower) & (newton < upper)
            bisect = (step >= _NEWTON_STEPS) & (step % 2 == 0)
            following = tf.where(inside & ~bisect, newton, middle)
        following = tf.maximum(following, 0.0)
        # The bracket has closed: no float lies strictly inside, and its upper end is feasible.
        closed = (following <= lower) | (following >= upper)
        following = tf.where(closed, upper, following)
        multiplier = tf.where(done | found, multiplier, following)
        return step + 1, multiplier, lower, upper, done | found | closed

    # lower = -1 stands for "below 0": used(-1) > k does not matter, only that 0 can be reached.
    state = (tf.constant(0), start, -tf.ones_like(k), infinity, tf.zeros_like(k, tf.bool))
    _, multiplier, _, upper, done = tf.while_loop(unfinished, advance, state)
    return tf.where(done, multiplier, upper)


def _between(lower, upper):
    """Where to look between two multipliers: half-way, or half of the exponents where far apart.

    Half-way alone would take some 250 steps from 1e80 down to 1. Without an upper end yet the next
    is the square of the last, up to the largest float.
    """
    low = tf.maximum(lower, 0.0)
    squared = tf.minimum(low, 1e153) ** 2 * 4.0 + 1.0
    squared = tf.where(low > 1e153, _float64(tf.float64.max), squared)
    far = upper > 8.0 * (low + 1.0)
    geometric = tf.sqrt(low + 1.0) * tf.sqrt(tf.minimum(upper, tf.float64.max))
    middle = tf.where(far, geometric, lower + 0.5 * (upper - lower))
    return tf.where(tf.math.is_inf(upper), squared, middle)


def _clipped(z, costs, multiplier):
    """clip(z - multiplier * costs, 0, 1), the multiplier split in two to keep its low bits.

    z near multiplier cancels: with the multiplier rounded to float32 the difference would be off
    by up to 6e-8 absolutely, much more than 1e-6 of a keep probability of .005.
    """
    high = tf.cast(multiplier, z.dtype)
    low = tf.cast(multiplier - tf.cast(high, tf.float64), z.dtype)
    if costs is None:
        difference = (z - high) - low
    else:
        shift = multiplier * tf.cast(costs, tf.float64)
        difference = tf.cast(tf.cast(z, tf.float64) - shift, z.dtype)
    # NaN > 0 is false, so a NaN counts nothing.
    return tf.where(difference > 0, tf.minimum(difference, 1), 0)


def _used(z, costs, multiplier):
    """The budget used at `multiplier`, and minus its slope to the right: float64 scalars."""
    # Slices come first: a compiler fuses them into the loop, but would store what follows.
    whole = 0 if z.dtype == tf.float64 else tf.size(z) // BLOCK * BLOCK
    value = slope = tf.zeros((), tf.float64)
    for part in (slice(None, whole), slice(whole, None)):
        some = None if costs is None else costs[part]
        s = _clipped(z[part], some, multiplier)
        shift = tf.cast(multiplier, z.dtype) * (1.0 if some is None else some)
        active = tf.where((s > 0) & (z[part] - shift <= 1), tf.ones((), z.dtype), 0)
        if some is not None:
            s, active = s * some, active * some**2
        if part.stop is not None and z.dtype != tf.float64:
            # Runs are added in single precision, the rest in double. One complex sum reads z once
            # where two real ones would read it twice.
            sums = tf.cast(runs(tf.complex(s, active)), tf.complex128)
        else:
            sums = tf.complex(tf.cast(s, tf.float64), tf.cast(active, tf.float64))
        total = tf.reduce_sum(sums)
        value, slope = value + tf.math.real(total), slope + tf.math.imag(total)
    return value, slope


def _checked_segments(segments, size):
    segments = tuple(int(length) for length in segments)
    if min(segments, default=0) < 1 or sum(segments) != size:
        raise ValueError(
            validation.describe(
                "`segments` does not divide z.",
                expected=f"lengths >= 1 that add up to {size}",
                received=segments,
                fix="list the number of entries of each stretch of z, in order",
            )
        )
    return segments


def _float64(value):
    if isinstance(value, keras.Variable):
        value = value.value
    if isinstance(value, tf.Variable):
        value = value.read_value()
    # Never through float32, the default dtype of Python numbers: above 2^24 it skips integers.
    return tf.cast(value if tf.is_tensor(value) else np.asarray(value, np.float64), tf.float64)
