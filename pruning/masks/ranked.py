"""Masks of the groups that a method ranks highest."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from pruning.masks.masks import Masks

# Masks are chosen anew so many times over the schedule, but so many steps apart at the least: a
# choice looks at every weight some thirty times.
NUM_UPDATES, MIN_STEPS = 200, 5


class RankedMasks(Masks):
    """Scores are the mask, 0 or 1: the groups of highest rank that fit the budget.

    The gradient of a score is that of its mask, `sum w dL/d(w m)` over the group, also where the
    mask is 0; it is taken if the method uses it.
    """

    def mask(self):
        return tf.convert_to_tensor(self.scores)

    def draw(self, weights: Sequence[tf.Tensor], index: int = 0, jit_compile: bool = True):
        return self.carried.multiply(self.mask(), weights)

    def best(self, weights: Sequence[tf.Tensor], tightness: Any = 1.0):
        return self.budget.top(self.method.scores(self._moment(weights)), tightness)

    def _moved(self, moment):
        return moment.scores

    def _feasible(self, scores, weights, step, tightness, multiplier, jit_compile):
        every = tf.maximum(tf.convert_to_tensor(self.total_steps) // NUM_UPDATES, MIN_STEPS)
        due = tf.equal(step % every, 0)
        return tf.cond(due, lambda: self.best(weights, tightness), lambda: scores), multiplier
