"""Relaxed permutations: the Sinkhorn operator of scores with Gumbel noise."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.permutations import GUMBEL_MATCHING, square_matrices
from tfgumbel.internal import random, validation
from tfgumbel.numerics import sinkhorn as numerics
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=GUMBEL_MATCHING,
    hard=False,
    family="gumbel_softmax",
    bias="unbiased for the relaxed objective; biased for the discrete one, less when colder",
    use_when="the model accepts doubly stochastic matrices in training",
    reference="Mena, Belanger, Linderman & Snoek, ICLR 2018, section 3.2",
    temperature_gradient=True,
    exact_sampling=False,
)
def gumbel_sinkhorn(
    logits: Any,
    *,
    temperature: Any,
    seed: Any,
    num_iterations: int = 100,
    tolerance: float = 1e-4,
    noise_scale: float = 1.0,
) -> tf.Tensor:
    """Draws relaxed permutation matrices, reparameterised: doubly stochastic ones.

    Forward: sinkhorn((logits + noise_scale G) / temperature), G independent standard Gumbels, one
    for each entry. Gradient: the sample's own derivative, for logits and temperature, implicit as
    that of `sinkhorn`. The colder, the closer to `matching(logits + noise_scale G)`, and the more
    passes are needed.

    Args:
        logits: Scores of each thing (row) in each place (column), floating, shape (..., n, n).
            -inf forbids a pair; some permutation must be left.
        temperature: Positive number, tensor or variable, a scalar or broadcasting with the axes
            before the matrices.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draw.
        num_iterations: The most passes over rows and columns, as in `sinkhorn`.
        tolerance: Of the rows' sums, as in `sinkhorn`.
        noise_scale: Factor of the noise, a number >= 0; 0 for none.

    Returns:
        sample: Non-negative, rows and columns summing to 1, shape (..., n, n), the dtype of
        `logits`.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if a shape, the temperature or an option is wrong, or in eager mode the scores
            hold NaN or +inf.

    >>> import tensorflow as tf
    >>> import tfgumbel
    >>> sample = tfgumbel.gumbel_sinkhorn(tf.zeros([3, 3]), temperature=0.5, seed=0)
    >>> bool(tf.reduce_all(tf.abs(tf.reduce_sum(sample, axis=1) - 1.0) < 1e-3))
    True
    """
    return tf.cast(
        relaxed(logits, temperature, seed, num_iterations, tolerance, noise_scale)[1],
        tf.convert_to_tensor(logits).dtype,
    )


def relaxed(
    logits: Any,
    temperature: Any,
    seed: Any,
    num_iterations: int,
    tolerance: float,
    noise_scale: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Scores with noise, and their relaxed permutation matrix, in the compute dtype."""
    logits = square_matrices("logits", logits)
    validation.positive_integer("num_iterations", num_iterations)
    validation.finite_number("tolerance", tolerance)
    scale = validation.finite_number("noise_scale", noise_scale)
    dtype = validation.compute_dtype(logits.dtype)
    heat = validation.temperature_tensor(temperature, dtype, shape=logits.shape[:-2])
    heat = heat if heat.shape.rank == 0 else heat[..., tf.newaxis, tf.newaxis]
    seed = random.normalize_seed(seed)
    scores = tf.cast(logits, dtype)
    # A row's constant changes nothing; without it the noise keeps its digits.
    scores -= tf.stop_gradient(tf.reduce_max(scores, axis=-1, keepdims=True))
    scores += scale * random.gumbel(tf.shape(scores), seed, dtype)
    allowed = scores > float("-inf")
    tempered = tf.where(allowed, tf.where(allowed, scores, 0.0) / heat, float("-inf"))
    return scores, tf.exp(numerics.normalize(tempered, num_iterations, tolerance))
