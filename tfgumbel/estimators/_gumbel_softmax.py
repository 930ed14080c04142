"""The Concrete, or Gumbel-Softmax, relaxation of categorical variables."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.numerics import softmax
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=ONE_HOT_CATEGORICAL,
    hard=False,
    family="gumbel_softmax",
    bias="unbiased for the relaxed objective; biased for the discrete one, less when colder",
    use_when="the model accepts relaxed samples in training",
    reference="Jang, Gu & Poole, ICLR 2017, eq. 2; Maddison, Mnih & Teh, ICLR 2017, eq. 10",
    temperature_gradient=True,
)
def gumbel_softmax(logits: Any, *, temperature: Any, seed: Any) -> tf.Tensor:
    """Draws relaxed one-hot samples, reparameterised: points inside the simplex.

    Forward: softmax((logits + G) / temperature), G independent standard Gumbels; the largest entry
    is at class j with probability softmax(logits)_j at every temperature. Gradient: the sample's
    own derivative, for logits and temperature.

    Args:
        logits: Unnormalised log probabilities, floating, shape (..., num_classes). -inf masks a
            class; a row with every class masked raises in eager mode and gives NaN in graph mode.
        temperature: Positive number, tensor or variable, a scalar or broadcasting with
            the axes before the classes. Colder samples are closer to
            one-hot and their gradients vary more; at most 1 / (num_classes - 1) keeps the density
            log-convex, without a mode inside the simplex.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draw.

    Returns:
        sample: Non-negative with sum 1, shape (..., num_classes), the dtype of `logits`.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if a shape or the temperature is wrong, or in eager mode a row has no finite
            largest logit.

    >>> import tfgumbel
    >>> sample = tfgumbel.gumbel_softmax([[0.0, 1.0, 2.0]], temperature=0.5, seed=0)
    >>> bool(abs(sum(sample[0]) - 1) < 1e-6)
    True
    """
    return _relaxed(*softmax.arguments(logits, temperature, seed))


@tf.custom_gradient
def _relaxed(logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor) -> Any:
    scores = softmax.perturb(softmax.center(logits), seed)
    relaxed = softmax.tempered_softmax(scores, temperature)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
        grad_logits, grad_temperature = softmax.tempered_softmax_vjp(
            scores, temperature, relaxed, upstream
        )
        return tf.cast(grad_logits, logits.dtype), grad_temperature, None

    return tf.cast(relaxed, logits.dtype), gradient
