"""The highest so many entries of a vector, without sorting it."""

import functools
from collections.abc import Sequence

import tensorflow as tf

from pruning.budgets.sums import BLOCK, runs

# From so many entries on, the passes are compiled by XLA, which stores nothing between them.
_COMPILE_FROM = 1 << 14


def highest(keys: Sequence[tf.Tensor], count: tf.Tensor) -> tf.Tensor:
    """Marks the `count` highest entries; 0/1, float32, shape (size,).

    Entries that are equal in the first key go by the second, and so on; then by the lower index.
    Each key takes some 32 passes that count, a bit of its threshold each: linear time and no
    copies, where sorting needs both a logarithm and several vectors of indices.

    Args:
        keys: float32 vectors, without NaN, static shape (size,).
        count: int64 scalar, from 0 to size.
    """
    mark = _highest_compiled if keys[0].shape[0] >= _COMPILE_FROM else _highest
    return mark(list(keys), tf.cast(count, tf.int32))


def _highest(keys, count):
    size = keys[0].shape[0]
    state = tf.zeros([size], tf.bool), tf.ones([size], tf.bool), count
    for key in [*map(_ordered, keys), -tf.range(size)]:
        _, undecided, left = state
        # Where all that are undecided fit, or none does, no key decides anything more.
        decides = (left > 0) & (left < _count(undecided))
        state = tf.cond(
            decides,
            functools.partial(_refined, key, *state),
            functools.partial(tf.nest.map_structure, tf.identity, state),
        )
    kept, undecided, left = state
    return tf.cast(tf.where(left > 0, kept | undecided, kept), tf.float32)


def _refined(key, kept, undecided, left):
    """Decides about all entries but those equal to the `left`-th highest of the undecided ones."""
    cut = _threshold(key, undecided, left)
    above = undecided & (key > cut)
    return kept | above, undecided & (key == cut), left - _count(above)


_highest_compiled = tf.function(_highest, jit_compile=True, autograph=False)


def _ordered(key):
    """Integers in the order of the floats, equal where these are, -0 and 0 too."""
    bits = tf.bitcast(key, tf.int32)
    return tf.where(bits < 0, -(bits & tf.int32.max), bits)


def _threshold(key, among, count):
    """The largest t with at least `count` entries `key >= t`, count >= 1: bit by bit."""

    def enough(t):
        return _count(among & (key >= t)) >= count

    def unfinished(bit, t):
        return bit >= 0

    def add(bit, t):
        higher = t + tf.bitwise.left_shift(1, bit)
        return bit - 1, tf.where(enough(higher), higher, t)

    # The sign first: from there on every bit adds.
    start = tf.where(enough(tf.constant(0)), 0, tf.int32.min)
    return tf.while_loop(unfinished, add, (tf.constant(30), start))[1]


def _count(marks):
    whole = marks.shape[0] // BLOCK * BLOCK
    ones = tf.cast(marks, tf.int32)
    return tf.reduce_sum(runs(ones[:whole])) + tf.reduce_sum(ones[whole:])
