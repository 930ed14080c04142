"""What the estimators of binary variables share: the two-class forms of `softmax`.

The logit is log(p / (1 - p)), the second of two classes whose first has logit 0, so that
logit + logistic noise is the difference of two perturbed logits. Logits of -inf and +inf are
certain outcomes, with derivative 0.
"""

from typing import Any

import tensorflow as tf

from tfgumbel.internal import random, validation
from tfgumbel.numerics import softmax


def arguments(
    logits: Any, temperature: Any, seed: Any, *, allow_zero: bool = False
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Checks an estimator's arguments and makes tensors of them.

    The temperature may have a shape that broadcasts with the variables'.
    """
    logits = validation.bernoulli_logits(logits)
    dtype = validation.compute_dtype(logits.dtype)
    return (
        logits,
        validation.temperature_tensor(
            temperature,
            dtype,
            allow_zero=allow_zero,
            shape=logits.shape,
        ),
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
    """scores / temperature, by the reciprocal: see `softmax.tempered_softmax`."""
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
    return grad_scores, -softmax.sum_like(reached * grad_scores, temperature) / temperature


def reinmax_slope(logits: tf.Tensor, sample: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
    """ReinMax's derivative of a binary sample for its logit (Liu et al. 2023, algorithm 2).

        2 q (1 - q) - p (1 - p) / 2,    q = (sample + sigmoid(logits / temperature)) / 2

    Both ends are taken from the side where they are small, so that neither loses digits.
    """
    toward, away = (tf.sigmoid(sign * temper(logits, temperature)) for sign in (1.0, -1.0))
    midpoint = 0.5 * (sample + toward)
    remainder = 0.5 * ((1.0 - sample) + away)
    return 2.0 * midpoint * remainder - 0.5 * tf.sigmoid(logits) * tf.sigmoid(-logits)


def reinmax_probability_slope(probability: tf.Tensor) -> tf.Tensor:
    """The same at temperature 1, for the probability of 1 in place of the logit: 1 / (2 P).

    Args:
        probability: P, of the outcome that was drawn; above 0.
    """
    return 0.5 / probability
