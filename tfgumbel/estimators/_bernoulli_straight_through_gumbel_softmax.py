"""Straight-through binary Concrete: discrete forward, the relaxation's derivative backward."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.abilities import BERNOULLI
from tfgumbel.numerics import sigmoid
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=BERNOULLI,
    hard=True,
    family="straight_through_gumbel_softmax",
    bias="biased, less when colder",
    use_when="a cheap default; bernoulli_gumbel_rao has the same mean and less variance",
    reference="Jang, Gu & Poole, ICLR 2017, section 2.2",
    temperature_gradient=True,
)
def bernoulli_straight_through_gumbel_softmax(
    logits: Any, *, temperature: Any, seed: Any
) -> tf.Tensor:
    """Draws binary samples, differentiated as the relaxed sample of the same noise.

    Forward: 1 where logits + L > 0, L independent standard logistics, else 0. Gradient: that of
    sigmoid((logits + L) / temperature), for logits and temperature. It is the two-class
    `straight_through_gumbel_softmax`.

    Args:
        logits: Log odds of 1, floating, any shape; -inf and +inf are certain outcomes.
        temperature: Positive number, tensor or variable, a scalar or broadcasting with
            the logits; of the backward pass alone.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draw.

    Returns:
        sample: 0 or 1, the shape and dtype of `logits`.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if the temperature is wrong, or in eager mode `logits` holds NaN.

    >>> import tfgumbel
    >>> sample = tfgumbel.bernoulli_straight_through_gumbel_softmax(
    ...     [0.0, 100.0], temperature=0.5, seed=0)
    >>> sample[1].numpy().item()
    1.0
    """
    return _hard(*sigmoid.arguments(logits, temperature, seed))


@tf.custom_gradient
def _hard(logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor) -> Any:
    scores = sigmoid.perturb(logits, seed)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
        grad_logits, grad_temperature = sigmoid.tempered_sigmoid_vjp(scores, temperature, upstream)
        return tf.cast(grad_logits, logits.dtype), grad_temperature, None

    return sigmoid.threshold(scores, logits.dtype), gradient
