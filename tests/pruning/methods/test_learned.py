"""The rule by which scores move, against the same in NumPy, and what it does not depend on."""

import numpy as np
import pytest
import tensorflow as tf

from pruning.budgets.segments import SegmentBudget
from pruning.groups.groups import Grid, Groups
from pruning.methods.learned import Learned
from pruning.methods.method import Moment

# Below ten scores none can be ten times their mean: both segments are longer, and clip.
SEGMENTS = (13, 40)
SIZE = sum(SEGMENTS)


def run(gradients, scores):
    """How far scores move in consecutive steps at rate 1, if they were put back after each."""
    budget = SegmentBudget(SEGMENTS, (2, 2))
    method = Learned(Groups([Grid((SIZE,), (1,))]), budget, seed=0, learning_rate=1.0)
    memory = {name: tf.zeros([length]) for name, length in method.memory().items()}
    assert {name: len(value) for name, value in memory.items()} == {"momentum": SIZE, "scale": 2}
    moves = []
    for step, gradient in enumerate(gradients):
        moment = Moment(
            scores=tf.constant(scores, tf.float32),
            weights=[],
            memory=memory,
            step=tf.constant(step, tf.int64),
            progress=tf.constant(0.0),
        )
        memory = method.observe(tf.constant(gradient, tf.float32), moment)
        moves.append(moment.scores - method.scores(moment._replace(memory=memory)))
        half = method.scores(moment._replace(memory=memory, progress=tf.constant(0.5)))
        np.testing.assert_allclose(moment.scores - half, 0.5 * moves[-1], atol=1e-6)
    return np.array(moves)


def expected(gradients, scores):
    rows = []
    for start, stop in ((0, 13), (13, 53)):
        momentum, scale, directions = 0.0, 0.0, []
        alive = scores[start:stop] > 0
        for step, gradient in enumerate(gradients[:, start:stop], 1):
            limit = 10 * np.abs(gradient[alive]).mean()
            gradient = np.clip(gradient, -limit, limit)
            momentum = 0.9 * momentum + 0.1 * gradient
            scale = 0.999 * scale + 0.001 * (gradient[alive] ** 2).mean()
            root = np.sqrt(scale / (1 - 0.999**step))
            directions.append(momentum / (1 - 0.9**step) / root)
        rows.append(np.array(directions))
    return np.concatenate(rows, 1)


def test_equals_the_formula():
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(6, SIZE))
    scores = rng.uniform(0.05, 1.0, SIZE)
    scores[[1, 4, 20, 21, 22, 50]] = 0  # out, and moving without a say in means
    gradients[2, [5, 30]] = 1e4, -1e4  # clipped
    gradients[:, 20] = 50.0
    moves, wanted = run(gradients, scores), expected(gradients, scores)
    np.testing.assert_allclose(moves, wanted, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("factor", [1e-12, 1e8])
def test_the_scale_of_the_loss_does_not_matter(factor):
    gradients = np.random.default_rng(1).normal(size=(4, SIZE))
    scores = np.full(SIZE, 0.5)
    np.testing.assert_allclose(
        run(factor * gradients, scores), run(gradients, scores), rtol=1e-4, atol=1e-6
    )


def test_what_is_not_finite_and_what_is_zero_moves_nothing():
    gradient = np.zeros((1, SIZE))
    gradient[0, :3] = np.nan, np.inf, 1.0
    direction = run(gradient, np.full(SIZE, 0.5))[0]
    np.testing.assert_array_equal(np.delete(direction, 2), 0)
    assert np.isfinite(direction[2]) and direction[2] > 0
