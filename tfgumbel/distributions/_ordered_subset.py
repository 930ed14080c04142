"""k classes drawn one after the other without replacement, in their order."""

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfgumbel.distributions._subset_distribution import SubsetDistribution
from tfgumbel.internal import random
from tfgumbel.numerics import top_k


class OrderedSubset(SubsetDistribution):
    """The first k classes of Plackett and Luce's model: what Gumbel top-k draws, with its order.

    A class is drawn from softmax(logits) and removed, k times. Samples are indices, of shape
    (..., k), in the order of drawing: the k largest of logits + G, G independent standard Gumbels,
    in falling order. With Z_j the sum of exp(logits) over the classes that are left before draw j,

        log p(i_1, ..., i_k) = sum_j logits[i_j] - log Z_j

    >>> import tensorflow as tf
    >>> ordered = OrderedSubset(tf.math.log([0.5, 0.3, 0.2]), 2)
    >>> round(float(ordered.prob([0, 2])), 4), round(float(ordered.prob([2, 0])), 4)
    (0.2, 0.125)

    References:
        Kool, van Hoof & Welling, ICML 2019, eq. 6; Plackett 1975; Yellott 1977.
    """

    def __init__(
        self,
        logits: Any,
        k: int,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "OrderedSubset",
    ) -> None:
        """Makes a batch of ordered subsets.

        Args:
            logits: Unnormalised log probabilities, floating, shape (..., num_classes); -inf masks.
            k: Number of classes drawn, an int from 1 to num_classes.
            validate_args: As for every TFP distribution; nothing is checked at run time.
            allow_nan_stats: As for every TFP distribution.
            name: Name of the distribution's ops.

        Raises:
            TypeError, ValueError: as `tfgumbel.gumbel_top_k`.
        """
        parameters = dict(locals())
        super().__init__(logits, k, tf.int32, parameters, name)

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([self.k])

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.constant([self.k])

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        seed = tfp.random.sanitize_seed(seed)
        centered = top_k.center(self.logits, self.k)
        shape = tf.concat([[n], tf.shape(centered)], axis=0)
        noise = random.gumbel(shape, seed, centered.dtype)
        return tf.math.top_k(centered + noise, self.k).indices

    def _log_prob(self, value: Any) -> tf.Tensor:
        centered = top_k.center(self.logits, self.k)
        chosen = tf.convert_to_tensor(value, tf.int32)
        shape = tf.broadcast_dynamic_shape(tf.shape(chosen)[:-1], tf.shape(centered)[:-1])
        classes = self.logits.shape[-1]
        chosen = tf.broadcast_to(chosen, tf.concat([shape, [self.k]], 0))
        centered = tf.broadcast_to(centered, tf.concat([shape, [classes]], 0))
        flat, rows = tf.reshape(chosen, [-1, self.k]), tf.reshape(centered, [-1, classes])
        drawn = tf.gather(rows, flat, batch_dims=1)
        taken = top_k.k_hot(flat, classes, rows.dtype)
        rest = tf.reduce_logsumexp(
            tf.where((taken > 0) | (rows == float("-inf")), rows.dtype.min, rows), axis=-1
        )
        # What is left before draw j: the rest, and all that is drawn from j on.
        left = tf.math.cumulative_logsumexp(
            tf.concat([drawn, rest[:, tf.newaxis]], axis=-1), axis=-1, reverse=True
        )
        value = tf.reduce_sum(drawn - left[:, :-1], axis=-1)
        # The same class twice is not without replacement.
        value = tf.where(tf.reduce_max(taken, axis=-1) > 1, float("-inf"), value)
        return tf.reshape(value, shape)
