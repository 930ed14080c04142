"""The conditional Bernoulli distribution: k-hot vectors by their logits' sum."""

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfgumbel.distributions._subset_distribution import SubsetDistribution
from tfgumbel.internal import random, validation
from tfgumbel.numerics import conditional_bernoulli, top_k


class ConditionalBernoulli(SubsetDistribution):
    """Independent Bernoulli variables given that k of them are 1: what `simple_subset` draws.

    A subset S of k classes has probability exp(sum_{i in S} logits_i) / Z, Z the sum over all
    subsets of k. Samples are k-hot, of shape (..., num_classes). `mean` holds the probability of
    each class; its derivative is the covariance. All are exact but for rounding, by
    O(k num_classes) operations.

    >>> import tensorflow as tf
    >>> subset = ConditionalBernoulli(tf.math.log([1.0, 2.0, 3.0]), 2)
    >>> round(float(subset.prob([1.0, 0.0, 1.0])), 4)  # 3 / (2 + 3 + 6)
    0.2727
    >>> subset.mean().numpy().round(4).tolist()  # 5/11, 8/11, 9/11
    [0.4544999897480011, 0.7272999882698059, 0.8181999921798706]

    References:
        Chen, Dempster & Liu, Biometrika 1994; Ahmed et al., ICLR 2023.
    """

    def __init__(
        self,
        logits: Any,
        k: int,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "ConditionalBernoulli",
    ) -> None:
        """Makes a batch of subsets.

        Args:
            logits: Log odds before the condition, floating, shape (..., num_classes); -inf masks.
            k: Number of classes in a subset, an int from 1 to num_classes.
            validate_args: As for every TFP distribution; nothing is checked at run time.
            allow_nan_stats: As for every TFP distribution.
            name: Name of the distribution's ops.

        Raises:
            TypeError, ValueError: as `tfgumbel.simple_subset`.
        """
        parameters = dict(locals())
        super().__init__(logits, k, None, parameters, name)

    def _rows(self) -> tf.Tensor:
        """The logits in the compute dtype, the largest of each row 0, shape (rows, classes)."""
        wide = tf.cast(self.logits, validation.compute_dtype(self.logits.dtype))
        wide -= tf.stop_gradient(tf.reduce_max(wide, axis=-1, keepdims=True))
        return tf.reshape(wide, [-1, wide.shape[-1]])

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        seed = random.normalize_seed(tfp.random.sanitize_seed(seed))
        rows = tf.tile(self._rows(), [n, 1])
        tree = conditional_bernoulli.grow(conditional_bernoulli.tilt(rows, self.k)[0], self.k)
        sample = tf.cast(conditional_bernoulli.sample(tree, seed), self.dtype)
        return tf.reshape(sample, tf.concat([[n], tf.shape(self.logits)], axis=0))

    def _log_prob(self, value: Any) -> tf.Tensor:
        rows = self._rows()
        normalizer = conditional_bernoulli.log_normalizer(rows, self.k)
        normalizer = tf.reshape(normalizer, tf.shape(self.logits)[:-1])
        logits = tf.reshape(rows, tf.shape(self.logits))
        value = tf.cast(value, logits.dtype)
        chosen = tf.reduce_sum(tf.where(value > 0, logits * value, 0.0), axis=-1)
        is_subset = tf.reduce_all((value == 0) | (value == 1), axis=-1) & (
            tf.reduce_sum(value, axis=-1) == self.k
        )
        return tf.where(is_subset, chosen - normalizer, float("-inf"))

    def _mean(self) -> tf.Tensor:
        mean = conditional_bernoulli.marginals(self._rows(), self.k)
        return tf.cast(tf.reshape(mean, tf.shape(self.logits)), self.dtype)

    def _variance(self) -> tf.Tensor:
        mean = self.mean()
        return mean * (1 - mean)

    def _mode(self) -> tf.Tensor:
        return top_k.decide(self.logits, self.k, self.dtype)

    def _entropy(self) -> tf.Tensor:
        rows = self._rows()
        normalizer = conditional_bernoulli.log_normalizer(rows, self.k)
        mean = conditional_bernoulli.marginals(rows, self.k)
        expected = tf.reduce_sum(tf.where(mean > 0, rows * mean, 0.0), axis=-1)
        return tf.reshape(normalizer - expected, tf.shape(self.logits)[:-1])
