"""Over the simplex of three classes: how much variance one estimator saves over another."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics import style
from tfgumbel.diagnostics.specifications import resolve
from tfgumbel.expectations import expectation
from tfgumbel.expectations.program import Draw
from tfgumbel.internal import random

NUM_CLASSES = 3
BATCH_SIZE = 2048
CENTRE = 1.0 / NUM_CLASSES

Sums = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def quadratic_program(sample: tf.Tensor, probs: tf.Tensor) -> tf.Tensor:
    """(D - c)^T A(p) (D - c), whose expectation is the quadratic program (p - c)^T Q (p - c).

    With Q_ij = exp(-2 |i - j|), c = 1/3 in every entry, and

        A_ij(p) = (p_i - c)(p_j - c) / E[(D_i - c)(D_j - c)] Q_ij
        E[(D_i - c)^2] = p_i - 2 p_i c + c^2,    E[(D_i - c)(D_j - c)] = c^2 - p_i c - c p_j

    The cost depends on the probabilities directly too, so its gradient has two parts: through the
    sample, which an estimator defines, and through A. The least expected cost, 0, is in the centre
    p = c. A_ij is singular where p_i + p_j = 1/3, a line that cuts off the corner of the third
    class; the expected cost is not.

    Args:
        sample: Shape (..., 3).
        probs: Probabilities of the classes, shape (..., 3), none of them such that p_i + p_j = 1/3.

    Returns:
        values: Shape (...).

    References: Paulus, Maddison & Krause, ICLR 2021, section 5.2.
    """
    classes = np.arange(NUM_CLASSES)
    q = tf.constant(np.exp(-2.0 * np.abs(classes[:, None] - classes)), sample.dtype)
    same = tf.eye(NUM_CLASSES, dtype=sample.dtype)
    away = probs - CENTRE
    both_drawn = probs[..., tf.newaxis] * same
    moments = both_drawn - CENTRE * (probs[..., tf.newaxis] + probs[..., tf.newaxis, :] - CENTRE)
    a = away[..., tf.newaxis] * away[..., tf.newaxis, :] / moments * q
    deviation = sample - CENTRE
    return tf.reduce_sum(deviation * tf.linalg.matvec(a, deviation), axis=-1)


@dataclasses.dataclass(frozen=True)
class SimplexVariances:
    """Total variances of two estimators on a grid over the simplex.

    Attributes:
        probs: The grid, shape (points, 3).
        temperatures: The temperatures, a tuple.
        labels: Names of the two estimators.
        variances: Shape (temperatures, 2, points).
    """

    probs: np.ndarray
    temperatures: tuple[float, ...]
    labels: tuple[str, str]
    variances: np.ndarray

    @property
    def log_ratio(self) -> np.ndarray:
        """log10 tr Var of the first minus log10 tr Var of the second, (temperatures, points).

        0 where one of them vanishes, as both do where the cost is constant.
        """
        first, second = self.variances[:, 0], self.variances[:, 1]
        known = (first > 0.0) & (second > 0.0)
        return np.log10(np.divide(first, second, out=np.ones_like(first), where=known))


def simplex_variances(
    f: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = quadratic_program,
    temperatures: Sequence[float] = (0.1, 0.5, 1.0),
    *,
    estimators: tuple[str, str] = ("straight_through_gumbel_softmax", "gumbel_rao"),
    resolution: int = 48,
    num_draws: int = 8192,
    seed: Any = 0,
) -> SimplexVariances:
    """Measures the variance of two estimators of a three-class variable, over all probabilities.

    The gradient is that of f for the logits: through the sample, by the estimator, and through the
    probabilities. The draws of each grid point are grouped by the outcome D and weighted by D's
    probability. All points share their noise, so that errors vary smoothly from one to the next.

    Args:
        f: Maps samples and probabilities, both of shape (num, 3), to values (num,).
        temperatures: One picture each.
        estimators: Names of two estimators with a temperature.
        resolution: Grid points along an edge. A multiple of 3 keeps the grid off the lines where
            `quadratic_program` is singular.
        num_draws: Draws at each grid point; the rarest outcome there should be seen.
        seed: Int, pair of ints, or integer tensor of shape [2].

    Returns:
        variances: On the grid, all points inside the simplex.
    """
    first, second = np.meshgrid(np.arange(resolution), np.arange(resolution), indexing="ij")
    inside = first + second < resolution
    counts = np.stack([first, second, resolution - 1 - first - second], -1)[inside]
    probs = (counts + 1 / 3) / resolution
    logits = tf.constant(np.log(probs), tf.float32)
    batch_size = min(num_draws, BATCH_SIZE)
    num_batches = -(-num_draws // batch_size)
    variances = np.empty((len(temperatures), 2, len(probs)))
    for row, name in enumerate(estimators):
        sums = _summing_function(f, resolve(name)[0], batch_size)
        for column, temperature in enumerate(temperatures):
            left = np.arange(len(probs))  # the points that need more draws
            size = (len(probs), NUM_CLASSES)
            totals = np.zeros(size), np.zeros((*size, NUM_CLASSES)), np.zeros(size)
            for batch in range(num_batches):
                batch_seed = random.fold_in(seed, batch)
                parts = sums(tf.gather(logits, left), batch_seed, tf.constant(temperature))
                for total, part in zip(totals, parts, strict=True):
                    total[left] += part.numpy()
                within, between = _stratified_variance(*totals, probs)
                # No noise beside D's, and every D seen: more draws add nothing.
                done = (totals[0].min(1) > 0) & (within <= 1e-9 * between)
                left = np.flatnonzero(~done)
                if not left.size:
                    break
            variances[column, row] = within + between
    return SimplexVariances(probs, tuple(temperatures), estimators, variances)


def plot_simplex_contours(variances: SimplexVariances) -> Any:
    """Plots contours of log10 tr Var of the first estimator minus that of the second.

    Each corner of a triangle is a class drawn with certainty; 1 means ten times the variance.

    Args:
        variances: From `simplex_variances`.

    Returns:
        figure: A matplotlib Figure.

    References: Paulus, Maddison & Krause, ICLR 2021, section 5.1.
    """
    import matplotlib.ticker
    import matplotlib.tri

    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
    first, second = variances.labels
    surface = matplotlib.tri.Triangulation(*(variances.probs @ corners).T)
    # One scale for all panels. The few highest points, on thin lines, would leave it one colour;
    # the lowest are clipped, as a level at about 0 would follow the noise around it.
    low, high = np.quantile(variances.log_ratio, (0.0, 0.99)).round(2)
    levels = matplotlib.ticker.MaxNLocator(20).tick_values(low, high)
    shown = np.maximum(variances.log_ratio, levels[0])
    with style.new_figure(height=3.7, width=8.4) as figure:
        all_axes = figure.subplots(1, len(variances.temperatures), squeeze=False)[0]
        for axes, temperature, value in zip(all_axes, variances.temperatures, shown, strict=True):
            image = axes.tricontourf(
                surface, value, levels=levels, cmap=style.SEQUENTIAL, extend="max"
            )
            axes.tricontour(surface, value, levels=levels[2::2], colors="white", linewidths=0.4)
            axes.plot(*corners[[0, 1, 2, 0]].T, color="#404040", linewidth=0.9)
            for index, (x, y) in enumerate(corners):
                axes.annotate(
                    f"class {index}",
                    (x, y),
                    (0, 4 if y else -4),
                    textcoords="offset points",
                    ha=("left", "right", "center")[index],
                    va="bottom" if y else "top",
                    fontsize=8,
                )
            axes.set_title(f"temperature {temperature:g}", pad=16)
            axes.set_aspect("equal")
            axes.set_axis_off()
        bar = figure.colorbar(image, ax=all_axes, orientation="horizontal", aspect=50, pad=0.1)
        bar.outline.set_visible(False)
        figure.suptitle(f"log10 tr Var({first}) - log10 tr Var({second})")
    return figure


def _summing_function(
    f: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], arguments: dict[str, Any], num_draws: int
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Sums]:
    """Compiles (logits, seed, temperature) -> sums over draws by point and outcome, in float64.

    The sums are those of 1 (points, 3), the gradient (points, 3, 3), its square (points, 3).
    """

    def at_point(logits: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor) -> Sums:
        repeated = tf.broadcast_to(logits, [num_draws, NUM_CLASSES])
        samples = []

        def program(draw: Draw, logits: tf.Tensor) -> tf.Tensor:
            samples.append(draw(logits))
            return f(samples[0], tf.nn.softmax(logits))

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(repeated)
            value = expectation(program, repeated, seed=seed, temperature=temperature, **arguments)
        gradients = tf.cast(tape.gradient(value, repeated), tf.float64)
        drawn = tf.cast(tf.one_hot(tf.argmax(samples[0], -1), NUM_CLASSES), tf.float64)
        return (
            tf.reduce_sum(drawn, 0),
            tf.matmul(drawn, gradients, transpose_a=True),
            tf.linalg.matvec(drawn, tf.reduce_sum(gradients**2, -1), transpose_a=True),
        )

    signature = (
        tf.TensorSpec([None, NUM_CLASSES], tf.float32),
        tf.TensorSpec([2], tf.int32),
        tf.TensorSpec([], tf.float32),
    )

    @tf.function(autograph=False, input_signature=signature)
    def at_points(logits: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor) -> Sums:
        return tf.map_fn(
            lambda point: at_point(point, seed, temperature),
            logits,
            fn_output_signature=(tf.float64, tf.float64, tf.float64),
        )

    return at_points


def _stratified_variance(
    count: np.ndarray, total: np.ndarray, square: np.ndarray, probs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Variances within and between outcomes from their sums, weighted by their probabilities."""
    mean = total / np.maximum(count, 1.0)[..., None]
    within = square - count * np.sum(mean**2, -1)
    within = np.maximum(within, 0.0) / np.maximum(count - 1.0, 1.0)
    spread = mean - np.sum(probs[..., None] * mean, axis=1, keepdims=True)
    # The means' own errors would count as spread between outcomes.
    noise = (1.0 - probs) * within / np.maximum(count, 1.0)
    return np.sum(probs * within, 1), np.sum(probs * (np.sum(spread**2, -1) - noise), 1)
