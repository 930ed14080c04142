"""ZGR: Gumbel-Rao at temperature zero, in closed form."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.internal import random, validation
from tfgumbel.numerics import softmax
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=ONE_HOT_CATEGORICAL,
    hard=True,
    bias="biased; exact where the loss is quadratic in the sample",
    use_when="a strong default without a temperature, at the cost of straight_through",
    reference="Shekhovtsov, ICML 2023 (ZGR); Liu et al., NeurIPS 2023 (the same as ReinMax)",
)
def zero_temperature_gumbel_rao(logits: Any, *, seed: Any) -> tf.Tensor:
    """Draws one-hot samples, differentiated by the cold limit of Gumbel-Rao.

    Forward: D = onehot(i), i ~ p = softmax(logits). Gradient:

        (1/2) Sum_j p_j (v_i - v_j) (e_i - e_j)

    the limit of `gumbel_rao` as its temperature goes to 0, and `reinmax` at temperature 1. Exact
    for losses quadratic in the sample.

    Args:
        logits: Unnormalised log probabilities, floating, shape (..., num_classes). -inf masks a
            class; a row with every class masked raises in eager mode and gives NaN in graph mode.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draw.

    Returns:
        sample: One-hot, shape (..., num_classes), the dtype of `logits`.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if a shape is wrong, or in eager mode a row has no finite
            largest logit.

    >>> import tfgumbel
    >>> sample = tfgumbel.zero_temperature_gumbel_rao([[0.0, 1.0]], seed=0)
    >>> sorted(sample[0].numpy().tolist())
    [0.0, 1.0]
    """
    return _hard(validation.categorical_logits(logits), random.normalize_seed(seed))


@tf.custom_gradient
def _hard(logits: tf.Tensor, seed: tf.Tensor) -> Any:
    centered = softmax.center(logits)
    sample = softmax.sample(centered, seed, centered.dtype)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        gain = tf.cast(upstream, centered.dtype)
        gain -= tf.reduce_sum(sample * gain, axis=-1, keepdims=True)  # v_j - v_i
        pull = tf.nn.softmax(centered) * gain
        grad_logits = 0.5 * (pull - sample * tf.reduce_sum(pull, axis=-1, keepdims=True))
        return tf.cast(grad_logits, logits.dtype), None

    return tf.cast(sample, logits.dtype), gradient
