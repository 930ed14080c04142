"""ReinMax: a second-order straight-through estimator."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.numerics import softmax
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=ONE_HOT_CATEGORICAL,
    hard=True,
    family="reinmax",
    bias="biased; exact where the loss is quadratic in the sample, at temperature 1",
    use_when="smooth losses, no temperature to tune; temperatures above 1 trade bias for variance",
    reference="Liu, Dong, Liu, Yu & Gao, NeurIPS 2023, algorithm 2",
)
def reinmax(logits: Any, *, temperature: Any = 1.0, seed: Any) -> tf.Tensor:
    """Draws one-hot samples, differentiated to second order (Heun's method).

    Forward: D = onehot(i), i ~ p = softmax(logits). Gradient, with J(q) = diag(q) - q q^T and
    q = (D + softmax(logits / temperature)) / 2:

        2 J(q) v - J(p) v / 2

    At temperature 1 this is exact for losses quadratic in the sample, and equal to
    `zero_temperature_gumbel_rao`. The gradient does not reach the temperature.

    Args:
        logits: Unnormalised log probabilities, floating, shape (..., num_classes). -inf masks a
            class; a row with every class masked raises in eager mode and gives NaN in graph mode.
        temperature: Positive number, tensor or variable, a scalar or broadcasting with
            the axes before the classes; of the backward pass alone.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draw.

    Returns:
        sample: One-hot, shape (..., num_classes), the dtype of `logits`.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if a shape or the temperature is wrong, or in eager mode a row has no finite
            largest logit.

    >>> import tfgumbel
    >>> sample = tfgumbel.reinmax([[0.0, 1.0]], seed=0)
    >>> sorted(sample[0].numpy().tolist())
    [0.0, 1.0]
    """
    return _hard(*softmax.arguments(logits, temperature, seed))


@tf.custom_gradient
def _hard(logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor) -> Any:
    centered = softmax.center(logits)
    sample = softmax.sample(centered, seed, centered.dtype)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None, None]:
        upstream = tf.cast(upstream, centered.dtype)
        midpoint = 0.5 * (sample + softmax.tempered_softmax(centered, temperature))
        grad_logits = 2.0 * softmax.softmax_vjp(midpoint, upstream)
        grad_logits -= 0.5 * softmax.softmax_vjp(tf.nn.softmax(centered), upstream)
        return tf.cast(grad_logits, logits.dtype), None, None

    return tf.cast(sample, logits.dtype), gradient
