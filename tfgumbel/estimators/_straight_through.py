"""The straight-through estimator, with the temperature as slope."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.numerics import softmax
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=ONE_HOT_CATEGORICAL,
    hard=True,
    family="straight_through",
    bias="biased; exact where the loss is linear in the sample, at temperature 1",
    use_when="the cheapest baseline; losses nearly linear in the sample",
    reference="Bengio, Leonard & Courville 2013; Chung, Ahn & Bengio, ICLR 2017 (slope annealing)",
    temperature_gradient=True,
)
def straight_through(logits: Any, *, temperature: Any = 1.0, seed: Any) -> tf.Tensor:
    """Draws one-hot samples, differentiated as the probabilities softmax(logits / temperature).

    Forward: onehot(i), i ~ softmax(logits). Gradient: that of softmax(logits / temperature), for
    logits and temperature. At temperature 1 it is exact for losses linear in the sample; annealing
    the temperature towards 0 steepens the slope.

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
    >>> sample = tfgumbel.straight_through([[0.0, 1.0]], seed=0)
    >>> sorted(sample[0].numpy().tolist())
    [0.0, 1.0]
    """
    return _hard(*softmax.arguments(logits, temperature, seed))


@tf.custom_gradient
def _hard(logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor) -> Any:
    centered = softmax.center(logits)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
        probs = softmax.tempered_softmax(centered, temperature)
        grad_logits, grad_temperature = softmax.tempered_softmax_vjp(
            centered, temperature, probs, upstream
        )
        return tf.cast(grad_logits, logits.dtype), grad_temperature, None

    return softmax.sample(centered, seed, logits.dtype), gradient
