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

Sums over few classes are sums of contiguous rows, of an array with classes first; those over many
are products of small matrices, one a variable. Variables go by in chunks, so that what is formed of
them stays in a core's cache.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfgumbel.numerics import quadrature_series

# Logits in one chunk of variables.
_CHUNK_SIZE = 2**14
# From here on a product of matrices for each variable is faster than sums of rows.
_MANY_CLASSES = 16


@tf.autograph.experimental.do_not_convert
def categorical_gumbel_rao_vjp(
    logits: tf.Tensor, sample: tf.Tensor, upstream: tf.Tensor, temperature: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Exact E[d softmax((logits + Gumbel) / temperature) | sample], transposed, times `upstream`.

    Relative error about 1e-4 at every temperature; at 0 the limit, the gradient of ReinMax.

    Args:
        logits: float32 or float64, shape (..., num_classes). -inf masks a class: its gradient is
            exactly 0. A static number of classes up to 64 needs the fewest nodes.
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
        num_classes = tf.shape(logits)[-1]
    if logits.shape[-1] == 2:
        log_odds = logits[..., 0] - logits[..., 1]
        slope = upstream[..., 0] - upstream[..., 1]
        grad, grad_temperature = bernoulli_gumbel_rao_vjp(
            log_odds, sample[..., 0], slope, temperature
        )
        return tf.stack([grad, -grad], axis=-1), grad_temperature
    rows = [tf.reshape(x, tf.stack([-1, num_classes])) for x in (logits, sample, upstream)]
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
    basis = quadrature_series.basis(log_other)
    weight, log_weight = quadrature_series.binary_series(temperature)
    grad_temperature = -tf.reduce_sum(scale * sign * _evaluate(basis, tf.unstack(log_weight)))
    return scale * _evaluate(basis, tf.unstack(weight)), grad_temperature


class _ClassesFirst:
    """The basis of few classes, values in [num_classes, rows]: sums are sums of contiguous rows."""

    axis = 0

    def __init__(self, log_probs: tf.Tensor):
        self._basis = quadrature_series.basis(log_probs)

    def sums(self, values: list[tf.Tensor]) -> list[tf.Tensor]:
        """Sums over the classes of the basis times each of the values, [SIZE, rows]."""
        return [tf.stack([tf.reduce_sum(f * x, axis=0) for f in self._basis]) for x in values]

    def evaluate(self, coefficients: list[tf.Tensor]) -> list[tf.Tensor]:
        """The functions of the coefficients, each [SIZE, rows], for every class."""
        return [_evaluate(self._basis, tf.unstack(one)) for one in coefficients]


class _ClassesLast:
    """The basis of many classes, values in [rows, num_classes]: a row's sums are matrix products.

    The basis is a product of two short ones, so that the products are [2 COARSE, num_classes] by
    [num_classes, FINE] for two kinds of values, and neither the SIZE functions nor their products
    with the values are ever formed.
    """

    axis = 1

    def __init__(self, log_probs: tf.Tensor):
        self._coarse, fine = quadrature_series.factors(log_probs)
        self._fine = tf.stack(fine, axis=1)

    def sums(self, values: list[tf.Tensor]) -> list[tf.Tensor]:
        """As of `_ClassesFirst`."""
        weighted = tf.stack([c * x for x in values for c in self._coarse], axis=1)
        products = tf.matmul(weighted, self._fine, transpose_b=True)
        shape = [-1, len(values), quadrature_series.SIZE]
        return tf.unstack(tf.transpose(tf.reshape(products, shape), [1, 2, 0]))

    def evaluate(self, coefficients: list[tf.Tensor]) -> list[tf.Tensor]:
        """As of `_ClassesFirst`."""
        coarse, fine = quadrature_series.COARSE, quadrature_series.FINE
        by_row = tf.transpose(tf.stack(coefficients), [2, 0, 1])
        parts = tf.reshape(by_row, [-1, len(coefficients) * coarse, fine]) @ self._fine
        parts = tf.unstack(parts, axis=1)
        groups = [parts[first : first + coarse] for first in range(0, len(parts), coarse)]
        return [_evaluate(self._coarse, group) for group in groups]


class _Losers(NamedTuple):
    """What the losing classes of a chunk of variables contribute; classes on `basis.axis`."""

    basis: _ClassesFirst | _ClassesLast
    sample: tf.Tensor
    centred: tf.Tensor  # v_j - v_i
    scale: tf.Tensor  # p_j^k, and 0 for the winner
    moment: tf.Tensor  # Sum over the losers of the basis, [SIZE, rows]
    moment_v: tf.Tensor  # Sum over the losers of the basis times centred v, [SIZE, rows]


def _losers(
    logits: tf.Tensor, sample: tf.Tensor, upstream: tf.Tensor, temperature: tf.Tensor
) -> _Losers:
    num_classes = logits.shape[-1]
    few = num_classes is not None and num_classes < _MANY_CLASSES
    layout = _ClassesFirst if few else _ClassesLast
    axis = layout.axis
    if few:
        logits, sample, upstream = (tf.transpose(x) for x in (logits, sample, upstream))
    logits -= tf.reduce_max(logits, axis, keepdims=True)
    log_probs = logits - tf.math.log(tf.reduce_sum(tf.exp(logits), axis, keepdims=True))
    centred = upstream - tf.reduce_sum(upstream * sample, axis, keepdims=True)
    scale = tf.exp(quadrature_series.power(temperature) * log_probs) * (1.0 - sample)
    basis = layout(log_probs)
    moment, moment_v = basis.sums([scale, scale * centred])
    return _Losers(basis, sample, centred, scale, moment, moment_v)


def _evaluate(basis: list[tf.Tensor], coefficients: list[tf.Tensor]) -> tf.Tensor:
    return tf.add_n([f * c for f, c in zip(basis, coefficients, strict=True)])


def _logits_product(
    logits: tf.Tensor,
    sample: tf.Tensor,
    upstream: tf.Tensor,
    temperature: tf.Tensor,
    series: quadrature_series.CategoricalSeries,
) -> tf.Tensor:
    """The gradient in the logits, [rows, num_classes]."""
    losers = _losers(logits, sample, upstream, temperature)
    weight = temperature * series.weight
    joint = tf.exp(tf.matmul(series.log_phi, losers.moment, transpose_a=True))  # Prod phi
    sum_a = 1.0 + tf.matmul(weight, losers.moment, transpose_a=True)
    sum_av = tf.matmul(weight, losers.moment_v, transpose_a=True)
    back = series.weight * series.nodes
    total, total_v = losers.basis.evaluate([back @ (joint * x) for x in (sum_a, sum_av)])
    grad = losers.scale * (losers.centred * total - total_v)
    grad -= losers.sample * tf.reduce_sum(grad, losers.basis.axis, keepdims=True)
    return tf.transpose(grad) if losers.basis.axis == 0 else grad


def _temperature_product(
    logits: tf.Tensor,
    sample: tf.Tensor,
    upstream: tf.Tensor,
    temperature: tf.Tensor,
    series: quadrature_series.CategoricalSeries,
) -> tf.Tensor:
    """E[Sum_j v_j S_j (l_j - Sum_l S_l l_l) | D] / temperature, l = -log W, for every row."""
    losers = _losers(logits, sample, upstream, temperature)

    def sums(coefficients: tf.Tensor, moment: tf.Tensor) -> tf.Tensor:
        return tf.matmul(coefficients, moment, transpose_a=True)

    sum_a = 1.0 + temperature * sums(series.weight, losers.moment)
    sum_av = temperature * sums(series.weight, losers.moment_v)
    sum_b, sum_bv = (sums(series.log_weight, m) for m in (losers.moment, losers.moment_v))
    joint = tf.exp(sums(series.log_phi, losers.moment))
    return tf.linalg.matvec(
        joint * (sum_bv * sum_a - sum_av * sum_b), series.nodes, transpose_a=True
    )


def _map_chunks(function: Callable[..., tf.Tensor], rows: list[tf.Tensor]) -> tf.Tensor:
    """Applies `function` to [rows, num_classes] tensors, in equal chunks if there are many."""
    num_rows, num_classes = rows[0].shape
    if num_rows is not None and num_classes is not None:
        limit = max(1, _CHUNK_SIZE // num_classes)
        if num_rows <= limit:
            return function(*rows)
    else:
        num_rows, num_classes = tf.unstack(tf.shape(rows[0]))
        limit = tf.maximum(1, _CHUNK_SIZE // num_classes)
    num_chunks = -(-num_rows // limit)
    if isinstance(num_chunks, tf.Tensor):
        num_chunks = tf.maximum(1, num_chunks)
    chunk = -(-num_rows // num_chunks)
    # Rows of the length of a power of two all compete for the same lines of a core's cache.
    chunk += chunk // 256
    padding = [[0, num_chunks * chunk - num_rows], [0, 0]]
    split = tf.stack([num_chunks, chunk, num_classes])
    chunks = [tf.reshape(tf.pad(x, padding), split) for x in rows]
    mapped = tf.map_fn(lambda chunk: function(*chunk), chunks, fn_output_signature=rows[0].dtype)
    return tf.reshape(mapped, tf.concat([[-1], tf.shape(mapped)[2:]], axis=0))[:num_rows]
