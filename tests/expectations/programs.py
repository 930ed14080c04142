"""Programs of every kind, their expectations by itertools, and how gradients are held to them.

Each takes its parameters as inputs, one row of them for each draw, and has a twin in NumPy that
sums over the outcomes: nothing in it is shared with the library.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tests.reference import softmax
from tfgumbel.distributions.abilities import BERNOULLI

LOGITS = np.array([[0.3, -0.5, 0.9], [1.0, 0.0, -0.7]])
WEIGHTS = np.array([[1.0, -2.0, 0.5], [0.3, 1.5, -1.0]])


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def parallel(draw, logits):
    """Two variables together, linear in neither: logits (rows, 2, 3)."""
    scores = tf.reduce_sum(draw(logits) * tf.constant(WEIGHTS, logits.dtype), -1)
    return (scores[:, 0] + 2.0) * (scores[:, 1] - 0.4) ** 2


def parallel_value(logits):
    probs = softmax(logits)
    return sum(
        probs[0, i] * probs[1, j] * (WEIGHTS[0, i] + 2.0) * (WEIGHTS[1, j] - 0.4) ** 2
        for i, j in itertools.product(range(3), repeat=2)
    )


def single(draw, logits):
    """One variable, and a cost that depends on its parameters directly: logits (rows, 4)."""
    sample = draw(logits)
    scores = tf.linalg.matvec(sample, tf.constant([1.0, -2.0, 0.5, 3.0], logits.dtype))
    return (scores - 0.3) ** 2 + scores * tf.sin(logits[:, 0]) + logits[:, 1] ** 2


def single_value(logits):
    values = np.array([1.0, -2.0, 0.5, 3.0])
    costs = (values - 0.3) ** 2 + values * np.sin(logits[0]) + logits[1] ** 2
    return softmax(logits) @ costs


def binary(draw, logits):
    """Three binary variables in two draws, not linear in any pair: logits (rows, 3)."""
    pair = draw.variable(BERNOULLI, logits[:, :2])
    last = draw.variable(BERNOULLI, logits[:, 2])
    return (1.0 + pair[:, 0] - 2.0 * last) * (2.0 - 3.0 * pair[:, 1] + last) ** 2


def binary_value(logits):
    probs = sigmoid(logits)
    return sum(
        np.prod(np.where(bits, probs, 1 - probs))
        * (1.0 + bits[0] - 2.0 * bits[2])
        * (2.0 - 3.0 * bits[1] + bits[2]) ** 2
        for bits in map(np.array, itertools.product([0, 1], repeat=3))
    )


def cascade(draw, parameters):
    """A categorical variable, and binary ones whose logits depend on it: parameters (rows, 3, 3).

    The first column holds the logits of the first, the others those of two binary variables given
    it; the cost depends on the parameters directly, too.
    """
    first = draw(parameters[:, :, 0])
    second = draw.variable(BERNOULLI, tf.einsum("rc,rcv->rv", first, parameters[:, :, 1:]))
    scores = tf.linalg.matvec(first, tf.constant([1.0, -1.0, 0.5], parameters.dtype))
    direct = tf.reduce_sum(parameters[:, :, 1] * first, -1)
    return (scores + 2.0 * second[:, 0] - second[:, 1]) ** 2 + 0.5 * direct


def cascade_value(parameters):
    probs = softmax(parameters[:, 0])
    total = 0.0
    for i, (a, b) in itertools.product(range(3), itertools.product([0, 1], repeat=2)):
        p, q = sigmoid(parameters[i, 1:])
        weight = probs[i] * (p if a else 1 - p) * (q if b else 1 - q)
        score = [1.0, -1.0, 0.5][i]
        total += weight * ((score + 2.0 * a - b) ** 2 + 0.5 * parameters[i, 1])
    return total


@dataclasses.dataclass(frozen=True)
class Case:
    """A program with its parameters and its expectation as a function of them."""

    name: str
    program: Callable[..., Any]
    value: Callable[[np.ndarray], float]
    parameters: np.ndarray
    draws: int
    cascade: bool = False


CASES = {
    case.name: case
    for case in (
        Case("single", single, single_value, np.array([0.4, -0.3, 0.8, -1.2]), 1),
        Case("parallel", parallel, parallel_value, LOGITS, 1),
        Case("binary", binary, binary_value, np.array([0.8, -0.4, 0.3]), 2),
        Case(
            "cascade",
            cascade,
            cascade_value,
            np.array([[0.4, 0.5, -1.0], [-0.3, -0.8, 0.2], [0.1, 1.2, 0.6]]),
            2,
            cascade=True,
        ),
    )
}


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
    rounding = np.abs(difference) < 1e-8
    return np.where(rounding, 0.0, difference / np.maximum(error, 1e-12))
