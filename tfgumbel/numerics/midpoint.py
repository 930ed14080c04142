"""The midpoint (p + D) / 2 of the ReinMax family, in log space."""

import math

import tensorflow as tf

from tfgumbel.numerics import softmax

LOG_2 = math.log(2.0)


def log_midpoint(centered: tf.Tensor, sample: tf.Tensor) -> tf.Tensor:
    """Centred log((p + D) / 2), p = softmax(centered), whose small entries are those of the logits.

    Args:
        centered: Logits, float32 or float64, shape (..., num_classes); -inf masks a class.
        sample: D, one-hot, the shape and dtype of `centered`.

    Returns:
        logits: The same shape and dtype.
    """
    drawn = tf.math.log(0.5 * (tf.nn.softmax(centered) + 1.0))
    return softmax.center(tf.where(sample > 0, drawn, tf.nn.log_softmax(centered) - LOG_2))
