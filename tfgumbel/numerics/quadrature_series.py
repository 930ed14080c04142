"""The one-dimensional functions behind exact Gumbel-Rao, as polynomials in a log probability.

Given the winner's exponential e = E_i, the weight of another class relative to the winner,

    W = (1 + y)^(-1 / temperature),    y = E_j / (e p_j) ~ Exp(rate e p_j),

is independent of all the others and depends on its class through p_j alone. Whatever the exact
gradient needs of W is therefore, at a given temperature, a function of the single number p_j: a
power p_j^k times a function so smooth that twelve coefficients hold it to 1e-4. They are computed
in the graph from the temperature, so that it may be a tensor, change at every step, and be 0:

    y = temperature / (1 + temperature) exp(u),    -log W = log1p(y) / temperature -> exp(u)

puts W's whole range on one fixed, even grid in u, where the trapezoidal rule converges at
double-exponential speed. Divided by the temperature the integrals stay finite as it vanishes.

The basis is a product, T_0 T_4 T_8 times T_0 T_1 T_2 T_3 (Chebyshev polynomials): the same span as
T_0 ... T_11, almost as well conditioned, and never formed where only its sums are wanted.
"""

import numpy as np
import tensorflow as tf

COARSE, FINE = 3, 4
SIZE = COARSE * FINE
# z = 1 + stretch x / (_BEND - x) takes x = log p from [_FLOOR, 0] to [-1, 1], finest near p = 1.
# Below the floor, values keep to the power law p^k.
_FLOOR, _BEND = -24.0, 16.0
_STRETCH = 2.0 * (_BEND - _FLOOR) / -_FLOOR
_GRID = np.linspace(-11.0, 33.0, 64)
_ZEROS = np.cos((np.arange(SIZE) + 0.5) * np.pi / SIZE)
_POINTS = _BEND * (1.0 - _ZEROS) / (1.0 - _ZEROS - _STRETCH)  # log p there
_DEGREES = (4 * np.arange(COARSE)[:, np.newaxis], np.arange(FINE))
_VALUES = [np.cos(degree[..., np.newaxis] * np.arccos(_ZEROS)) for degree in _DEGREES]
# From values at the points to coefficients.
_FIT = np.linalg.inv((_VALUES[0] * _VALUES[1]).reshape(SIZE, SIZE).T)


def power(temperature: tf.Tensor) -> tf.Tensor:
    """The exponent k for which E[W | p] / p^k tends to a constant as p vanishes."""
    return 1.0 / tf.maximum(temperature, 1.0)


