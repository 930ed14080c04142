"""Two quadratic programs over one variable of three classes, as costs of a sample."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics import quadratic_program

NUM_CLASSES = 3


@dataclasses.dataclass(frozen=True)
class Program:
    """A cost to minimise in expectation over the probabilities of its variable.

    Attributes:
        cost: maps samples and probabilities, both (num, 3), to costs (num,).
        least: the least expected cost.
        start: the probabilities that a descent starts from.
        steps: of a descent that shows the estimators apart.
        learning_rate: of that descent.
    """

    cost: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    least: float
    start: tuple[float, float, float]
    steps: int
    learning_rate: float

    def expected(self, probs):
        """E[cost] for each row of probabilities, (rows, 3), by enumeration: shape (rows,)."""
        vertices = tf.eye(NUM_CLASSES, dtype=probs.dtype)
        columns = [
            self.cost(tf.broadcast_to(vertex, tf.shape(probs)), probs) for vertex in vertices
        ]
        return tf.reduce_sum(probs * tf.stack(columns, axis=-1), axis=-1)


def fixed_cost(sample, probs):
    """(D - c)^T Q (D - c), with Q_ij = exp(-2 |i - j|) and c = 1/3, for any probabilities.

    D is one-hot, so the least expected cost is that of the middle class, drawn with certainty. With
    a relaxed sample in place of D the minimum is in the centre.
    """
    classes = np.arange(NUM_CLASSES)
    q = tf.constant(np.exp(-2.0 * np.abs(classes[:, None] - classes)), sample.dtype)
    away = sample - 1.0 / NUM_CLASSES
    return tf.reduce_sum(away * tf.linalg.matvec(q, away), axis=-1)


_VERTICES = tf.eye(NUM_CLASSES, dtype=tf.float64)
PROGRAMS = {
    # It starts on the centre's side of the lines where the matrix is singular: near one, gradients
    # have no bound.
    "simplex": Program(
        quadratic_program, least=0.0, start=(0.6, 0.3, 0.1), steps=500, learning_rate=0.02
    ),
    "fixed": Program(
        fixed_cost,
        least=float(tf.reduce_min(fixed_cost(_VERTICES, _VERTICES))),
        start=(1 / 3, 1 / 3, 1 / 3),
        steps=2_000,
        learning_rate=0.1,
    ),
}
