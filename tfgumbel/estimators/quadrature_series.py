"""The one-dimensional functions behind exact Gumbel-Rao, as Chebyshev series in a log probability.

Given the winner's exponential e = E_i, the weight of another class relative to the winner,

    W = (1 + y)^(-1 / temperature),    y = E_j / (e p_j) ~ Exp(rate e p_j),

is independent of all the others and depends on its class through p_j alone. Whatever the exact
gradient needs of W is therefore, at a given temperature, a function of the single number log p_j.
Such a function is smooth: `DEGREE` coefficients hold it to 1e-4. They are computed in the graph
from the temperature, so that it may be a tensor, change at every step, and be 0:

    y = temperature / (1 + temperature) exp(u),    -log W = log1p(y) / temperature -> exp(u)

puts W's whole range on one fixed, even grid in u, where the trapezoidal rule converges at
double-exponential speed. Divided by the temperature the integrals stay finite as it vanishes.
"""

import numpy as np
import tensorflow as tf

DEGREE = 16
# Below exp(_LOG_FLOOR) a probability's functions follow their asymptotic power law; see `power`.
_LOG_FLOOR = -24.0
_GRID = np.linspace(-11.0, 33.0, 64)
# Series points (zeros of T_16), and the matrix from values there to coefficients.
_ANGLES = (np.arange(DEGREE) + 0.5) * np.pi / DEGREE
_POINTS = (np.cos(_ANGLES) - 1.0) * (-_LOG_FLOOR / 2.0)
_FIT = np.cos(np.outer(np.arange(DEGREE), _ANGLES)) * 2.0 / DEGREE
_FIT[0] /= 2.0


def power(temperature: tf.Tensor) -> tf.Tensor:
    """The exponent k for which E[W | p] / p^k tends to a constant as p vanishes."""
    return 1.0 / tf.maximum(temperature, 1.0)


def basis(log_probs: tf.Tensor) -> tf.Tensor:
    """Chebyshev polynomials T_0 ... T_15 of log probabilities, shape (..., DEGREE)."""
    scaled = tf.maximum(log_probs, _LOG_FLOOR) * (-2.0 / _LOG_FLOOR) + 1.0
    angles = tf.acos(tf.clip_by_value(scaled, -1.0, 1.0))
    return tf.cos(angles[..., tf.newaxis] * tf.range(DEGREE, dtype=log_probs.dtype))


def winner_nodes() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for the integral of exp(-e) f(e) over the winner's exponential e.

    Trapezoidal in u with e = exp(u - exp(-u)); scaled to be exact for f(e) = e, all that is left
    of the integrand at low temperature.
    """
    u = np.linspace(-1.9, 2.2, 8)
    nodes = np.exp(u - np.exp(-u))
    weights = nodes * (1.0 + np.exp(-u)) * np.exp(-nodes)
    return nodes, weights / (weights @ nodes)


def inverse_square_nodes(num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of 1 / s^2 = integral of t exp(-t s) dt, for 1 <= s <= num_classes.

    Trapezoidal in log t; scaled to be exact for its mean over 1 <= s <= 2, the low-temperature
    limit.
    """
    low, high = -3.0 - np.log(num_classes), 2.4
    t = np.exp(np.linspace(low, high, 1 + int(np.ceil((high - low) / 0.58))))
    weights = t * t * np.exp(-t)
    return t, weights / (2.0 * (weights @ (-np.expm1(-t) / t)))


def _grid(temperature: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The grid's y, l = -log W and the measure dy / temperature, each of shape [len(_GRID)]."""
    measure = tf.constant(np.exp(_GRID), temperature.dtype) / (1.0 + temperature)
    y = temperature * measure
    tiny = y < 1e-4  # log1p(y) / y, also where y = 0
    ratio = tf.where(tiny, 1.0 - 0.5 * y, tf.math.log1p(y) / tf.where(tiny, tf.ones_like(y), y))
    return y, measure * ratio, measure * (_GRID[1] - _GRID[0])


def _fit(values: tf.Tensor) -> tf.Tensor:
    """Series coefficients [DEGREE, m] from values [DEGREE, m] at the series' points."""
    return tf.constant(_FIT, values.dtype) @ values


def binary_series(temperature: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Series, shape [DEGREE, 1], of the two-class integrals over q^k; q the other class's share.

    Returns:
        weight: E[W / (1 + W)^2] / temperature.
        log_weight: E[l W / (1 + W)^2] / temperature, l = -log W.
    """
    y, log_ratio, measure = _grid(temperature)
    # With e integrated out, y has the density q / (1 + q y)^2.
    q = tf.constant(np.exp(_POINTS)[:, np.newaxis], temperature.dtype)
    density = q ** (1.0 - power(temperature)) / (1.0 + q * y) ** 2 * measure
    w = tf.exp(-log_ratio)
    share = (w / (1.0 + w) ** 2)[:, tf.newaxis]
    return _fit(density @ share), _fit(density @ (share * log_ratio[:, tf.newaxis]))


def categorical_series(
    temperature: tf.Tensor, num_classes: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Series, shape [DEGREE, nodes], of a loser's integrals over p^k at every pair of nodes (e, t).

    With phi = E[exp(-t W)]:

    Returns:
        weight: E[W exp(-t W)] / (phi temperature).
        log_weight: E[l W exp(-t W)] / (phi temperature), l = -log W.
        log_survival: -log phi.
    """
    dtype = temperature.dtype
    y, log_ratio, measure = _grid(temperature)
    w = tf.exp(-log_ratio)[:, tf.newaxis]
    e = winner_nodes()[0]
    t = tf.constant(inverse_square_nodes(num_classes)[0], dtype)
    rate = tf.constant(np.exp(_POINTS)[:, np.newaxis] * e, dtype)  # [DEGREE, e]
    density = tf.exp(-rate[..., tf.newaxis] * y) * measure  # without its factor `rate`
    density = tf.reshape(density, [-1, len(_GRID)])
    shape = [DEGREE, len(e), -1]
    damped = w * tf.exp(-w * t)  # [grid, t]
    loss = tf.reshape(density @ -tf.math.expm1(-w * t), shape) * (temperature * rate)[..., None]
    loss = tf.minimum(loss, 1.0 - 1e-6)  # 1 - phi; rounding may carry it to 1
    unpowered = tf.constant(np.exp(-_POINTS)[:, np.newaxis, np.newaxis], dtype)
    unpowered = unpowered ** power(temperature)
    scale = rate[..., tf.newaxis] * unpowered / (1.0 - loss)
    weight = tf.reshape(density @ damped, shape) * scale
    log_weight = tf.reshape(density @ (damped * log_ratio[:, tf.newaxis]), shape) * scale
    log_survival = -tf.math.log1p(-loss) * unpowered
    columns = [DEGREE, len(e) * int(t.shape[0])]
    return (
        _fit(tf.reshape(weight, columns)),
        _fit(tf.reshape(log_weight, columns)),
        _fit(tf.reshape(log_survival, columns)),
    )
