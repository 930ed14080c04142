"""What the estimators of binary variables share: the two-class forms of `_softmax`.

The logit is log(p / (1 - p)), the second of two classes whose first has logit 0, so that
logit + logistic noise is the difference of two perturbed logits. Logits of -inf and +inf are
certain outcomes, with derivative 0.
"""

from typing import Any

import tensorflow as tf

from tfgumbel.internal import random, validation


def arguments(
    logits: Any, temperature: Any, seed: Any, *, allow_zero: bool = False
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Checks an estimator's arguments and makes tensors of them."""
    logits = validation.bernoulli_logits(logits)
    dtype = validation.compute_dtype(logits.dtype)
    return (
        logits,
        validation.temperature_tensor(temperature, dtype, allow_zero=allow_zero),
        random.normalize_seed(seed),
    )


def perturb(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Adds logistic noise, in the compute dtype."""
    logits = tf.cast(logits, validation.compute_dtype(logits.dtype))
    return logits + random.logistic(tf.shape(logits), seed, logits.dtype)


def threshold(scores: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """1 where the score is positive, else 0."""
    return tf.cast(scores > 0, dtype)


def temper(scores: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
    """scores / temperature, by the reciprocal: see `_softmax.tempered_softmax`."""
    return scores * (1.0 / temperature)


def tempered_sigmoid_vjp(
    scores: tf.Tensor, temperature: tf.Tensor, upstream: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The VJP of sigmoid(scores / temperature) for scores and temperature.

        grad_scores = sigmoid(x) sigmoid(-x) v / temperature,    x = scores / temperature
        grad_temperature = -scores.grad_scores / temperature

    Terms of saturated variables are exactly 0, infinite scores included.
    """
    tempered = temper(scores, temperature)
    slope = tf.sigmoid(tempered) * tf.sigmoid(-tempered)
    grad_scores = slope * tf.cast(upstream, scores.dtype) / temperature
    reached = tf.where(slope > 0, scores, tf.zeros_like(scores))
    return grad_scores, -tf.reduce_sum(reached * grad_scores) / temperature
