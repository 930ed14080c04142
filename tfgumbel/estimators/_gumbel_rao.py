"""Gumbel-Rao: straight-through Gumbel-Softmax, averaged over the noise given the sample."""

from typing import Any, Literal

import tensorflow as tf

from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.internal import random
from tfgumbel.numerics import softmax
from tfgumbel.numerics.conditional_expectation import Rule
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=ONE_HOT_CATEGORICAL,
    hard=True,
    family="gumbel_rao",
    bias="that of straight_through_gumbel_softmax",
    use_when="the default: the least variance of the Gumbel family, at any temperature",
    reference="Paulus, Maddison & Krause, ICLR 2021, eq. 8 and appendix A",
    temperature_gradient=True,
)
def gumbel_rao(
    logits: Any,
    *,
    temperature: Any,
    seed: Any,
    num_samples: int | Literal["exact"] = "exact",
    noise: Literal["independent", "stratified"] = "stratified",
) -> tf.Tensor:
    """Draws one-hot samples, differentiated as the average relaxation that rounds to them.

    Forward: D = onehot(i), i ~ softmax(logits). Gradient, over Gumbel noise G given D, with
    S = softmax((logits + G) / temperature) and logits + G held fixed:

        E[ diag(S) - S S^T | D ] v / temperature

    It has the mean of `straight_through_gumbel_softmax` and no more variance: by quadrature
    ("exact", every temperature from 0 up, where 0 is `zero_temperature_gumbel_rao`), or as a mean
    of K draws, whose memory does not grow with K. That noise is drawn in the backward pass alone.

    Args:
        logits: Unnormalised log probabilities, floating, shape (..., num_classes). -inf masks a
            class; a row with every class masked raises in eager mode and gives NaN in graph mode.
        temperature: Positive, or 0 with "exact": number, tensor or variable, a scalar or
            broadcasting with (...); of the backward pass alone. Its own gradient is estimated if
            it is a tensor or a variable.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draw.
        num_samples: "exact", or K >= 1; K = 1 is distributed as straight_through_gumbel_softmax.
        noise: Of the K draws: "stratified" draws a randomly shifted lattice: cheaper, above all
            under XLA, as unbiased, of less variance with few exceptions; "independent" is the
            paper's estimator, and what a number of classes gets that is unknown when tracing.

    Returns:
        sample: One-hot, shape (..., num_classes), the dtype of `logits`.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if a shape, the temperature, `num_samples` or `noise` is wrong, or in eager mode
            a row has no finite largest logit.

    >>> import tfgumbel
    >>> sample = tfgumbel.gumbel_rao([[0.0, 1.0]], temperature=0.5, num_samples=10, seed=0)
    >>> sorted(sample[0].numpy().tolist())
    [0.0, 1.0]
    """
    rule = Rule.of(num_samples, noise, temperature)

    @tf.custom_gradient
    def hard(logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor) -> Any:
        centered = softmax.center(logits)
        forward_seed, backward_seed = random.split(seed)
        sample = softmax.sample(centered, forward_seed, centered.dtype)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
            grad_logits, grad_temperature = rule.vjp(
                centered, sample, tf.cast(upstream, centered.dtype), temperature, backward_seed
            )
            return tf.cast(grad_logits, logits.dtype), grad_temperature, None

        return tf.cast(sample, logits.dtype), gradient

    return hard(*softmax.arguments(logits, temperature, seed, allow_zero=rule.exact))
