"""What the categorical estimators share: exact sampling, and the tempered softmax's derivative.

Rows are shifted so that their largest logit is 0 before noise is added: near a logit of 1e4 a
float32 step is 1e-3, which would swallow the noise. A masked class has logit -inf, probability 0
and derivative 0. A row with every class masked is an error in eager mode; in graph mode, where
nothing can be raised, its sample and gradient are NaN.
"""

from typing import Any

import tensorflow as tf

from tfgumbel.internal import random, validation


def arguments(
    logits: Any, temperature: Any, seed: Any, *, allow_zero: bool = False
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Checks an estimator's arguments and makes tensors of them.

    The temperature may have a shape that broadcasts with the variables'.
    """
    logits = validation.categorical_logits(logits)
    dtype = validation.compute_dtype(logits.dtype)
    return (
        logits,
        validation.temperature_tensor(
            temperature,
            dtype,
            allow_zero=allow_zero,
            shape=logits.shape[:-1],
        ),
        random.normalize_seed(seed),
    )


def center(logits: tf.Tensor) -> tf.Tensor:
    """Casts to the compute dtype and shifts each row's largest logit to 0 (NaN: all masked)."""
    logits = tf.cast(logits, validation.compute_dtype(logits.dtype))
    return logits - tf.reduce_max(logits, axis=-1, keepdims=True)


def perturb(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Adds Gumbel noise to centered logits."""
    return logits + random.gumbel(tf.shape(logits), seed, logits.dtype)


def sample(centered: tf.Tensor, seed: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """One-hot samples from softmax(centered)."""
    return one_hot_argmax(perturb(centered, seed), dtype)


def one_hot_argmax(scores: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """The one-hot vector of each row's largest score; NaN for a row of NaN."""
    winner = tf.argmax(scores, axis=-1, output_type=tf.int32)
    depth = scores.shape[-1] or tf.shape(scores)[-1]
    sample = tf.one_hot(winner, depth, dtype=dtype)
    return tf.where(tf.math.is_nan(scores[..., :1]), tf.constant(float("nan"), dtype), sample)


def tempered_softmax(scores: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
    """softmax(scores / temperature).

    By the reciprocal: fused with the noise, a division keeps XLA from using a CPU's vector units.
    """
    return tf.nn.softmax(scores * (1.0 / per_class(temperature)))


def per_class(temperature: tf.Tensor) -> tf.Tensor:
    """A temperature of every variable, ready to broadcast with its classes."""
    return temperature if temperature.shape.rank == 0 else temperature[..., tf.newaxis]


def sum_like(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Sums `values` over the axes along which `like` was broadcast to their shape."""
    if like.shape.rank == 0:
        return tf.reduce_sum(values)
    axes = tf.raw_ops.BroadcastGradientArgs(s0=tf.shape(values), s1=tf.shape(like)).r1
    return tf.reshape(tf.reduce_sum(values, axes), tf.shape(like))


def softmax_vjp(probs: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """`(diag(p) - p p^T) v`, without the matrix."""
    return probs * (upstream - tf.reduce_sum(probs * upstream, axis=-1, keepdims=True))


def tempered_softmax_vjp(
    scores: tf.Tensor, temperature: tf.Tensor, relaxed: tf.Tensor, upstream: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The VJP of relaxed = softmax(scores / temperature) for scores and temperature.

        grad_scores = relaxed (v - relaxed.v) / temperature
        grad_temperature = -scores.grad_scores / temperature

    Terms of masked classes (relaxed = 0, scores = -inf) are exactly 0.
    """
    grad_scores = softmax_vjp(relaxed, tf.cast(upstream, scores.dtype)) / per_class(temperature)
    reached = tf.where(relaxed > 0, scores, tf.zeros_like(scores))
    by_variable = tf.reduce_sum(reached * grad_scores, axis=-1)
    return grad_scores, -sum_like(by_variable, temperature) / temperature
