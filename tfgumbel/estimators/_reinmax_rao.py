"""ReinMax with its noisy half averaged by Gumbel-Rao."""

from typing import Any, Literal

import tensorflow as tf

from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.internal import random
from tfgumbel.numerics import softmax
from tfgumbel.numerics.conditional_expectation import Rule
from tfgumbel.numerics.midpoint import log_midpoint
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=ONE_HOT_CATEGORICAL,
    hard=True,
    bias="biased, towards that of reinmax when hotter",
    use_when="smooth losses where reinmax varies too much: colder temperatures trade bias for it",
    reference="Wang & Bui 2026, arXiv:2603.08257, eq. 17",
)
def reinmax_rao(
    logits: Any,
    *,
    temperature: Any,
    seed: Any,
    num_samples: int | Literal["exact"] = "exact",
    noise: Literal["independent", "stratified"] = "stratified",
) -> tf.Tensor:
    """Draws one-hot samples, differentiated by ReinMax with Gumbel-Rao at its midpoint.

    Forward: D = onehot(i), i ~ p = softmax(logits). Gradient, with q = (p + D) / 2 and J(p) =
    diag(p) - p p^T:

        2 E[ J(S) | D ] v / temperature - J(p) v / 2,    S = softmax((log q + G) / temperature)

    over Gumbel noise G given that log q + G is largest at D. With J(q) in place of the expectation
    it is `reinmax`. The authors sample; here it is exact by quadrature unless told otherwise. The
    gradient does not reach the temperature.

    Args:
        logits: Unnormalised log probabilities, floating, shape (..., num_classes). -inf masks a
            class; a row with every class masked raises in eager mode and gives NaN in graph mode.
        temperature: Positive, or 0 with "exact": number, tensor or variable, a scalar or
            broadcasting with (...); of the backward pass alone.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draw.
        num_samples: "exact", or K >= 1 draws of the noise.
        noise: Of the K draws, as in `gumbel_rao`.

    Returns:
        sample: One-hot, shape (..., num_classes), the dtype of `logits`.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if a shape, the temperature, `num_samples` or `noise` is wrong, or in eager mode
            a row has no finite largest logit.

    >>> import tfgumbel
    >>> sample = tfgumbel.reinmax_rao([[0.0, 1.0]], temperature=0.5, seed=0)
    >>> sorted(sample[0].numpy().tolist())
    [0.0, 1.0]
    """
    rule = Rule.of(num_samples, noise, 0.0)

    @tf.custom_gradient
    def hard(logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor) -> Any:
        centered = softmax.center(logits)
        forward_seed, backward_seed = random.split(seed)
        sample = softmax.sample(centered, forward_seed, centered.dtype)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None, None]:
            upstream = tf.cast(upstream, centered.dtype)
            probs = tf.nn.softmax(centered)
            averaged, _ = rule.vjp(
                log_midpoint(centered, sample), sample, upstream, temperature, backward_seed
            )
            grad_logits = 2.0 * averaged - 0.5 * softmax.softmax_vjp(probs, upstream)
            return tf.cast(grad_logits, logits.dtype), None, None

        return tf.cast(sample, logits.dtype), gradient

    return hard(*softmax.arguments(logits, temperature, seed, allow_zero=rule.exact))
