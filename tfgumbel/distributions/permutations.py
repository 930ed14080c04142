"""Permutations, as the estimators and layers ask for them."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.abilities import Kind
from tfgumbel.internal import validation
from tfgumbel.numerics import assignment


class GumbelMatching(Kind):
    """Permutation matrices on the last two axes: the best assignment of scores with noise.

    Its probabilities and means are sums over all permutations, and known to nobody.
    """

    distribution = "GumbelMatching"
    event_rank = 2

    def check(self, logits: Any) -> tf.Tensor:
        return square_matrices("logits", logits)

    def make(self, logits: tf.Tensor, **parameters: Any) -> Any:
        """Refuses: the probability of a permutation has no closed form."""
        raise _unknown("distribution of permutations")

    def make_relaxed(self, logits: tf.Tensor, temperature: Any, **parameters: Any) -> Any:
        """Refuses: the density of a relaxed permutation has no closed form."""
        raise _unknown("density of relaxed permutations")

    def mean(self, logits: tf.Tensor, **parameters: Any) -> tf.Tensor:
        """Refuses: the mean permutation has no closed form."""
        raise _unknown("mean of permutations")

    def mode(self, logits: tf.Tensor, **parameters: Any) -> tf.Tensor:
        """The best assignment without noise."""
        return assignment.permutation_matrix(logits, logits.dtype)


GUMBEL_MATCHING = GumbelMatching()


def square_matrices(name: str, value: Any) -> tf.Tensor:
    """Checks scores of shape (..., n, n), n known; executing eagerly, refuses NaN and +inf."""
    scores = validation.floating_tensor(name, value)
    shape = scores.shape
    square = shape.rank is not None and shape.rank >= 2 and shape[-1] == shape[-2]
    if not square or not shape[-1]:
        raise ValueError(
            validation.describe(
                f"`{name}` are no square matrices.",
                expected="shape (..., n, n), n >= 1 and known when tracing",
                received=tuple(shape) if shape.rank is not None else shape,
                fix="as many things as places: pad with things of their own, or tf.ensure_shape",
            )
        )
    if tf.executing_eagerly() and bool(
        tf.reduce_any(tf.math.is_nan(scores) | (scores == float("inf")))
    ):
        raise ValueError(
            validation.describe(
                f"`{name}` hold NaN or +inf.",
                expected="finite scores, or -inf for a pair that is forbidden",
                received="NaN or +inf",
                fix="look for the operation that produced it",
            )
        )
    return scores


def _unknown(what: str) -> ValueError:
    return ValueError(
        validation.describe(
            f"The {what} has no closed form.",
            expected='a sample, or the best assignment ("argmax")',
            received=f"a request for the {what}",
            fix='average samples, with inference="sample"',
        )
    )
