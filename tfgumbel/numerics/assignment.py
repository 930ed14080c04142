"""Linear assignment: the permutation matrix of the largest sum, by SciPy, in Python."""

import numpy as np
import tensorflow as tf

# It stands in the error that XLA raises, which names the operation that it cannot compile.
_NAME = "linear_sum_assignment_of_SciPy_runs_in_Python_and_not_under_XLA"


def permutation_matrix(scores: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """argmax over permutation matrices P of sum(P * scores); NaN where there is none.

    Args:
        scores: Shape (..., n, n), floating; -inf forbids a pair.
        dtype: Of the result.

    Returns:
        matrix: Zeros and ones, shape (..., n, n); no gradient.
    """
    columns = tf.numpy_function(
        _solve, [tf.cast(tf.stop_gradient(scores), tf.float64)], tf.int32, name=_NAME
    )
    columns = tf.ensure_shape(columns, scores.shape[:-1])
    matrix = tf.one_hot(columns, scores.shape[-1], dtype=dtype)
    return tf.where(columns[..., tf.newaxis] < 0, tf.constant(float("nan"), dtype), matrix)


def _solve(scores: np.ndarray) -> np.ndarray:
    """The column of each row; -1 for all rows of a matrix without a solution."""
    from scipy.optimize import linear_sum_assignment

    columns = np.full(scores.shape[:-1], -1, np.int32)
    for index in np.ndindex(scores.shape[:-2]):
        try:
            columns[index] = linear_sum_assignment(scores[index], maximize=True)[1]
        except ValueError:  # NaN or +inf, or no permutation that is not forbidden
            continue
    return columns
