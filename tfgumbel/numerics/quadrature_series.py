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
T_0 ... T_11, almost as well conditioned, and cheaper to form.
"""

from typing import NamedTuple

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

# The rules below come from minimax fits (least squares in the logarithms of nodes and weights,
# reweighted until the error is level), under the constraint that they are exact in the
# low-temperature limit. All weights are positive, so that the error of a rule for the means
# E[S_j S_l], relative to them, bounds its error in the gradient.
#
# Integral of exp(-e) f(e) de, fitted to integrands of 3 to 48 classes, temperatures 0 to 1000.
_WINNER_NODES = (0.00098678518, 0.022017135, 0.15560012, 0.63487337, 1.8857048, 4.7138915)
_WINNER_WEIGHTS = (0.0040825942, 0.051078958, 0.21657889, 0.41079819, 0.28006629, 0.037388318)
# 1 / s^2 = sum of w exp(-t s) for 1 <= s <= the key, as an optimal sum of exponentials (Braess and
# Hackbusch 2005): relative error 2e-5, 3e-5, 4e-5 and 2e-4.
_INVERSE_SQUARE = {
    4: (
        (0.32569745, 1.1615665, 2.7352412, 5.708904),
        (0.18258227, 1.3312161, 5.7334591, 23.974565),
    ),
    8: (
        (0.16555529, 0.59110174, 1.3912958, 2.8514497, 5.6916953),
        (0.04720068, 0.34511911, 1.4759568, 5.6024569, 23.155218),
    ),
    16: (
        (0.083738435, 0.29944501, 0.70661442, 1.4499527, 2.8456345, 5.6296596),
        (0.01208289, 0.088757398, 0.38207587, 1.4438948, 5.416607, 22.613201),
    ),
    64: (
        (0.023805491, 0.08719207, 0.21570311, 0.47555095, 1.0154718, 2.15537, 4.655736),
        (0.00098504769, 0.0077865733, 0.038417619, 0.17361827, 0.77661237, 3.5065645, 17.379598),
    ),
}


class CategoricalSeries(NamedTuple):
    """A losing class's integrals at every pair of nodes (e, t), over p^k; phi = E[exp(-t W)]."""

    weight: tf.Tensor  # Coefficients of E[W exp(-t W)] / (phi temperature), [SIZE, nodes]
    log_weight: tf.Tensor  # Of E[l W exp(-t W)] / (phi temperature), l = -log W, [SIZE, nodes]
    log_phi: tf.Tensor  # Of log phi, [SIZE, nodes]
    nodes: tf.Tensor  # Weights of the nodes, exp(-e) and exp(-t) included, [nodes]


def power(temperature: tf.Tensor) -> tf.Tensor:
    """The exponent k for which E[W | p] / p^k tends to a constant as p vanishes."""
    return 1.0 / tf.maximum(temperature, 1.0)


def factors(log_probs: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """The two families whose products are the basis: `COARSE` and `FINE` tensors as the input."""
    x = tf.maximum(log_probs, _FLOOR)
    z = 1.0 + _STRETCH * x / (_BEND - x)
    second = 2.0 * z * z - 1.0
    fourth = 2.0 * second * second - 1.0
    one = tf.ones_like(z)
    return [one, fourth, 2.0 * fourth * fourth - 1.0], [one, z, second, z * (2.0 * second - 1.0)]


def basis(log_probs: tf.Tensor) -> list[tf.Tensor]:
    """The basis functions, `SIZE` tensors shaped as the input."""
    coarse, fine = factors(log_probs)
    return fine + [c * f if j else c for c in coarse[1:] for j, f in enumerate(fine)]


def inverse_square_nodes(
    num_classes: int | tf.Tensor, dtype: tf.DType
) -> tuple[tf.Tensor, tf.Tensor]:
    """Nodes t and weights w of 1 / s^2 = sum of w exp(-t s), for 1 <= s <= num_classes.

    A table for few classes. For many, or a number known only when the graph runs, the integral of
    t exp(-t s) dt, trapezoidal in log t, the last weight standing for all below it; scaled to be
    exact for the mean over 1 <= s <= 2, which is the low-temperature limit.
    """
    if isinstance(num_classes, int):
        for bound, (t, weights) in _INVERSE_SQUARE.items():
            if num_classes <= bound:
                return tf.constant(t, dtype), tf.constant(weights, dtype)
    step = 0.6
    high, low = 2.3, -2.2 - tf.math.log(tf.cast(num_classes, dtype))
    count = 1 + tf.cast(tf.math.ceil((high - low) / step), tf.int32)
    index = tf.range(count)
    t = tf.exp(high - step * tf.cast(index, dtype))
    tail = tf.cast(-1.0 / np.expm1(-2.0 * step), dtype)
    weights = t * t * tf.where(index == count - 1, tail, tf.ones_like(t))
    return t, weights / (2.0 * tf.reduce_sum(weights * tf.exp(-t) * -tf.math.expm1(-t) / t))


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


def categorical_series(temperature: tf.Tensor, num_classes: int | tf.Tensor) -> CategoricalSeries:
    """What a losing class contributes at every pair of nodes, for at most `num_classes` classes."""
    dtype = temperature.dtype
    y, log_ratio, measure = _grid(temperature)
    w = tf.exp(-log_ratio)[:, tf.newaxis]
    e = np.array(_WINNER_NODES)
    t, t_weights = inverse_square_nodes(num_classes, dtype)
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
    nodes = tf.constant(_WINNER_WEIGHTS, dtype)[:, tf.newaxis] * (t_weights * tf.exp(-t))
    return CategoricalSeries(_fit(weight), _fit(log_weight), _fit(log_phi), tf.reshape(nodes, [-1]))


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
