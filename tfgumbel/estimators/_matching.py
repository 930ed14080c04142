"""The matching operator: the permutation matrix of the largest sum of scores."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.permutations import square_matrices
from tfgumbel.numerics import assignment


def matching(log_alpha: Any) -> tf.Tensor:
    """Finds the permutation matrix P of the largest sum(P * log_alpha), without a gradient.

    It is the limit of `sinkhorn(log_alpha / temperature)` as the temperature goes to 0. By
    `scipy.optimize.linear_sum_assignment`, in Python and on the CPU: it runs in eager mode and in
    graphs, one matrix after the other, but XLA cannot compile it, and a SavedModel that holds it
    runs in the process that made it alone.

    Args:
        log_alpha: Scores, floating, shape (..., n, n). -inf forbids a pair.

    Returns:
        matrix: Zeros and ones, shape (..., n, n), the dtype of `log_alpha`; NaN where every
        permutation is forbidden.

    Raises:
        TypeError: if `log_alpha` is not floating point.
        ValueError: if it is not square, or in eager mode holds NaN or +inf.
        tf.errors.InvalidArgumentError: under XLA, naming the operation.

    >>> import tfgumbel
    >>> tfgumbel.matching([[1.0, 3.0], [0.0, 1.0]]).numpy().tolist()
    [[0.0, 1.0], [1.0, 0.0]]

    References:
        Kuhn 1955; Mena, Belanger, Linderman & Snoek, ICLR 2018, eq. 2.
    """
    log_alpha = square_matrices("log_alpha", log_alpha)
    return assignment.permutation_matrix(log_alpha, log_alpha.dtype)
