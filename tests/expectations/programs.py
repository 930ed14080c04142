"""Programs whose expectation is known by enumeration, and how gradients are held against it."""

import itertools

import numpy as np
import tensorflow as tf

from tests.reference import softmax

LOGITS = np.array([[0.3, -0.5, 0.9], [1.0, 0.0, -0.7]])
WEIGHTS = np.array([[1.0, -2.0, 0.5], [0.3, 1.5, -1.0]])


def parallel(draw, logits):
    """Two variables together, linear in neither: logits (rows, 2, 3)."""
    scores = tf.reduce_sum(draw(logits) * tf.constant(WEIGHTS, logits.dtype), -1)
    return (scores[:, 0] + 2.0) * (scores[:, 1] - 0.4) ** 2


def parallel_value(logits):
    """E of `parallel`, by itertools, in NumPy."""
    probs = softmax(logits)
    return sum(
        probs[0, i] * probs[1, j] * (WEIGHTS[0, i] + 2.0) * (WEIGHTS[1, j] - 0.4) ** 2
        for i, j in itertools.product(range(3), repeat=2)
    )


def derivative(function, point, step=1e-5):
    """Central differences."""
    gradient = np.zeros_like(point)
    for index in np.ndindex(point.shape):
        shift = np.zeros_like(point)
        shift[index] = step
        gradient[index] = (function(point + shift) - function(point - shift)) / (2 * step)
    return gradient


def z_scores(samples, truth):
    """(mean - truth) in standard errors, entry by entry; 0 where both are exact."""
    samples = np.asarray(samples)
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    difference = samples.mean(axis=0) - truth
    rounding = np.abs(difference) < 1e-9
    return np.where(rounding, 0.0, difference / np.where(rounding, 1.0, np.maximum(error, 1e-12)))
