"""Exact sampling of categorical variables, without a gradient."""

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
    bias="no gradient",
    use_when="sampling alone: evaluation, generation, score-function estimators",
    reference="Gumbel 1954; Maddison, Tarlow & Minka, NeurIPS 2014, section 3",
    differentiable=False,
)
def gumbel_max(logits: Any, *, seed: Any) -> tf.Tensor:
    """Draws one-hot samples from softmax(logits) by the Gumbel-max trick.

    Forward: onehot(argmax(logits + G)), G independent standard Gumbels. No gradient.

    Args:
        logits: Unnormalised log probabilities, floating, shape (..., num_classes). -inf masks a
            class; a row with every class masked raises in eager mode and gives NaN in graph mode.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draw.

    Returns:
        sample: One-hot, shape (..., num_classes), the dtype of `logits`.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if a shape is wrong, or in eager mode a row has no finite largest logit.

    >>> import tfgumbel
    >>> tfgumbel.gumbel_max([[0.0, -float("inf")]], seed=0).numpy().tolist()
    [[1.0, 0.0]]
    """
    logits = validation.categorical_logits(logits)
    seed = random.normalize_seed(seed)
    return tf.stop_gradient(softmax.sample(softmax.center(logits), seed, logits.dtype))
