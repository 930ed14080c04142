"""Independent Bernoulli variables given their sum: exact samples, marginals and covariances.

Subsets of k of n classes have probability proportional to exp(sum of their logits). With c such
that the sum of sigmoid(logit - c) is k, they are the k-hot vectors of Bernoulli variables with
these probabilities, given that k of them are 1. Whatever c is, the conditional distribution is the
same; at this one the condition is the most likely sum, of probability about
1 / sqrt(2 pi variance), so the recursions below multiply and add probabilities of moderate size:
nothing cancels, and nothing that matters overflows or underflows, whatever the logits. (With logits
as they are, the same sums need log space, and lose the digits that the logarithms' size takes.)

The recursion is over a binary tree with the classes as leaves. Each node has the probabilities of
its number of ones, 0 to min(leaves, k): a convolution of its children's. Upwards they give the
normaliser; downwards, from the root's number k, counts are split between children (samples) or
summed over (marginals). O(n k) multiplications in log2(n) steps, O(n log k) numbers kept.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.internal import random
from tfgumbel.numerics import top_k

# Halvings of an interval that c lies in: it need not be exact.
_BISECTIONS = 26


@dataclasses.dataclass(frozen=True)
class Tree:
    """The probabilities of every node's number of ones.

    Attributes:
        levels: From the leaves (rows, n, 2) to the root (rows, 1, k + 1).
        k: The number of ones in all.
    """

    levels: tuple[tf.Tensor, ...]
    k: int


def tilt(logits: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Shifts each row by a constant so that its sigmoids sum to about k.

    Args:
        logits: Shape (rows, n), float32 or float64; -inf masks a class.
        k: From 1 to n.

    Returns:
        tilted: logits - shift, computed without rounding where it matters.
        shift: Shape (rows, 1). Both are NaN where fewer than k classes are not masked.
    """
    n = logits.shape[-1]
    ordered = top_k.largest(logits, min(k + 1, n))
    threshold = ordered[:, k - 1 : k]
    centered = logits - threshold
    # At the ends all but a share of 1 / (e n) of the variables are below k, or above it. Where k
    # is the number of all that are not masked c has no lower end, and far below is as good.
    far = tf.zeros_like(threshold) - 60.0
    below = ordered[:, k:] - threshold if k < n else far
    reach = np.log(n) + 1.0
    bounds = (
        tf.where(below > float("-inf"), below, far) - reach,
        tf.zeros_like(threshold) + reach,
    )

    def halve(low: tf.Tensor, high: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        middle = 0.5 * (low + high)
        too_many = tf.reduce_sum(tf.sigmoid(centered - middle), axis=-1, keepdims=True) >= k
        return tf.where(too_many, middle, low), tf.where(too_many, high, middle)

    low, high = tf.while_loop(lambda low, high: True, halve, bounds, maximum_iterations=_BISECTIONS)
    shift = 0.5 * (low + high)
    return centered - shift, threshold + shift


def grow(tilted: tf.Tensor, k: int) -> Tree:
    """Builds the tree of tilted logits, shape (rows, n)."""
    return Tree(tuple(_upwards(_leaves(tilted), k)), k)


def _leaves(tilted: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.sigmoid(-tilted), tf.sigmoid(tilted)], axis=-1)


def _upwards(leaves: tf.Tensor, k: int) -> list[tf.Tensor]:
    levels = [leaves]
    while levels[-1].shape[1] > 1:
        pairs = _pairs(levels[-1])
        levels.append(_convolve(pairs[:, :, 0], pairs[:, :, 1], k))
    return levels


