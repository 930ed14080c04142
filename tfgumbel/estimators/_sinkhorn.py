"""The Sinkhorn operator: matrices made doubly stochastic, differentiably."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.permutations import square_matrices
from tfgumbel.internal import validation
from tfgumbel.numerics import sinkhorn as numerics


def sinkhorn(log_alpha: Any, *, num_iterations: int = 100, tolerance: float = 1e-4) -> tf.Tensor:
    """Normalises rows and columns of exp(log_alpha) in turn until all sum to 1, in log space.

    Forward: the doubly stochastic P = exp(log_alpha + u_i + v_j), the one that maximises
    sum(P * log_alpha) + entropy of P. Gradient: that of the limit, by implicit differentiation: one
    linear system of size n is solved by conjugate gradients, so the memory does not depend on the
    number of iterations. Where the iterations end before they have converged, it is that of the
    limit at the matrix that was reached, not of the truncated iteration.

    Args:
        log_alpha: Scores, floating, shape (..., n, n). -inf forbids a pair; some permutation must
            be left.
        num_iterations: The most passes over rows and columns, an int >= 1. Colder matrices need
            more of them.
        tolerance: Passes end once every row of the batch sums to 1 within this, a number >= 0.

    Returns:
        matrix: Non-negative, shape (..., n, n), the dtype of `log_alpha`; columns sum to 1 but for
        rounding, rows as near as the passes brought them.

    Raises:
        TypeError: if `log_alpha` is not floating point.
        ValueError: if it is not square, or in eager mode holds NaN or +inf; if an option is wrong.

    >>> import tfgumbel
    >>> matrix = tfgumbel.sinkhorn([[2.0, 0.0], [0.0, 0.0]])
    >>> matrix.numpy().round(3).tolist()  # e / (1 + e) on the diagonal
    [[0.7310000061988831, 0.26899999380111694], [0.26899999380111694, 0.7310000061988831]]

    References:
        Sinkhorn 1964; Mena, Belanger, Linderman & Snoek, ICLR 2018, eq. 3 and theorem 1.
        Luise et al., NeurIPS 2018, and Eisenberger et al., CVPR 2022 (implicit differentiation).
    """
    log_alpha = square_matrices("log_alpha", log_alpha)
    validation.positive_integer("num_iterations", num_iterations)
    validation.finite_number("tolerance", tolerance)
    wide = tf.cast(log_alpha, validation.compute_dtype(log_alpha.dtype))
    return tf.cast(tf.exp(numerics.normalize(wide, num_iterations, tolerance)), log_alpha.dtype)
