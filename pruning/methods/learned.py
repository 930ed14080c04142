"""How scores move: momentum, and one scale for all scores of a budget.

Adam divides every score's step by that score's own typical gradient. Then all scores move at one
pace, whatever they are worth, and the budget ranks them by how steadily their gradients point one
way. Here all scores that share a budget are divided by one number, the root mean square of their
gradients, so that a score moves in proportion to what its weights do for the loss. That is scale
free, independent of the optimizer of the weights, and takes one float of state a score.
"""

from collections.abc import Sequence

import tensorflow as tf

from pruning.budgets.sums import total

MOMENTUM, SCALE_DECAY = 0.9, 0.999
# The largest gradient of a score, in multiples of their mean absolute gradient: one draw of a
# mask near 0 would otherwise undo many.
CLIP = 10.0


def score_step(
    gradient: tf.Tensor,
    scores: tf.Tensor,
    momentum: tf.Tensor,
    scale: tf.Tensor,
    step: tf.Tensor,
    segments: Sequence[int],
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the direction of a step, about 1 in size for a score of typical gradient.

    With g the gradient, clipped to 10 times the mean |g| of the scores above 0,

        momentum <- .9 momentum + .1 g,   scale <- .999 scale + .001 mean g^2,

    and the direction is momentum / sqrt(scale), both corrected for their start at 0 (as in Kingma
    & Ba 2015, "Adam", Algorithm 1, where scale has an entry for each parameter). Means are over the
    scores above 0 of each segment. Entries that are not finite count as 0.

    Args:
        gradient: of the loss with respect to the scores, float32, shape (num_groups,).
        scores: shape (num_groups,).
        momentum: shape (num_groups,), 0 before the first step.
        scale: shape (num_segments,), 0 before the first step.
        step: number of steps before this one, an integer scalar.
        segments: lengths of the consecutive stretches of scores that have a scale each.

    Returns:
        direction: shape (num_groups,); to be subtracted from the scores, times a rate.
        momentum: the new one.
        scale: the new one.
    """
    gradient = tf.where(tf.math.is_finite(gradient), gradient, 0.0)
    alive = tf.cast(scores > 0.0, gradient.dtype)
    clipped, squares = [], []
    for g, a in zip(tf.split(gradient, segments), tf.split(alive, segments), strict=True):
        count = tf.maximum(total(a), 1.0)
        limit = CLIP * total(tf.abs(g) * a) / count
        g = tf.clip_by_value(g, -limit, limit)
        clipped.append(g)
        squares.append(total(g * g * a) / count)
    momentum = MOMENTUM * momentum + (1.0 - MOMENTUM) * tf.concat(clipped, 0)
    scale = SCALE_DECAY * scale + (1.0 - SCALE_DECAY) * tf.stack(squares)
    steps = tf.cast(step, tf.float32) + 1.0
    root = tf.sqrt(scale / (1.0 - SCALE_DECAY**steps)) * (1.0 - MOMENTUM**steps)
    parts = [
        tf.math.divide_no_nan(m, r)
        for m, r in zip(tf.split(momentum, segments), tf.unstack(root), strict=True)
    ]
    return tf.concat(parts, 0), momentum, scale
