"""k softmaxes one after the other: the relaxation of the k largest scores, and its derivative."""

from typing import Any

import tensorflow as tf


def relaxed_top_k(scores: tf.Tensor, temperature: tf.Tensor, k: int) -> tf.Tensor:
    """The sum of k softmaxes, each of what the ones before have left.

        alpha_1 = scores,  a_j = softmax(alpha_j / temperature),
        alpha_{j+1} = alpha_j + log(1 - a_j)

    The backward pass computes the softmaxes again: k vectors are kept for it, no more.

    Args:
        scores: Shape (..., n), the k-th largest of each row finite.
        temperature: Scalar, or ready to broadcast with the scores.
        k: From 1 to n.

    Returns:
        relaxed: Non-negative, each row summing to k, shape (..., n).
    """

    @tf.custom_gradient
    def differentiable(scores: tf.Tensor, temperature: tf.Tensor) -> Any:
        def step(
            index: tf.Tensor, alpha: tf.Tensor, total: tf.Tensor, kept: tf.TensorArray
        ) -> tuple[Any, ...]:
            kept = kept.write(index, alpha)
            after, softmax = _step(alpha, temperature)
            return index + 1, after, total + softmax, kept

        start = tf.TensorArray(scores.dtype, size=k, element_shape=scores.shape)
        _, _, relaxed, kept = tf.while_loop(
            lambda *_: True,
            step,
            (tf.constant(0), scores, tf.zeros_like(scores), start),
            maximum_iterations=k,
        )
        alphas = kept.stack()

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return _backward(alphas, temperature, upstream, k)

        return relaxed, gradient

    return differentiable(scores, temperature)


def _step(alpha: tf.Tensor, temperature: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The next alpha, and this softmax.

    1 - a of the largest entry is the mass of the others, which the difference from 1 would lose.
    """
    present = alpha > float("-inf")
    scaled = tf.where(present, tf.where(present, alpha, 0.0) / temperature, float("-inf"))
    first = tf.one_hot(tf.argmax(scaled, axis=-1), alpha.shape[-1], on_value=True, off_value=False)
    log_softmax = tf.nn.log_softmax(scaled)
    rest = tf.where(~first, log_softmax, float("-inf"))
    log_rest = _log_sum_exp(rest)
    softmax = tf.exp(log_softmax)
    small = tf.where(first, tf.zeros_like(softmax), softmax)
    return alpha + tf.where(first, log_rest, tf.math.log1p(-small)), softmax


def _log_sum_exp(values: tf.Tensor) -> tf.Tensor:
    """`reduce_logsumexp`, keeping the axis, with the gradient 0 where everything is -inf."""
    some = tf.reduce_any(values > float("-inf"), axis=-1, keepdims=True)
    total = tf.reduce_logsumexp(tf.where(some, values, 0.0), axis=-1, keepdims=True)
    return tf.where(some, total, float("-inf"))


def _backward(
    alphas: tf.Tensor, temperature: tf.Tensor, upstream: tf.Tensor, k: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The gradients for scores and temperature, from the last softmax to the first."""

    def step(
        index: tf.Tensor, for_alpha: tf.Tensor, for_temperature: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        with tf.GradientTape() as tape:
            alpha = alphas[k - 1 - index]
            tape.watch([alpha, temperature])
            after, softmax = _step(alpha, temperature)
            # Of masked classes, and after the last softmax, nothing is asked: -inf times 0.
            asked = (for_alpha != 0) & (after > float("-inf"))
            value = tf.reduce_sum(softmax * upstream) + tf.reduce_sum(
                tf.where(asked, after, 0.0) * for_alpha
            )
        gradients = tape.gradient(value, [alpha, temperature])
        for_alpha = tf.where(alpha > float("-inf"), gradients[0], 0.0)
        return index + 1, for_alpha, for_temperature + gradients[1]

    start = (tf.constant(0), tf.zeros_like(upstream), tf.zeros_like(temperature))
    return tf.while_loop(lambda *_: True, step, start, maximum_iterations=k)[1:]