def basis_factors(log_probs: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """The coarse and fine factors of the basis, `COARSE` and `FINE` tensors shaped as the input.

    The basis function of index [a, b] is coarse[a] * fine[b].
    """
    x = tf.maximum(log_probs, _FLOOR)
    z = 1.0 + _STRETCH * x / (_BEND - x)
    one = tf.ones_like(z)
    second = 2.0 * z * z - 1.0
    fourth = 2.0 * second * second - 1.0
    return [one, fourth, 2.0 * fourth * fourth - 1.0], [one, z, second, z * (2.0 * second - 1.0)]


def winner_nodes() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for the integral of exp(-e) f(e) over the winner's exponential e.

    Trapezoidal in u with e = exp(u - exp(-u)); scaled to be exact for f(e) = e, all that is left
    of the integrand at low temperature.
    """
    u = np.linspace(-1.7, 2.1, 7)
    nodes = np.exp(u - np.exp(-u))
    weights = nodes * (1.0 + np.exp(-u)) * np.exp(-nodes)
    return nodes, weights / (weights @ nodes)


def inverse_square_nodes(num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of 1 / s^2 = integral of t exp(-t s) dt, for 1 <= s <= num_classes.

    Trapezoidal in log t, the first weight standing for all below it; scaled to be exact for the
    mean over 1 <= s <= 2, which is the low-temperature limit.
    """
    low, high = -2.2 - np.log(num_classes), 2.3
    log_t, step = np.linspace(low, high, 1 + int(np.ceil((high - low) / 0.7)), retstep=True)
    t = np.exp(log_t)
    weights = t * t * np.exp(-t)
    weights[0] /= -np.expm1(-2.0 * step)
    return t, weights / (2.0 * (weights @ (-np.expm1(-t) / t)))


def binary_series(temperature: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Coefficients of the two-class integrals over q^k, with q the probability not drawn.

    Returns:
        weight: Of E[W / (1 + W)^2] / temperature, shape [SIZE].
        log_weight: Of E[l W / (1 + W)^2] / temperature, l = -log W, shape [SIZE].
    """
    y, log_ratio, measure = _grid(temperature)
    # With e integrated out, y has the density q / (1 + q y)^2.
    q = tf.constant(np.exp(_POINTS)[:, np.newaxis], temperature.dtype)
    density = q ** (1.0 - power(temperature)) / (1.0 + q * y) ** 2 * measure
    w = tf.exp(-log_ratio)
    share = (w / (1.0 + w) ** 2)[:, tf.newaxis]
    weight, log_weight = density @ share, density @ (share * log_ratio[:, tf.newaxis])
    return _fit(weight)[:, 0], _fit(log_weight)[:, 0]


def categorical_series(
    temperature: tf.Tensor, num_classes: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Coefficients, over p^k, of a losing class's integrals at every pair of nodes (e, t).

    Returns, with phi = E[exp(-t W)] and shape [SIZE, nodes]:
        weight: Of E[W exp(-t W)] / (phi temperature).
        log_weight: Of E[l W exp(-t W)] / (phi temperature), l = -log W.
        log_phi: Of log phi.
    """
    dtype = temperature.dtype
    y, log_ratio, measure = _grid(temperature)
    w = tf.exp(-log_ratio)[:, tf.newaxis]
    e = winner_nodes()[0]
    t = tf.constant(inverse_square_nodes(num_classes)[0], dtype)
    rate = tf.constant(np.exp(_POINTS)[:, np.newaxis] * e, dtype)[..., tf.newaxis]
    density = tf.reshape(tf.exp(-rate * y) * measure, [-1, len(_GRID)])  # less its factor `rate`

    def mean(values: tf.Tensor) -> tf.Tensor:  # [grid, t] -> [SIZE, e, t], over temperature * rate
        return tf.reshape(density @ values, [SIZE, len(e), -1])

    loss = temperature * rate * mean(-tf.math.expm1(-w * t))
    loss = tf.minimum(loss, 1.0 - 1e-6)  # 1 - phi, which rounding may carry to 1
    unpower = tf.constant(np.exp(-_POINTS)[:, np.newaxis, np.newaxis], dtype) ** power(temperature)
    scale = rate * unpower / (1.0 - loss)
    damped = w * tf.exp(-w * t)
    weight = mean(damped) * scale
    log_weight = mean(damped * log_ratio[:, tf.newaxis]) * scale
    log_phi = tf.math.log1p(-loss) * unpower
    return _fit(weight), _fit(log_weight), _fit(log_phi)


def _grid(temperature: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The grid's y, l = -log W and the measure dy / temperature, each of shape [len(_GRID)]."""
    slope = tf.constant(np.exp(_GRID), temperature.dtype) / (1.0 + temperature)
    y = temperature * slope
    tiny = y < 1e-4  # log1p(y) / y, also where y = 0
    ratio = tf.where(tiny, 1.0 - 0.5 * y, tf.math.log1p(y) / tf.where(tiny, tf.ones_like(y), y))
    return y, slope * ratio, slope * (_GRID[1] - _GRID[0])


def _fit(values: tf.Tensor) -> tf.Tensor:
    """Coefficients [SIZE, m] from values [SIZE, ...] at the points."""
    return tf.constant(_FIT, values.dtype) @ tf.reshape(values, [SIZE, -1])
