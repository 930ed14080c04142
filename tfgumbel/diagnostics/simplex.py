"""Over the simplex of three classes: how much variance one estimator saves over another."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics import style
from tfgumbel.diagnostics.moments import resolve, sample_gradients
from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.internal import random

NUM_CLASSES = 3
BATCH_ELEMENTS = 2**20


def quadratic_program(sample: tf.Tensor) -> tf.Tensor:
    """(D - c)^T Q (D - c), with Q_ij = exp(-2 |i - j|) and c = 1/3 in every entry.

    Args:
        sample: Shape (..., num_classes).

    Returns:
        values: Shape (...).

    References: Paulus, Maddison & Krause, ICLR 2021, section 5.1.
    """
    classes = np.arange(sample.shape[-1])
    q = tf.constant(np.exp(-2.0 * np.abs(classes[:, None] - classes)), sample.dtype)
    away = sample - tf.constant(1.0 / NUM_CLASSES, sample.dtype)
    return tf.reduce_sum(away * tf.linalg.matvec(q, away), axis=-1)


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
        """log10 tr Var of the first minus log10 tr Var of the second, (temperatures, points)."""
        return np.log10(self.variances[:, 0]) - np.log10(self.variances[:, 1])


def simplex_variances(
    f: Callable[[tf.Tensor], tf.Tensor] = quadratic_program,
    temperatures: Sequence[float] = (0.1, 0.5, 1.0),
    *,
    estimators: tuple[str, str] = ("straight_through_gumbel_softmax", "gumbel_rao"),
    resolution: int = 18,
    num_draws: int = 32768,
    seed: Any = 0,
) -> SimplexVariances:
    """Measures the variance of two estimators of a three-class variable, over all probabilities.

    The draws of each grid point are grouped by the outcome D and weighted by D's probability.

    Args:
        f: Maps samples (num, 3) to values (num,).
        temperatures: One picture each.
        estimators: Names of two estimators with a temperature.
        resolution: Grid points along an edge.
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
    batch_size = min(num_draws, max(1, BATCH_ELEMENTS // probs.size))
    num_batches = -(-num_draws // batch_size)
    variances = np.empty((len(temperatures), 2, len(probs)))
    for row, name in enumerate(estimators):
        sums = _summing_function(f, logits, resolve(name, ONE_HOT_CATEGORICAL)[0], batch_size)
        for column, temperature in enumerate(temperatures):
            count = total = square = np.zeros(())
            for batch in range(num_batches):
                parts = sums(random.fold_in(seed, batch), tf.constant(temperature))
                count, total, square = (
                    old + part.numpy()
                    for old, part in zip((count, total, square), parts, strict=True)
                )
                within, between = _stratified_variance(count, total, square, probs)
                if count.min() > 0 and np.all(within <= 1e-9 * between):
                    break  # no noise beside D's, and every D seen: more draws add nothing
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
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
    first, second = variances.labels
    with style.new_figure(height=3.5, width=8.4) as figure:
        all_axes = figure.subplots(1, len(variances.temperatures), squeeze=False)[0]
        for axes, temperature, value in zip(
            all_axes, variances.temperatures, variances.log_ratio, strict=True
        ):
            surface, fine = _refine(variances.probs @ corners, value)
            image = axes.tricontourf(surface, fine, levels=12, cmap=style.SEQUENTIAL)
            axes.tricontour(surface, fine, levels=image.levels, colors="white", linewidths=0.4)
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
            bar = figure.colorbar(image, ax=axes, orientation="horizontal", aspect=24, pad=0.1)
            bar.set_ticks(image.levels[::3])
            bar.outline.set_visible(False)
        figure.suptitle(f"log10 tr Var({first}) - log10 tr Var({second})")
    return figure


def _refine(points: np.ndarray, values: np.ndarray) -> tuple[Any, np.ndarray]:
    """A finer triangulation of the grid, and the values interpolated on it cubically."""
    import matplotlib.tri

    coarse = matplotlib.tri.Triangulation(*points.T)
    return matplotlib.tri.UniformTriRefiner(coarse).refine_field(values, subdiv=3)


def _summing_function(
    f: Callable[[tf.Tensor], tf.Tensor],
    logits: tf.Tensor,
    arguments: dict[str, Any],
    num_draws: int,
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, ...]]:
    """Compiles (seed, temperature) -> sums over draws by point and outcome, in float64."""
    shape = [num_draws, *logits.shape]

    @tf.function(autograph=False)
    def sums(seed: tf.Tensor, temperature: tf.Tensor) -> tuple[tf.Tensor, ...]:
        gradients, sample = sample_gradients(
            f,
            ONE_HOT_CATEGORICAL,
            tf.tile(logits, [num_draws, 1]),
            {**arguments, "temperature": temperature},
            seed,
        )
        gradients = tf.cast(tf.reshape(gradients, shape), tf.float64)
        winner = tf.argmax(tf.reshape(sample, shape), -1)
        drawn = tf.cast(tf.one_hot(winner, NUM_CLASSES), tf.float64)
        return (
            tf.reduce_sum(drawn, 0),
            tf.einsum("dpo,dpc->poc", drawn, gradients),
            tf.einsum("dpo,dpc->po", drawn, gradients**2),
        )

    return sums


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
