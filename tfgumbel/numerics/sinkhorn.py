"""Sinkhorn normalisation in log space, and its derivative at the fixed point.

Rows and columns of exp(log_alpha) are divided by their sums in turn until all are 1. The limit is
P = exp(log_alpha + u_i + v_j); its derivative follows from the constraints alone, whatever led to
it, so nothing of the iterations is kept.
"""

from typing import Any

import tensorflow as tf


def normalize(log_alpha: tf.Tensor, num_iterations: int, tolerance: float) -> tf.Tensor:
    """The logarithm of the doubly stochastic matrix, with its implicit gradient.

    Args:
        log_alpha: Shape (..., n, n), float32 or float64.
        num_iterations: The most pairs of a row's and a column's normalisation.
        tolerance: They end once every row sums to 1 within this.

    Returns:
        log_matrix: Shape (..., n, n); its columns sum to 1, and its rows within `tolerance`, or as
        `num_iterations` leaves them.
    """

    @tf.custom_gradient
    def differentiable(log_alpha: tf.Tensor) -> Any:
        log_matrix = _iterate(log_alpha, num_iterations, tolerance)

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return _implicit_gradient(tf.exp(log_matrix), upstream)

        return log_matrix, gradient

    return differentiable(log_alpha)


def _iterate(log_alpha: tf.Tensor, num_iterations: int, tolerance: float) -> tf.Tensor:
    def unfinished(step: tf.Tensor, error: tf.Tensor, log_matrix: tf.Tensor) -> tf.Tensor:
        return (step < num_iterations) & (error > tolerance)

    def once(step: tf.Tensor, error: tf.Tensor, log_matrix: tf.Tensor) -> tuple[Any, ...]:
        rows = tf.reduce_logsumexp(log_matrix, axis=-1, keepdims=True)
        log_matrix -= rows
        log_matrix -= tf.reduce_logsumexp(log_matrix, axis=-2, keepdims=True)
        # What rows sum to after the columns: known by the next pass alone, and so one pass late.
        error = tf.reduce_max(tf.abs(tf.math.expm1(tf.minimum(rows, 1.0))))
        return step + 1, tf.where(step > 0, error, float("inf")), log_matrix

    start = (tf.constant(0), tf.constant(float("inf"), log_alpha.dtype), log_alpha)
    return tf.while_loop(unfinished, once, start)[2]


def _implicit_gradient(matrix: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """The gradient for log_alpha of a loss whose gradient for log P is `upstream`.

    With M the upstream gradient, and a and b the multipliers of rows and columns,

        grad = M - P (a_i + b_j),
        a_i + sum_j P_ij b_j = sum_j M_ij,  sum_i P_ij a_i + b_j = sum_i M_ij

    Eliminating b leaves (I - P P^T) a = M 1 - P M^T 1, the Laplacian of a graph with weights P P^T:
    written as sums of differences, since 1 - 1 is what the diagonal is near a permutation.
    """
    columns = tf.reduce_sum(upstream, axis=-2)
    right = tf.reduce_sum(upstream, axis=-1) - tf.linalg.matvec(matrix, columns)
    right -= tf.reduce_mean(right, axis=-1, keepdims=True)  # solvable: but for rounding it is 0
    weights = tf.linalg.matmul(matrix, matrix, transpose_b=True)
    weights = tf.linalg.set_diag(weights, tf.zeros_like(right))
    rows = _solve_laplacian(weights, right)
    columns -= tf.linalg.matvec(matrix, rows, transpose_a=True)
    return upstream - matrix * (rows[..., tf.newaxis] + columns[..., tf.newaxis, :])


def _solve_laplacian(weights: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """The shortest solution of (diag(W 1) - W) x = right by conjugate gradients.

    At most 2 n steps, which also bounds what rounding can make of a system that is nearly singular.
    """
    degree = tf.reduce_sum(weights, axis=-1)
    size = weights.shape[-1]
    precision = 1e-28 if right.dtype == tf.float64 else 1e-12
    target = precision * tf.reduce_sum(right * right, axis=-1, keepdims=True)

    def unfinished(step: Any, x: Any, residual: Any, direction: Any, square: Any) -> tf.Tensor:
        return (step < 2 * size) & tf.reduce_any(square > target)

    def once(step: Any, x: Any, residual: Any, direction: Any, square: Any) -> tuple[Any, ...]:
        product = degree * direction - tf.linalg.matvec(weights, direction)
        curvature = tf.reduce_sum(direction * product, axis=-1, keepdims=True)
        active = (square > target) & (curvature > 0.0)
        length = tf.where(active, square / tf.where(active, curvature, 1.0), 0.0)
        x += length * direction
        residual = tf.where(active, residual - length * product, 0.0)
        after = tf.reduce_sum(residual * residual, axis=-1, keepdims=True)
        direction = residual + tf.where(active, after / tf.where(active, square, 1.0), 0.0) * (
            direction
        )
        return step + 1, x, residual, direction, after

    square = tf.reduce_sum(right * right, axis=-1, keepdims=True)
    start = (tf.constant(0), tf.zeros_like(right), right, right, square)
    return tf.while_loop(unfinished, once, start)[1]
