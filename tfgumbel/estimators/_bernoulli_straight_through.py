"""The straight-through estimator of binary variables, with the temperature as slope."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.abilities import BERNOULLI
from tfgumbel.numerics import sigmoid
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=BERNOULLI,
    hard=True,
    family="straight_through",
    bias="biased; exact where the loss is linear in the sample, at temperature 1",
    use_when="the cheapest baseline; losses nearly linear in the sample",
    reference="Bengio, Leonard & Courville 2013; Chung, Ahn & Bengio, ICLR 2017 (slope annealing)",
    temperature_gradient=True,
)
def bernoulli_straight_through(logits: Any, *, temperature: Any = 1.0, seed: Any) -> tf.Tensor:
    """Draws binary samples, differentiated as the probability sigmoid(logits / temperature).

    Forward: 1 with probability sigmoid(logits), else 0. Gradient: that of
    sigmoid(logits / temperature), for logits and temperature. It is the two-class
    `straight_through`.

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
    >>> sample = tfgumbel.bernoulli_straight_through([0.0, 100.0], temperature=0.5, seed=0)
    >>> sample[1].numpy().item()
    1.0
    """
    return _hard(*sigmoid.arguments(logits, temperature, seed))


@tf.custom_gradient
def _hard(logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor) -> Any:
    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
        grad_logits, grad_temperature = sigmoid.tempered_sigmoid_vjp(
            tf.cast(logits, temperature.dtype), temperature, upstream
        )
        return tf.cast(grad_logits, logits.dtype), grad_temperature, None

    return sigmoid.threshold(sigmoid.perturb(logits, seed), logits.dtype), gradient
