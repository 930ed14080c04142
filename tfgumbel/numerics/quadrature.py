"""Exact Gumbel-Rao: the conditional expectation of the straight-through Gumbel-Softmax gradient.

With S = softmax((logits + Gumbel) / temperature) and D = onehot(i) its argmax, the limit of
Gumbel-Rao for infinitely many samples (Paulus, Maddison and Krause 2021, eq. 8) is the
vector-Jacobian product

    g = E[S * v - S (S . v) | D] / temperature,    v the upstream gradient.

By their eq. 9, S_j / S_i = W_j with independent exponentials E behind (see `quadrature_series`), so

    g_j = E[S_j Sum_l S_l (v_j - v_l)] / temperature,    S_j S_l = W_j W_l / (Sum W)^2.

1 / s^2 is the integral of t exp(-t s) over t; given that t and e = E_i, the classes are
independent. With phi = E[exp(-t W)], a = E[W exp(-t W)] / phi, a_i = 1 and v centred (v_i = 0),

    g_j = Int Int de exp(-e) dt t exp(-t) Prod_{m != i} phi_m  a_j (v_j Sum a - Sum a v) / tau.

log phi and a are linear in a basis of a dozen functions of p (`quadrature_series`), and everything
above but a_j v_j and a_j is a sum over classes. So the classes are summed over, and at the end
evaluated, on the basis alone: each (e, t) node costs a few products per variable, not per class.
Two classes need a single integral.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfgumbel.internal import validation
from tfgumbel.numerics import quadrature_series

Series = tuple[tf.Tensor, tf.Tensor, tf.Tensor]

# Numbers held at once for one chunk of variables.
_CHUNK_SIZE = 2**24


@tf.autograph.experimental.do_not_convert
def categorical_gumbel_rao_vjp(
    logits: tf.Tensor, sample: tf.Tensor, upstream: tf.Tensor, temperature: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Exact E[d softmax((logits + Gumbel) / temperature) | sample], transposed, times `upstream`.

    Relative error about 1e-4 at every temperature; at 0 the limit, the gradient of ReinMax.

    Args:
        logits: float32 or float64, shape (..., num_classes), num_classes static. -inf masks a
            class: its gradient is exactly 0.
        sample: One-hot sample, of the shape and dtype of `logits`.
        upstream: Gradient of the loss in the sample, likewise.
        temperature: Scalar tensor >= 0 of the dtype of `logits`; may change without retracing.

    Returns:
        grad_logits: The product with the derivative in the logits, shape (..., num_classes).
        grad_temperature: The product with the derivative in the temperature, summed to a scalar.

    >>> logits = tf.math.log([0.5, 0.25, 0.25])
    >>> sample, upstream = tf.constant([1.0, 0.0, 0.0]), tf.constant([4.0, 0.0, 0.0])
    >>> gradient, _ = categorical_gumbel_rao_vjp(logits, sample, upstream, tf.constant(0.0))
    >>> gradient.numpy().round(3).tolist()
    [1.0, -0.5, -0.5]
    """
    num_classes = logits.shape[-1]
    if num_classes is None:
        raise ValueError(
            validation.describe(
                "The number of classes is unknown when tracing.",
                expected="logits with a static last axis",
                received=logits.shape,
                fix="set it: logits = tf.ensure_shape(logits, [..., num_classes])",
            )
        )
    if num_classes == 2:
        log_odds = logits[..., 0] - logits[..., 1]
        slope = upstream[..., 0] - upstream[..., 1]
        grad, grad_temperature = bernoulli_gumbel_rao_vjp(
            log_odds, sample[..., 0], slope, temperature
        )
        return tf.stack([grad, -grad], axis=-1), grad_temperature
    rows = [tf.reshape(x, [-1, num_classes]) for x in (tf.nn.log_softmax(logits), sample, upstream)]
    series = quadrature_series.categorical_series(temperature, num_classes)
    shared = {"temperature": temperature, "series": series}
    grad = _map_chunks(functools.partial(_logits_product, **shared), rows)
    by_row = _map_chunks(functools.partial(_temperature_product, **shared), rows)
    return tf.reshape(grad, tf.shape(logits)), tf.reduce_sum(by_row)