def _pairs(nodes: tf.Tensor, missing: float = 1.0) -> tf.Tensor:
    """(rows, m, size) as siblings, (rows, ceil(m / 2), 2, size).

    A missing last node has no leaves, so no ones for certain: probability 1 (`missing`) at 0.
    """
    _, number, size = nodes.shape
    if number % 2:
        last = tf.fill([tf.shape(nodes)[0], 1, 1], tf.constant(missing, nodes.dtype))
        nodes = tf.concat([nodes, tf.pad(last, [[0, 0], [0, 0], [0, size - 1]])], axis=1)
    return tf.reshape(nodes, [-1, (number + 1) // 2, 2, size])


def _unpaired(pairs: tf.Tensor, number: int) -> tf.Tensor:
    """Back to (rows, number, size)."""
    _, half, _, size = pairs.shape
    return tf.reshape(pairs, [-1, 2 * half, size])[:, :number]


def _toeplitz(values: tf.Tensor, rows: int, columns: int) -> tf.Tensor:
    """values[..., j - a] at row a and column j, 0 where there is none, on two new last axes.

    Copies padded to a length one more than that of a row shift by one from row to row.
    """
    length = rows + max(columns, values.shape[-1])
    padding = [[0, 0]] * (values.shape.rank - 1) + [[0, length - values.shape[-1]]]
    copies = tf.repeat(tf.pad(values, padding)[..., tf.newaxis, :], rows, axis=-2)
    flat = tf.reshape(copies, [-1, *values.shape[1:-1], rows * length])
    shifted = flat[..., : rows * (length - 1)]
    return tf.reshape(shifted, [-1, *values.shape[1:-1], rows, length - 1])[..., :columns]


def _convolve(left: tf.Tensor, right: tf.Tensor, k: int) -> tf.Tensor:
    """sum_a left[a] right[j - a] for j up to k. Products and sums: matmul may round to TF32."""
    size = left.shape[-1]
    shifted = _toeplitz(right, size, min(2 * size - 2, k) + 1)
    return tf.reduce_sum(left[..., tf.newaxis] * shifted, axis=-2)


def _correlate(outside: tf.Tensor, pairs: tf.Tensor) -> tf.Tensor:
    """sum_j outside[j] sibling[j - a] for the counts a of each child: the shape of `pairs`."""
    siblings = tf.reverse(pairs, axis=[2])
    shifted = _toeplitz(siblings, pairs.shape[-1], outside.shape[-1])
    return tf.reduce_sum(outside[:, :, tf.newaxis, tf.newaxis, :] * shifted, axis=-1)


def log_probability(tree: Tree) -> tf.Tensor:
    """The logarithm of the probability that k of the variables are 1, shape (rows,)."""
    return tf.math.log(tree.levels[-1][:, 0, tree.k])


def sample(tree: Tree, seed: tf.Tensor) -> tf.Tensor:
    """Draws the leaves given the root's number k: 0 or 1, int32, shape (rows, n)."""
    counts = tf.fill([tf.shape(tree.levels[0])[0], 1], tree.k)
    seeds = random.split(seed, max(len(tree.levels) - 1, 1))
    for below, level_seed in zip(tree.levels[-2::-1], seeds, strict=False):
        pairs = _pairs(below)
        size = below.shape[-1]
        rest = counts[..., tf.newaxis] - tf.range(size)
        possible = (rest >= 0) & (rest < size)
        others = tf.gather(pairs[:, :, 1], tf.clip_by_value(rest, 0, size - 1), batch_dims=2)
        weight = tf.where(possible, pairs[:, :, 0] * others, 0.0)
        scores = tf.math.log(weight) + random.gumbel(tf.shape(weight), level_seed, weight.dtype)
        first = tf.argmax(scores, axis=-1, output_type=tf.int32)
        both = tf.stack([first, counts - first], axis=2)
        counts = tf.reshape(both, [-1, 2 * pairs.shape[1]])[:, : below.shape[1]]
    return counts


def _joint(tree: Tree, outside: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The probabilities of a leaf's 0 and 1 given the sum."""
    return tuple(tf.unstack(tree.levels[0] * outside, axis=-1))


def _root(tree: Tree) -> tf.Tensor:
    root = tree.levels[-1]
    one = tf.one_hot(tree.k, root.shape[-1], dtype=root.dtype)
    return one / root[..., tree.k :]


def _downwards(tree: Tree, outside: tf.Tensor) -> tf.Tensor:
    """From a weight of each number of ones in all, (rows, 1, k + 1), to each leaf's 0 and 1.

    Returns:
        outside: The expected weight given the leaf, of the others' numbers, shape (rows, n, 2).
    """
    for below in tree.levels[-2::-1]:
        outside = _unpaired(_correlate(outside, _pairs(below)), below.shape[1])
    return outside


def fewer_of_others(leaves: tf.Tensor, k: int) -> tf.Tensor:
    """The probability that fewer than k of the others are 1, for each variable.

    Args:
        leaves: Probabilities of 0 and 1, shape (rows, n, 2).
        k: From 1 to n.

    Returns:
        probability: Shape (rows, n).
    """
    tree = Tree(tuple(_upwards(leaves, k)), k)
    return _downwards(tree, tf.ones_like(tree.levels[-1]))[..., 1]


def probabilities(tree: Tree) -> tf.Tensor:
    """The probability of each leaf given the sum, shape (rows, n)."""
    absent, present = _joint(tree, _downwards(tree, _root(tree)))
    return present / (absent + present)


def covariance_product(tree: Tree, vector: tf.Tensor) -> tf.Tensor:
    """Cov(leaves given the sum) times a vector: the derivative of the marginals, applied to it.

    Every node carries the sum of the vector over its own ones (upwards) and over those outside
    (downwards), weighted by the probabilities, so that at a leaf

        sum_j Cov_ij v_j = P(0) P(1) (E[v.z | z_i = 1] - E[v.z | z_i = 0])

    which is 0 where z_i is certain, to the last bit.

    Args:
        tree: Of n leaves.
        vector: v, shape (rows, n).

    Returns:
        product: Shape (rows, n).
    """
    leaves = tree.levels[0]
    # The sum is constant, and so v's mean is of no effect but for rounding.
    spread = leaves[..., 0] * leaves[..., 1]
    total = tf.maximum(tf.reduce_sum(spread, axis=-1, keepdims=True), 1e-30)
    vector -= tf.reduce_sum(spread * vector, axis=-1, keepdims=True) / total
    own = [tf.stack([tf.zeros_like(vector), leaves[..., 1] * vector], axis=-1)]
    for below in tree.levels[:-1]:
        pairs, sums = _pairs(below), _pairs(own[-1], missing=0.0)
        own.append(
            _convolve(sums[:, :, 0], pairs[:, :, 1], tree.k)
            + _convolve(pairs[:, :, 0], sums[:, :, 1], tree.k)
        )
    outside = _root(tree)
    outer = tf.zeros_like(outside)
    for below, of_vector in zip(tree.levels[-2::-1], own[-2::-1], strict=True):
        pairs, sums = _pairs(below), _pairs(of_vector, missing=0.0)
        outer = _correlate(outer, pairs) + _correlate(outside, sums)
        outside = _correlate(outside, pairs)
        outer, outside = (_unpaired(nodes, below.shape[1]) for nodes in (outer, outside))
    absent, present = _joint(tree, outside)
    with_class = present * vector + leaves[..., 1] * outer[..., 1]
    without = leaves[..., 0] * outer[..., 0]
    return absent * with_class - present * without


def marginals(logits: tf.Tensor, k: int) -> tf.Tensor:
    """The probability that each class is drawn, and its derivative, the covariance.

    Args:
        logits: Shape (rows, n), float32 or float64.
        k: From 1 to n.

    Returns:
        probabilities: Shape (rows, n), summing to k.
    """

    @tf.custom_gradient
    def differentiable(logits: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return covariance_product(grow(tilt(logits, k)[0], k), upstream)

        return probabilities(grow(tilt(logits, k)[0], k)), gradient

    return differentiable(logits)


def log_normalizer(logits: tf.Tensor, k: int) -> tf.Tensor:
    """The logarithm of the sum over all subsets of exp(sum of their logits).

    Its derivative is `marginals`, and theirs the covariance.

    Args:
        logits: Shape (rows, n), float32 or float64.
        k: From 1 to n.

    Returns:
        log_normalizer: Shape (rows,).
    """

    @tf.custom_gradient
    def differentiable(logits: tf.Tensor) -> Any:
        tilted, shift = tilt(logits, k)
        likely = log_probability(grow(tilted, k))
        value = likely + tf.reduce_sum(tf.nn.softplus(tilted), axis=-1) + k * shift[:, 0]

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return upstream[:, tf.newaxis] * marginals(logits, k)

        return value, gradient

    return differentiable(logits)
