"""The rule by which scores move, against the same in NumPy, and what it does not depend on."""

import numpy as np
import pytest
import tensorflow as tf

from pruning.methods.learned import score_step

SEGMENTS = (3, 5)


def run(gradients, scores, segments=SEGMENTS):
    """The directions of consecutive steps."""
    momentum, scale = tf.zeros([len(scores)]), tf.zeros([len(segments)])
    directions = []
    for step, gradient in enumerate(gradients):
        direction, momentum, scale = score_step(
            tf.constant(gradient, tf.float32),
            tf.constant(scores, tf.float32),
            momentum,
            scale,
            tf.constant(step, tf.int64),
            segments,
        )
        directions.append(direction.numpy())
    return np.array(directions)


def expected(gradients, scores):
    rows = []
    for start, stop in ((0, 3), (3, 8)):
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
    gradients = rng.standard_t(1.5, size=(6, 8))
    gradients[2, 4] = 1e4  # clipped
    scores = np.array([1, 0, 0.3, 0.2, 0.9, 0, 0.5, 0.1])
    gradients[:, scores == 0] = 0
    np.testing.assert_allclose(
        run(gradients, scores), expected(gradients, scores), rtol=2e-4, atol=1e-6
    )


@pytest.mark.parametrize("factor", [1e-12, 1e8])
def test_the_scale_of_the_loss_does_not_matter(factor):
    gradients = np.random.default_rng(1).normal(size=(4, 8))
    scores = np.full(8, 0.5)
    np.testing.assert_allclose(
        run(factor * gradients, scores), run(gradients, scores), rtol=1e-4, atol=1e-6
    )


def test_what_is_not_finite_and_what_is_zero_moves_nothing():
    gradient = np.array([[np.nan, np.inf, 1.0, 0, 0, 0, 0, 0]])
    direction = run(gradient, np.full(8, 0.5))[0]
    np.testing.assert_array_equal(direction[[0, 1, 3, 4, 5, 6, 7]], 0)
    assert np.isfinite(direction[2]) and direction[2] > 0
