"""Gumbel-Rao for binary variables, exactly."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.abilities import BERNOULLI
from tfgumbel.numerics import quadrature, sigmoid
from tfgumbel.numerics.temperatures import by_temperature
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=BERNOULLI,
    hard=True,
    family="gumbel_rao",
    bias="that of bernoulli_straight_through_gumbel_softmax",
    use_when="the default for gates and binary codes: no sampling noise beyond the sample's own",
    reference="Paulus, Maddison & Krause, ICLR 2021, eq. 8, for two classes",
    temperature_gradient=True,
)
def bernoulli_gumbel_rao(logits: Any, *, temperature: Any, seed: Any) -> tf.Tensor:
    """Draws binary samples, differentiated as the average relaxation that rounds to them.

    Forward: B = 1 where logits + L > 0, L independent standard logistics, else 0. Gradient, with
    S = sigmoid((logits + L) / temperature):

        E[ S (1 - S) | B ] v / temperature

    by a fixed quadrature rule, at every temperature from 0 (where it is (1 - P(B)) v / 2) up. It is
    the two-class `gumbel_rao`, exact.

    Args:
        logits: Log odds of 1, floating, any shape; -inf and +inf are certain outcomes.
        temperature: Number, tensor or variable >= 0, a scalar or broadcasting with `logits`; of
            the backward pass alone.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draw.

    Returns:
        sample: 0 or 1, the shape and dtype of `logits`.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if the temperature is wrong, or in eager mode `logits` holds NaN.

    >>> import tfgumbel
    >>> sample = tfgumbel.bernoulli_gumbel_rao([0.0, 100.0], temperature=0.5, seed=0)
    >>> sample[1].numpy().item()
    1.0
    """
    return _hard(*sigmoid.arguments(logits, temperature, seed, allow_zero=True))


@tf.custom_gradient
def _hard(logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor) -> Any:
    sample = sigmoid.threshold(sigmoid.perturb(logits, seed), temperature.dtype)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
        grad_logits, grad_temperature = by_temperature(
            quadrature.bernoulli_gumbel_rao_vjp,
            [tf.cast(logits, temperature.dtype), sample, tf.cast(upstream, temperature.dtype)],
            temperature,
            event_rank=0,
        )
        return tf.cast(grad_logits, logits.dtype), grad_temperature, None

    return tf.cast(sample, logits.dtype), gradient
