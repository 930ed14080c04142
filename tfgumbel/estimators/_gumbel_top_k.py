"""Exact sampling of k classes without replacement, without a gradient."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.subsets import PLACKETT_LUCE_SUBSET
from tfgumbel.internal import random
from tfgumbel.numerics import top_k
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=PLACKETT_LUCE_SUBSET,
    hard=True,
    bias="no gradient",
    use_when="sampling without replacement alone: evaluation, generation",
    reference="Kool, van Hoof & Welling, ICML 2019, section 3.1; Yellott 1977",
    differentiable=False,
)
def gumbel_top_k(logits: Any, k: int, *, seed: Any) -> tf.Tensor:
    """Draws k of the classes without replacement, one after the other, as k-hot vectors.

    Forward: ones at the k largest of logits + G, G independent standard Gumbels. It is what drawing
    a class from softmax(logits), removing it, and drawing again from the rest gives (Plackett and
    Luce), its order forgotten. It is *not* the distribution of `simple_subset`, in which a subset's
    probability is proportional to exp(sum of its logits): the two agree for k = 1 alone. No
    gradient. `tfgumbel.distributions.PlackettLuceSubset` has its log probability, and
    `tfgumbel.distributions.OrderedSubset` draws with the order kept.

    Args:
        logits: Unnormalised log probabilities, floating, shape (..., num_classes). -inf masks a
            class; a row with fewer than k left raises in eager mode and gives NaN in graph mode.
        k: Number of classes drawn, an int from 1 to num_classes.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draw.

    Returns:
        sample: k-hot, shape (..., num_classes), the dtype of `logits`.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if a shape or k is wrong, or in eager mode a row has too few classes.

    >>> import tfgumbel
    >>> tfgumbel.gumbel_top_k([[0.0, -float("inf"), 1.0]], 2, seed=0).numpy().tolist()
    [[1.0, 0.0, 1.0]]

    References:
        Kool, van Hoof & Welling, "Stochastic beams and where to find them", ICML 2019.
    """
    logits, k = top_k.checked(logits, k)
    scores = top_k.perturb(top_k.center(logits, k), random.normalize_seed(seed))
    return tf.stop_gradient(top_k.decide(scores, k, logits.dtype))
