"""The binary Concrete relaxation of Bernoulli variables."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.abilities import BERNOULLI
from tfgumbel.numerics import sigmoid
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=BERNOULLI,
    hard=False,
    family="gumbel_softmax",
    bias="unbiased for the relaxed objective; biased for the discrete one, less when colder",
    use_when="the model accepts relaxed gates in training",
    reference="Maddison, Mnih & Teh, ICLR 2017, appendix B, eq. 16",
    temperature_gradient=True,
)
def binary_concrete(logits: Any, *, temperature: Any, seed: Any) -> tf.Tensor:
    """Draws relaxed binary samples, reparameterised: points of the interval [0, 1].

    Forward: sigmoid((logits + L) / temperature), L independent standard logistics; above 1/2 with
    probability sigmoid(logits). Gradient: the sample's own derivative, for logits and temperature.
    It is the two-class `gumbel_softmax`.

    Args:
        logits: Log odds of 1, floating, any shape; -inf and +inf are certain outcomes.
        temperature: Positive number, tensor or variable, a scalar or broadcasting with
            the logits. At most 1 keeps the density
            log-convex in log odds, without a mode inside.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draw.

    Returns:
        sample: In [0, 1], the shape and dtype of `logits`.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if the temperature is wrong, or in eager mode `logits` holds NaN.

    >>> import tfgumbel
    >>> sample = tfgumbel.binary_concrete([0.0, 100.0], temperature=0.5, seed=0)
    >>> sample[1].numpy().item()
    1.0
    """
    return _relaxed(*sigmoid.arguments(logits, temperature, seed))


@tf.custom_gradient
def _relaxed(logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor) -> Any:
    scores = sigmoid.perturb(logits, seed)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
        grad_logits, grad_temperature = sigmoid.tempered_sigmoid_vjp(scores, temperature, upstream)
        return tf.cast(grad_logits, logits.dtype), grad_temperature, None

    return tf.cast(tf.sigmoid(sigmoid.temper(scores, temperature)), logits.dtype), gradient
