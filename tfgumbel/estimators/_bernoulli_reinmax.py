"""ReinMax for binary variables."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.abilities import BERNOULLI
from tfgumbel.numerics import sigmoid
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=BERNOULLI,
    hard=True,
    family="reinmax",
    bias="biased; exact where the loss is quadratic in the sample, at temperature 1",
    use_when="smooth losses, no temperature to tune; temperatures above 1 trade bias for variance",
    reference="Liu, Dong, Liu, Yu & Gao, NeurIPS 2023, algorithm 2, for two classes",
)
def bernoulli_reinmax(logits: Any, *, temperature: Any = 1.0, seed: Any) -> tf.Tensor:
    """Draws binary samples, differentiated to second order (Heun's method).

    Forward: B = 1 with probability p = sigmoid(logits), else 0. Gradient, with
    q = (B + sigmoid(logits / temperature)) / 2:

        (2 q (1 - q) - p (1 - p) / 2) v

    At temperature 1 this is (1 - P(B)) v / 2, P(B) the probability of the sample: exact for losses
    quadratic in each variable, and the limit of `bernoulli_gumbel_rao` at temperature 0. It is the
    two-class `reinmax`. The gradient does not reach the temperature.

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
    >>> sample = tfgumbel.bernoulli_reinmax([0.0, 100.0], seed=0)
    >>> sample[1].numpy().item()
    1.0
    """
    return _hard(*sigmoid.arguments(logits, temperature, seed))


@tf.custom_gradient
def _hard(logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor) -> Any:
    wide = tf.cast(logits, temperature.dtype)
    sample = sigmoid.threshold(sigmoid.perturb(logits, seed), wide.dtype)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None, None]:
        slope = sigmoid.reinmax_slope(wide, sample, temperature)
        return tf.cast(slope * tf.cast(upstream, wide.dtype), logits.dtype), None, None

    return tf.cast(sample, logits.dtype), gradient
