"""Straight-through Gumbel-Softmax: discrete forward, the relaxation's derivative backward."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.numerics import softmax
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=ONE_HOT_CATEGORICAL,
    hard=True,
    family="straight_through_gumbel_softmax",
    bias="biased, less when colder",
    use_when="a cheap default; gumbel_rao has the same mean and less variance",
    reference="Jang, Gu & Poole, ICLR 2017, section 2.2",
    temperature_gradient=True,
)
def straight_through_gumbel_softmax(logits: Any, *, temperature: Any, seed: Any) -> tf.Tensor:
    """Draws one-hot samples, differentiated as the relaxed sample of the same noise.

    Forward: onehot(argmax(logits + G)), G independent standard Gumbels. Gradient: that of
    softmax((logits + G) / temperature), for logits and temperature. Biased; variance grows as
    1 / temperature.

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
    >>> sample = tfgumbel.straight_through_gumbel_softmax([[0.0, 1.0]], temperature=0.5, seed=0)
    >>> sorted(sample[0].numpy().tolist())
    [0.0, 1.0]
    """
    return _hard(*softmax.arguments(logits, temperature, seed))


@tf.custom_gradient
def _hard(logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor) -> Any:
    scores = softmax.perturb(softmax.center(logits), seed)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
        relaxed = softmax.tempered_softmax(scores, temperature)
        grad_logits, grad_temperature = softmax.tempered_softmax_vjp(
            scores, temperature, relaxed, upstream
        )
        return tf.cast(grad_logits, logits.dtype), grad_temperature, None

    return softmax.one_hot_argmax(scores, logits.dtype), gradient
