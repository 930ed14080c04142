"""The problem, its measurements, and their pictures; nothing is trained."""

import numpy as np
import tensorflow as tf

from examples.common import figures
from tfgumbel import diagnostics

ESTIMATORS = (
    "reinforce",
    "reinforce_baseline",
    "gumbel_softmax",
    "straight_through",
    "straight_through_gumbel_softmax",
    "gumbel_rao",
    "reinmax",
)
# What the curves against temperature show; more would hide one another.
CURVES = ("straight_through_gumbel_softmax", "gumbel_rao", "gumbel_softmax", "reinforce", "reinmax")
SAMPLE_TEMPERATURES = (0.1, 0.5, 1.0, 10.0)
TARGET = 0.45


def squared_distance(sample):
    """Squared distance from the target of the level drawn, levels evenly spaced from 0 to 1.

    Args:
        sample: One-hot or relaxed, shape (num, num_classes).

    Returns:
        values: Shape (num,).
    """
    levels = tf.linspace(tf.constant(0.0, sample.dtype), 1.0, sample.shape[-1])
    return (tf.linalg.matvec(sample, levels) - TARGET) ** 2


def program(draw, logits):
    """The cost of one draw, shape (rows,); logits (rows, num_classes)."""
    return squared_distance(draw(logits))


def make_logits(num_classes, seed):
    """Standard normal logits of one example, shape (1, num_classes)."""
    return tf.constant(np.random.default_rng(seed).normal(size=[1, num_classes]), tf.float32)


def compare(logits, estimators, *, temperature, num_draws, seed):
    """The table: every estimator against the truth by enumeration."""
    return diagnostics.compare_estimators(
        program, logits, estimators, num_draws, seed, temperature=temperature
    )


def draw_samples(logits, path, *, seed):
    """Gumbel-Softmax samples at four temperatures."""
    figure = diagnostics.plot_gumbel_softmax_samples(logits[0], SAMPLE_TEMPERATURES, seed=seed)
    return figures.save(figure, path)


def draw_sample_sizes(logits, path, *, temperature, num_trials, seed):
    """Variance against the number of samples; also returns the slopes."""
    curves = diagnostics.variance_by_num_samples(
        program, logits, num_trials=num_trials, temperature=temperature, seed=seed
    )
    return figures.save(
        diagnostics.plot_variance_against_num_samples(curves), path
    ), curves.slopes()


def draw_temperatures(logits, path, *, num_draws, seed):
    """Bias, variance and error against temperature."""
    comparisons = diagnostics.compare_temperatures(
        program, logits, CURVES, num_draws=num_draws, seed=seed
    )
    return figures.save(diagnostics.plot_bias_variance(comparisons), path)
