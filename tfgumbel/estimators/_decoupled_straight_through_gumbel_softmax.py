"""Straight-through Gumbel-Softmax with one temperature to explore and another to differentiate."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.internal import random, validation
from tfgumbel.numerics import softmax
from tfgumbel.registry import SampleEstimator, register


def _density(logits: tf.Tensor, *, temperature: Any, forward_temperature: Any = 1.0) -> Any:
    return ONE_HOT_CATEGORICAL.make(logits / tf.cast(forward_temperature, logits.dtype))


@register(
    SampleEstimator,
    variable=ONE_HOT_CATEGORICAL,
    hard=True,
    bias="biased, and samples from softmax(logits / forward_temperature)",
    use_when="exploration and gradient dispersion are to be tuned apart",
    reference="Shah, Yan, Mozer & Liu 2024, arXiv:2410.13331",
    temperature_gradient=True,
    density=_density,
)
def decoupled_straight_through_gumbel_softmax(
    logits: Any, *, temperature: Any, seed: Any, forward_temperature: Any = 1.0
) -> tf.Tensor:
    """Draws one-hot samples at one temperature, differentiated as relaxed ones at another.

    Forward: onehot(argmax(logits + forward_temperature G)), G independent standard Gumbels, which
    has class j with probability softmax(logits / forward_temperature)_j. Gradient: that of
    softmax((logits + forward_temperature G) / temperature), for logits and both temperatures. At
    forward temperature 1 it is `straight_through_gumbel_softmax`.

    Made from the abstract of its source, whose formulas were not at hand: another reading divides
    the logits, and not the noise, by each temperature in turn. The samples are the same.

    Args:
        logits: Unnormalised log probabilities, floating, shape (..., num_classes). -inf masks a
            class; a row with every class masked raises in eager mode and gives NaN in graph mode.
        temperature: Positive number, tensor or variable, a scalar or broadcasting with (...); of
            the backward pass.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draw.
        forward_temperature: Likewise, of the samples: below 1 they are greedier.

    Returns:
        sample: One-hot, shape (..., num_classes), the dtype of `logits`.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if a shape or a temperature is wrong, or in eager mode a row has no finite
            largest logit.

    >>> import tfgumbel
    >>> sample = tfgumbel.decoupled_straight_through_gumbel_softmax(
    ...     [[0.0, 1.0]], temperature=0.9, forward_temperature=0.3, seed=0)
    >>> sorted(sample[0].numpy().tolist())
    [0.0, 1.0]
    """
    logits, temperature, seed = softmax.arguments(logits, temperature, seed)
    forward_temperature = validation.temperature_tensor(
        forward_temperature, temperature.dtype, name="forward_temperature", shape=logits.shape[:-1]
    )
    return _hard(logits, temperature, forward_temperature, seed)


@tf.custom_gradient
def _hard(
    logits: tf.Tensor, temperature: tf.Tensor, forward_temperature: tf.Tensor, seed: tf.Tensor
) -> Any:
    centered = softmax.center(logits)
    noise = random.gumbel(tf.shape(centered), seed, centered.dtype)
    scores = centered + softmax.per_class(forward_temperature) * noise

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, None]:
        relaxed = softmax.tempered_softmax(scores, temperature)
        grad_scores, grad_temperature = softmax.tempered_softmax_vjp(
            scores, temperature, relaxed, upstream
        )
        by_variable = tf.reduce_sum(grad_scores * noise, axis=-1)
        grad_forward = softmax.sum_like(by_variable, forward_temperature)
        return tf.cast(grad_scores, logits.dtype), grad_temperature, grad_forward, None

    return softmax.one_hot_argmax(scores, logits.dtype), gradient
