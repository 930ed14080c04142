"""Straight-through permutations: the best assignment forward, the relaxation's derivative back."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.permutations import GUMBEL_MATCHING
from tfgumbel.estimators._gumbel_sinkhorn import relaxed
from tfgumbel.numerics import assignment
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=GUMBEL_MATCHING,
    hard=True,
    family="straight_through_gumbel_softmax",
    bias="biased, less when colder",
    use_when="the model needs exact permutations",
    reference="Mena, Belanger, Linderman & Snoek, ICLR 2018, with Jang, Gu & Poole, ICLR 2017",
    temperature_gradient=True,
)
def straight_through_gumbel_sinkhorn(
    logits: Any,
    *,
    temperature: Any,
    seed: Any,
    num_iterations: int = 100,
    tolerance: float = 1e-4,
    noise_scale: float = 1.0,
) -> tf.Tensor:
    """Draws permutation matrices, differentiated as the relaxed sample of the same noise.

    Forward: matching(logits + noise_scale G), G independent standard Gumbels. Gradient: that of
    `gumbel_sinkhorn` with the same noise. Biased, less when colder. The assignment is SciPy's, in
    Python: this runs in eager mode and in graphs, but XLA cannot compile it (see `matching`).

    Args:
        logits: Scores of each thing (row) in each place (column), floating, shape (..., n, n).
            -inf forbids a pair; some permutation must be left.
        temperature: Positive number, tensor or variable, a scalar or broadcasting with the axes
            before the matrices; of the backward pass alone.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draw.
        num_iterations: The most passes over rows and columns, as in `sinkhorn`.
        tolerance: Of the rows' sums, as in `sinkhorn`.
        noise_scale: Factor of the noise, a number >= 0; 0 for none.

    Returns:
        sample: Zeros and ones, one in each row and column, shape (..., n, n), the dtype of
        `logits`.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if a shape, the temperature or an option is wrong, or in eager mode the scores
            hold NaN or +inf.
        tf.errors.InvalidArgumentError: under XLA, naming the operation.

    >>> import tensorflow as tf
    >>> import tfgumbel
    >>> sample = tfgumbel.straight_through_gumbel_sinkhorn(
    ...     tf.zeros([3, 3]), temperature=0.5, seed=0
    ... )
    >>> tf.reduce_sum(sample, axis=0).numpy().tolist()
    [1.0, 1.0, 1.0]
    """
    dtype = tf.convert_to_tensor(logits).dtype
    scores, soft = relaxed(logits, temperature, seed, num_iterations, tolerance, noise_scale)
    hard = assignment.permutation_matrix(scores, soft.dtype)

    @tf.custom_gradient
    def replaced(soft: tf.Tensor) -> Any:
        return tf.identity(hard), lambda upstream: upstream

    return tf.cast(replaced(soft), dtype)
