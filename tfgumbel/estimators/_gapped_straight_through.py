"""Gapped straight-through: a relaxation consistent with the sample, without Gumbel noise."""

import numbers
from typing import Any

import tensorflow as tf

from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.internal import validation
from tfgumbel.numerics import softmax
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=ONE_HOT_CATEGORICAL,
    hard=True,
    bias="biased",
    use_when="the variance of straight_through_gumbel_softmax is too large, noise-free relaxation",
    reference="Fan, Chi, Rudnicky & Ramadge, ICML 2022, section 4",
    temperature_gradient=True,
)
def gapped_straight_through(
    logits: Any, *, temperature: Any, seed: Any, gap: float = 1.0
) -> tf.Tensor:
    """Draws one-hot samples, differentiated as a relaxation moved, without noise, to agree.

    Forward: D = onehot(i), i ~ softmax(logits). Gradient: that of softmax(z / temperature), where
    the shifts that make z are held fixed:

        z_i = max(logits)                            the drawn class is raised to the top
        z_j = min(logits_j, max(logits) - gap)       the others are pushed `gap` below it

    Args:
        logits: Unnormalised log probabilities, floating, shape (..., num_classes). -inf masks a
            class; a row with every class masked raises in eager mode and gives NaN in graph mode.
        temperature: Positive number, tensor or variable, a scalar or broadcasting with
            the axes before the classes; of the backward pass alone.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draw.
        gap: Distance kept between the drawn class and the others, >= 0; the paper's is 1.

    Returns:
        sample: One-hot, shape (..., num_classes), the dtype of `logits`.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if a shape, the temperature or the gap is wrong, or in eager mode a row has no
            finite largest logit.

    >>> import tfgumbel
    >>> sample = tfgumbel.gapped_straight_through([[0.0, 1.0]], temperature=0.5, seed=0)
    >>> sorted(sample[0].numpy().tolist())
    [0.0, 1.0]
    """
    if not isinstance(gap, numbers.Real) or not 0.0 <= gap < float("inf"):
        raise ValueError(
            validation.describe(
                "`gap` is invalid.", expected="a finite number >= 0", received=gap, fix="try 1.0"
            )
        )
    logits, temperature, seed = softmax.arguments(logits, temperature, seed)
    return _hard(logits, temperature, seed, tf.constant(float(gap), temperature.dtype))


@tf.custom_gradient
def _hard(logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor, gap: tf.Tensor) -> Any:
    centered = softmax.center(logits)
    sample = softmax.sample(centered, seed, centered.dtype)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None, None]:
        moved = tf.where(sample > 0, tf.zeros_like(centered), tf.minimum(centered, -gap))
        relaxed = softmax.tempered_softmax(moved, temperature)
        grad_logits, grad_temperature = softmax.tempered_softmax_vjp(
            moved, temperature, relaxed, upstream
        )
        return tf.cast(grad_logits, logits.dtype), grad_temperature, None, None

    return tf.cast(sample, logits.dtype), gradient
