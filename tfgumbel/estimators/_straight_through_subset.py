"""Straight-through subsets: discrete forward, the relaxation's derivative backward."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.subsets import PLACKETT_LUCE_SUBSET
from tfgumbel.internal import random, validation
from tfgumbel.numerics import softmax, top_k
from tfgumbel.numerics.successive_softmax import relaxed_top_k
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=PLACKETT_LUCE_SUBSET,
    hard=True,
    family="straight_through_gumbel_softmax",
    bias="biased, less when colder",
    use_when="the model needs exact subsets, drawn without replacement",
    reference="Xie & Ermon, IJCAI 2019, with Jang, Gu & Poole, ICLR 2017, section 2.2",
    temperature_gradient=True,
)
def straight_through_subset(logits: Any, k: int, *, temperature: Any, seed: Any) -> tf.Tensor:
    """Draws k-hot samples, differentiated as the relaxed sample of the same noise.

    Forward: that of `gumbel_top_k`, ones at the k largest of logits + G. Gradient: that of
    `relaxed_subset` with the same noise, for logits and temperature. For k = 1 it is
    `straight_through_gumbel_softmax`. Biased; the variance grows as the temperature falls.

    Args:
        logits: Unnormalised log probabilities, floating, shape (..., num_classes). -inf masks a
            class; a row with fewer than k left raises in eager mode and gives NaN in graph mode.
        k: Number of classes drawn, an int from 1 to num_classes.
        temperature: Positive number, tensor or variable, a scalar or broadcasting with
            the axes before the classes; of the backward pass alone.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draw.

    Returns:
        sample: k-hot, shape (..., num_classes), the dtype of `logits`.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if a shape, k or the temperature is wrong, or in eager mode a row has too few
            classes.

    >>> import tfgumbel
    >>> sample = tfgumbel.straight_through_subset([[0.0, 1.0, 2.0]], 2, temperature=0.5, seed=0)
    >>> sorted(sample[0].numpy().tolist())
    [0.0, 1.0, 1.0]
    """
    logits, k = top_k.checked(logits, k)
    dtype = validation.compute_dtype(logits.dtype)
    heat = validation.temperature_tensor(temperature, dtype, shape=logits.shape[:-1])
    heat = tf.convert_to_tensor(softmax.per_class(heat))
    scores = top_k.perturb(top_k.center(logits, k), random.normalize_seed(seed))

    @tf.custom_gradient
    def hard(scores: tf.Tensor, heat: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> Any:
            with tf.GradientTape() as tape:
                tape.watch([scores, heat])
                relaxed = relaxed_top_k(scores, heat, k)
            upstream = tf.cast(upstream, scores.dtype)
            return tape.gradient(relaxed, [scores, heat], output_gradients=upstream)

        return top_k.decide(scores, k, logits.dtype), gradient

    return hard(scores, heat)
