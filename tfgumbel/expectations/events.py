"""The two kinds of discrete variable: classes on the last axis, or one logit each."""

from typing import Any

import tensorflow as tf

from tfgumbel.estimators import _softmax
from tfgumbel.internal import random, validation

EVENTS = ("categorical", "bernoulli")


def check_logits(logits: Any, event: str) -> tf.Tensor:
    """Converts and checks the logits of one kind of variable."""
    validation.one_of("event", event, EVENTS)
    if event == "categorical":
        return validation.categorical_logits(logits)
    return validation.bernoulli_logits(logits)


def sample(logits: tf.Tensor, seed: tf.Tensor, event: str) -> tf.Tensor:
    """Draws exact samples: one-hot or 0 and 1, the shape and dtype of `logits`."""
    if event == "categorical":
        return _softmax.sample(_softmax.center(logits), seed, logits.dtype)
    wide = tf.cast(logits, validation.compute_dtype(logits.dtype))
    noise = random.logistic(tf.shape(wide), seed, wide.dtype)
    return tf.cast(wide + noise > 0, logits.dtype)


def log_prob(logits: tf.Tensor, outcome: tf.Tensor, event: str) -> tf.Tensor:
    """Log probability of each variable's outcome; masked classes add nothing, nor to the gradient.

    Returns:
        log_prob: float32 (float64 for float64 logits), the logits' leading axes, broadcast.
    """
    wide = tf.cast(logits, validation.compute_dtype(logits.dtype))
    if event == "categorical":
        normalized = tf.nn.log_softmax(wide)
        return tf.reduce_sum(tf.where(outcome > 0, normalized, tf.zeros_like(normalized)), -1)
    return tf.where(outcome > 0, tf.math.log_sigmoid(wide), tf.math.log_sigmoid(-wide))
