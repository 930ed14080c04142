"""k classes drawn one after the other without replacement, their order forgotten."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.distributions._ordered_subset import OrderedSubset
from tfgumbel.distributions._subset_distribution import SubsetDistribution
from tfgumbel.internal import validation
from tfgumbel.numerics import conditional_bernoulli, top_k

# Nodes of the rule for the mean that are taken at a time.
_CHUNK = 32


class PlackettLuceSubset(SubsetDistribution):
    """The k-hot vectors of Gumbel top-k: what `gumbel_top_k` and its relaxations draw.

    The probability of a subset S is the sum over all its k! orders of `OrderedSubset`'s, and the
    integral, with r_i = exp(logits_i) / (sum over what is not in S),

        P(S) = integral over x > 0 of exp(-x) prod_{i in S} (1 - exp(-r_i x))

    taken by a trapezoidal rule in log x, to about 1e-6 in float32 and 1e-12 in float64. `mean`
    holds the probability of each class, by a rule over the arrival times of exponential clocks,
    O(sqrt(k)) times the work of the conditional Bernoulli's marginals.

    >>> import tensorflow as tf
    >>> subset = PlackettLuceSubset(tf.math.log([0.5, 0.3, 0.2]), 2)
    >>> round(float(subset.prob([1.0, 0.0, 1.0])), 4)  # 0.5 0.2 / 0.5 + 0.2 0.5 / 0.8
    0.325

    References:
        Kool, van Hoof & Welling, ICLR 2020, appendix B (the integral).
    """

    def __init__(
        self,
        logits: Any,
        k: int,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "PlackettLuceSubset",
    ) -> None:
        """Makes a batch of subsets.

        Args:
            logits: Unnormalised log probabilities, floating, shape (..., num_classes); -inf masks.
            k: Number of classes in a subset, an int from 1 to num_classes.
            validate_args: As for every TFP distribution; nothing is checked at run time.
            allow_nan_stats: As for every TFP distribution.
            name: Name of the distribution's ops.

        Raises:
            TypeError, ValueError: as `tfgumbel.gumbel_top_k`.
        """
        parameters = dict(locals())
        super().__init__(logits, k, None, parameters, name)

    def _step(self) -> float:
        """Of the trapezoidal rules, which integrate peaks as narrow as 1 / sqrt(k + 1)."""
        return min(0.25, 0.7 / math.sqrt(self.k + 1))

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        indices = OrderedSubset(self.logits, self.k).sample(n, seed=seed)
        return top_k.k_hot(indices, self.logits.shape[-1], self.dtype)

    def _log_prob(self, value: Any) -> tf.Tensor:
        centered = top_k.center(self.logits, self.k)
        value = tf.cast(value, centered.dtype)
        shape = tf.broadcast_dynamic_shape(tf.shape(value), tf.shape(centered))
        value, centered = (tf.broadcast_to(part, shape) for part in (value, centered))
        drawn = tf.gather(
            centered, tf.math.top_k(value, self.k).indices, batch_dims=centered.shape.rank - 1
        )
        left = (value == 0) & (centered > float("-inf"))
        rest = tf.reduce_logsumexp(tf.where(left, centered, centered.dtype.min), axis=-1)
        log_x = np.arange(-40.0, math.log(self.k + 10 * math.sqrt(self.k) + 40), self._step())
        weight = tf.constant(log_x - np.exp(log_x) + math.log(self._step()), centered.dtype)
        log_rate = (drawn - rest[..., tf.newaxis])[..., tf.newaxis]
        terms = _log_arrived(log_rate + tf.constant(log_x, centered.dtype))
        integral = tf.reduce_logsumexp(tf.reduce_sum(terms, axis=-2) + weight, axis=-1)
        # With nothing left it is the only subset.
        log_prob = tf.where(tf.reduce_any(left, axis=-1), integral, tf.zeros_like(integral))
        is_subset = tf.reduce_all((value == 0) | (value == 1), axis=-1) & (
            tf.reduce_sum(value, axis=-1) == self.k
        )
        possible = tf.reduce_all(drawn > float("-inf"), axis=-1)
        return tf.where(is_subset & possible, tf.minimum(log_prob, 0.0), float("-inf"))

    def _mean(self) -> tf.Tensor:
        # Class i arrives at a time with density w_i exp(-w_i x), and is drawn if fewer than k of
        # the others have arrived before. What lies far above the k-th largest is drawn for certain,
        # and need lie no further.
        classes = self.logits.shape[-1]
        dtype = validation.compute_dtype(self.logits.dtype)
        reach = (45.0 if dtype == tf.float64 else 25.0) + math.log(classes)
        rows = tf.reshape(top_k.center(self.logits, self.k), [-1, classes])
        rate = tf.exp(tf.minimum(rows, reach))
        start, end = -1.8 * reach, math.log(60.0 + math.log(self.k))
        step = self._step()

        nodes = int((end - start) / step) + 1
        chunks = -(-nodes // _CHUNK)

        def add(index: tf.Tensor, mean: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            number = tf.cast(index * _CHUNK + tf.range(_CHUNK), dtype)
            times = tf.exp(start + step * number)[:, tf.newaxis, tf.newaxis]
            arrived = tf.reshape(rate * times, [-1, classes])
            leaves = tf.stack([tf.exp(-arrived), -tf.math.expm1(-arrived)], axis=-1)
            earlier = conditional_bernoulli.fewer_of_others(leaves, self.k)
            terms = tf.reshape(arrived * tf.exp(-arrived) * earlier, [_CHUNK, -1, classes])
            return index + 1, mean + step * tf.reduce_sum(terms, axis=0)

        _, mean = tf.while_loop(
            lambda *_: True, add, (tf.constant(0), tf.zeros_like(rate)), maximum_iterations=chunks
        )
        return tf.cast(tf.reshape(mean, tf.shape(self.logits)), self.dtype)

    def _variance(self) -> tf.Tensor:
        mean = self.mean()
        return mean * (1 - mean)

    def _mode(self) -> tf.Tensor:
        return top_k.decide(self.logits, self.k, self.dtype)


def _log_arrived(log_time: tf.Tensor) -> tf.Tensor:
    """log(1 - exp(-exp(log_time))), precise where exp(log_time) is small."""
    small = log_time < -10.0
    time = tf.exp(tf.where(small, tf.zeros_like(log_time), tf.minimum(log_time, 50.0)))
    return tf.where(small, log_time - 0.5 * tf.exp(log_time), tf.math.log(-tf.math.expm1(-time)))