@tf.autograph.experimental.do_not_convert
def bernoulli_gumbel_rao_vjp(
    logits: tf.Tensor, sample: tf.Tensor, upstream: tf.Tensor, temperature: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Exact E[d sigmoid((logits + Logistic) / temperature) | sample], times `upstream`.

    Args:
        logits: Log odds of 1, float32 or float64, any shape.
        sample: Sample of zeros and ones, of the shape and dtype of `logits`.
        upstream: Gradient of the loss in the sample, likewise.
        temperature: Scalar tensor >= 0 of the dtype of `logits`.

    Returns:
        grad_logits: The product with the derivative in the logits, in their shape.
        grad_temperature: The product with the derivative in the temperature, summed to a scalar.

    >>> one = tf.constant(1.0)
    >>> gradient, _ = bernoulli_gumbel_rao_vjp(tf.constant(0.0), one, one, tf.constant(0.0))
    >>> round(float(gradient), 3)
    0.25
    """
    sign = 2.0 * sample - 1.0
    log_other = -tf.nn.softplus(logits * sign)  # log probability of the value not drawn
    scale = upstream * tf.exp(quadrature_series.power(temperature) * log_other)
    coarse, fine = quadrature_series.basis_factors(log_other)

    def evaluate(coefficients: tf.Tensor) -> tf.Tensor:
        terms = iter(tf.unstack(coefficients))
        return sum(c * sum(f * next(terms) for f in fine) for c in coarse)

    weight, log_weight = quadrature_series.binary_series(temperature)
    return scale * evaluate(weight), -tf.reduce_sum(scale * sign * evaluate(log_weight))


class _Losers(NamedTuple):
    """What the losing classes of a chunk of variables contribute."""

    centred: tf.Tensor  # v_j - v_i, [rows, num_classes]
    scale: tf.Tensor  # p_j^k, and 0 for the winner, [rows, num_classes]
    coarse: tf.Tensor  # [rows, COARSE, num_classes]
    fine: tf.Tensor  # [rows, FINE, num_classes]
    moment: tf.Tensor  # Sum over the losers of the basis, [rows, SIZE]
    moment_v: tf.Tensor  # Sum over the losers of the basis times centred v, [rows, SIZE]


def _losers(
    log_probs: tf.Tensor, sample: tf.Tensor, upstream: tf.Tensor, temperature: tf.Tensor
) -> _Losers:
    centred = upstream - tf.reduce_sum(upstream * sample, axis=-1, keepdims=True)
    scale = tf.exp(quadrature_series.power(temperature) * log_probs) * (1.0 - sample)
    coarse, fine = (tf.stack(x, axis=1) for x in quadrature_series.basis_factors(log_probs))
    weights = coarse * scale[:, tf.newaxis]
    weights = tf.concat([weights, weights * centred[:, tf.newaxis]], axis=1)
    moments = tf.reshape(
        tf.matmul(weights, fine, transpose_b=True), [-1, 2, quadrature_series.SIZE]
    )
    return _Losers(centred, scale, coarse, fine, moments[:, 0], moments[:, 1])


def _outer_weights(num_classes: int, dtype: tf.DType) -> tf.Tensor:
    """Weights of the nodes (e, t), flattened."""
    e_weights = quadrature_series.winner_nodes()[1]
    t_weights = quadrature_series.inverse_square_nodes(num_classes)[1]
    return tf.constant(np.outer(e_weights, t_weights).reshape(-1), dtype)


def _logits_product(
    log_probs: tf.Tensor,
    sample: tf.Tensor,
    upstream: tf.Tensor,
    temperature: tf.Tensor,
    series: Series,
) -> tf.Tensor:
    """The gradient in the logits, [rows, num_classes]."""
    losers = _losers(log_probs, sample, upstream, temperature)
    weight, _, log_phi = series
    joint = tf.exp(losers.moment @ log_phi)  # Prod phi at every node
    sum_a = 1.0 + losers.moment @ (temperature * weight)
    sum_av = losers.moment_v @ (temperature * weight)
    back = weight * _outer_weights(log_probs.shape[1], log_probs.dtype)
    pulled = [tf.matmul(joint * x, back, transpose_b=True) for x in (sum_a, sum_av)]
    pulled = tf.reshape(
        tf.stack(pulled, axis=1), [-1, 2 * quadrature_series.COARSE, quadrature_series.FINE]
    )
    by_coarse = tf.reshape(
        pulled @ losers.fine, [-1, 2, quadrature_series.COARSE, log_probs.shape[1]]
    )
    factors = tf.reduce_sum(by_coarse * losers.coarse[:, tf.newaxis], axis=2)
    grad = losers.scale * (losers.centred * factors[:, 0] - factors[:, 1])
    return grad - sample * tf.reduce_sum(grad, axis=-1, keepdims=True)


def _temperature_product(
    log_probs: tf.Tensor,
    sample: tf.Tensor,
    upstream: tf.Tensor,
    temperature: tf.Tensor,
    series: Series,
) -> tf.Tensor:
    """E[Sum_j v_j S_j (l_j - Sum_l S_l l_l) | D] / temperature, l = -log W, for every row."""
    losers = _losers(log_probs, sample, upstream, temperature)
    weight, log_weight, log_phi = series
    sum_a = 1.0 + losers.moment @ (temperature * weight)
    sum_av = losers.moment_v @ (temperature * weight)
    integrand = (losers.moment_v @ log_weight) * sum_a - sum_av * (losers.moment @ log_weight)
    joint = tf.exp(losers.moment @ log_phi)
    return tf.linalg.matvec(joint * integrand, _outer_weights(log_probs.shape[1], log_probs.dtype))


def _map_chunks(function: Callable[..., tf.Tensor], rows: list[tf.Tensor]) -> tf.Tensor:
    """Applies `function` to [rows, num_classes] tensors, in equal chunks if there are many."""
    num_classes = rows[0].shape[1]
    num_nodes = _outer_weights(num_classes, tf.float32).shape[0]
    limit = max(1, _CHUNK_SIZE // (4 * quadrature_series.FINE * num_classes + 4 * num_nodes))
    if rows[0].shape[0] is not None and rows[0].shape[0] <= limit:
        return function(*rows)
    num_rows = tf.shape(rows[0])[0]
    num_chunks = tf.maximum(1, -(-num_rows // limit))
    chunk = -(-num_rows // num_chunks)
    padding = [[0, num_chunks * chunk - num_rows], [0, 0]]
    chunks = [tf.reshape(tf.pad(x, padding), [num_chunks, chunk, num_classes]) for x in rows]
    mapped = tf.map_fn(lambda chunk: function(*chunk), chunks, fn_output_signature=rows[0].dtype)
    trailing = [] if mapped.shape.rank == 2 else [num_classes]
    return tf.reshape(mapped, [-1, *trailing])[:num_rows]
