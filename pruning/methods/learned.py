"""Keep probabilities learned with the weights: momentum, and one scale for all of a budget.

Adam divides every score's step by that score's own typical gradient. Then all scores move at one
pace, whatever they are worth, and the budget ranks them by how steadily their gradients point one
way. Here all scores that share a budget are divided by one number, the root mean square of their
gradients, so that a score moves in proportion to what its weights do for the loss. That is scale
free, independent of the optimizer of the weights, and takes one float of memory a score.

Reference: X. Zhou, W. Zhang, H. Xu, T. Zhang (2021), "Effective Sparsification of Neural Networks
with Global Sparsity Constraint", CVPR, Algorithm 1 (there with Adam).
"""

import math

import tensorflow as tf

from pruning.budgets.sums import total
from pruning.methods.method import Method

# How far a score of typical gradient moves in a step, at the start.
SCORE_LEARNING_RATE = 0.024
# Below 1: at exactly 1 no score has a pathwise gradient.
INITIAL_SCORE = 1.0 - 1e-4
MOMENTUM, SCALE_DECAY = 0.9, 0.999
# The largest gradient of a score, in multiples of their mean absolute gradient: one draw of a
# mask near 0 would otherwise undo many.
CLIP = 10.0


class Learned(Method):
    """Moves scores against their gradients; with g the gradient,

        g <- g clipped to 10 mean |g|
        momentum <- .9 momentum + .1 g,   scale <- .999 scale + .001 mean g^2
        scores <- scores - rate momentum / sqrt(scale)

    with momentum and scale corrected for their start at 0 (as in Kingma & Ba 2015, "Adam",
    Algorithm 1, where scale has an entry for each parameter). Means are over the scores above 0 of
    each segment of the budget. Gradients that are not finite count as 0. The rate decays as half a
    cosine over the schedule.
    """

    relaxed = True
    initial_score = INITIAL_SCORE
    uses_gradients = True

    def memory(self):
        return {"momentum": self.groups.num_groups, "scale": len(self.budget.segments)}

    def observe(self, gradient, moment):
        segments = self.budget.segments
        gradient = tf.where(tf.math.is_finite(gradient), gradient, 0.0)
        alive = tf.cast(moment.scores > 0.0, gradient.dtype)
        clipped, squares = [], []
        for g, a in zip(tf.split(gradient, segments), tf.split(alive, segments), strict=True):
            count = tf.maximum(total(a), 1.0)
            limit = CLIP * total(tf.abs(g) * a) / count
            g = tf.clip_by_value(g, -limit, limit)
            clipped.append(g)
            squares.append(total(g * g * a) / count)
        momentum = MOMENTUM * moment.memory["momentum"] + (1.0 - MOMENTUM) * tf.concat(clipped, 0)
        scale = SCALE_DECAY * moment.memory["scale"] + (1.0 - SCALE_DECAY) * tf.stack(squares)
        return {"momentum": momentum, "scale": scale}

    def scores(self, moment):
        rate = self.learning_rate * 0.5 * (1.0 + tf.cos(math.pi * moment.progress))
        steps = tf.cast(moment.step, tf.float32) + 1.0
        root = tf.sqrt(moment.memory["scale"] / (1.0 - SCALE_DECAY**steps))
        root *= 1.0 - MOMENTUM**steps
        directions = [
            tf.math.divide_no_nan(m, r)
            for m, r in zip(
                tf.split(moment.memory["momentum"], self.budget.segments),
                tf.unstack(root),
                strict=True,
            )
        ]
        return moment.scores - rate * tf.concat(directions, 0)
