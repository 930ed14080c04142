"""The Hard Concrete gate and its expected-L0 penalty."""

import math
from typing import Any

import tensorflow as tf

from tfgumbel import distributions
from tfgumbel.distributions.abilities import BERNOULLI
from tfgumbel.internal import validation
from tfgumbel.numerics import sigmoid
from tfgumbel.registry import SampleEstimator, register


def _density(logits: tf.Tensor, *, temperature: Any, lower: float, upper: float) -> Any:
    return distributions.HardConcrete(logits, temperature, lower, upper)


@register(
    SampleEstimator,
    variable=BERNOULLI,
    hard=False,
    bias="unbiased for its own objective, whose gates are exactly 0 or 1 with positive probability",
    use_when="gates that must close in training, with hard_concrete_expected_l0 as penalty",
    reference="Louizos, Welling & Kingma, ICLR 2018, eq. 10 and 11",
    temperature_gradient=True,
    exact_sampling=False,
    density=_density,
)
def hard_concrete(
    logits: Any,
    *,
    temperature: Any = 2.0 / 3.0,
    seed: Any,
    lower: float = -0.1,
    upper: float = 1.1,
) -> tf.Tensor:
    """Draws gates in [0, 1] with mass at both ends: a stretched binary Concrete, clipped.

    Forward: clip(lower + (upper - lower) S, 0, 1) with S = `binary_concrete`. Gradient: the
    sample's own derivative, for logits and temperature; 0 where clipped.

    Args:
        logits: Log odds of 1, floating, any shape; -inf and +inf are certain outcomes.
        temperature: Positive number, tensor or variable, a scalar or broadcasting with
            the logits; the paper's is 2/3.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draw.
        lower: Left end of the stretched interval, < 0.
        upper: Right end of the stretched interval, > 1.

    Returns:
        sample: In [0, 1], the shape and dtype of `logits`.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if the temperature or an end is wrong, or in eager mode `logits` holds NaN.

    >>> import tfgumbel
    >>> sample = tfgumbel.hard_concrete([-100.0, 100.0], seed=0)
    >>> sample.numpy().tolist()
    [0.0, 1.0]
    """
    validation.stretched_interval(lower, upper)
    logits, temperature, seed = sigmoid.arguments(logits, temperature, seed)
    ends = (tf.constant(float(end), temperature.dtype) for end in (lower, upper))
    return _clipped(logits, temperature, seed, *ends)


def hard_concrete_expected_l0(
    logits: Any, *, temperature: Any = 2.0 / 3.0, lower: float = -0.1, upper: float = 1.1
) -> tf.Tensor:
    """The probability that each `hard_concrete` gate is not 0; its sum is the expected L0 norm.

        sigmoid(logits - temperature log(-lower / upper))        (Louizos et al. 2018, eq. 12)

    Args:
        logits: Log odds, floating, any shape.
        temperature: Positive number, tensor or variable, a scalar or broadcasting with
            the logits; that of the gates.
        lower: Left end of the stretched interval, < 0.
        upper: Right end of the stretched interval, > 1.

    Returns:
        probability: In [0, 1], the shape and dtype of `logits`; differentiable.

    Raises:
        TypeError: if `logits` is not floating point.
        ValueError: if the temperature or an end is wrong, or in eager mode `logits` holds NaN.

    >>> import tfgumbel
    >>> round(tfgumbel.hard_concrete_expected_l0([0.0]).numpy().item(), 4)
    0.8318
    """
    validation.stretched_interval(lower, upper)
    logits = validation.bernoulli_logits(logits)
    dtype = validation.compute_dtype(logits.dtype)
    temperature = validation.temperature_tensor(temperature, dtype, shape=logits.shape)
    shift = temperature * math.log(-lower / upper)
    return tf.cast(tf.sigmoid(tf.cast(logits, dtype) - shift), logits.dtype)


@tf.custom_gradient
def _clipped(
    logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor, lower: tf.Tensor, upper: tf.Tensor
) -> Any:
    scores = sigmoid.perturb(logits, seed)
    stretched = lower + (upper - lower) * tf.sigmoid(sigmoid.temper(scores, temperature))

    def gradient(gate_upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        inside = (stretched > 0.0) & (stretched < 1.0)
        slope = tf.where(inside, (upper - lower) * tf.cast(gate_upstream, scores.dtype), 0.0)
        grad_logits, grad_temperature = sigmoid.tempered_sigmoid_vjp(scores, temperature, slope)
        return tf.cast(grad_logits, logits.dtype), grad_temperature, None, None, None

    return tf.cast(tf.clip_by_value(stretched, 0.0, 1.0), logits.dtype), gradient
