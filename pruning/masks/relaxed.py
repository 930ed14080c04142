"""Masks that are drawn at random, by scores that are probabilities."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from pruning.masks.fingerprint import fingerprint, fingerprint_compiled
from pruning.masks.masks import Masks
from pruning.masks.product import noisy_product
from tfgumbel.internal import random


class RelaxedMasks(Masks):
    """Scores are keep probabilities: training draws relaxed masks, the budget projects.

    Without noise the mask is that of the highest scores that the budget of the moment leaves, equal
    ones by their order; once it is fixed, the fixed one.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        # The mask of an evaluation, and what it was picked from: that takes many passes.
        self._mask = tf.Variable(
            tf.zeros([self.groups.num_groups], tf.bool), trainable=False, name="mask"
        )
        self._picked_from = tf.Variable([0, -1], dtype=tf.int32, trainable=False, name="picked")

    def mask(self):
        scores = tf.convert_to_tensor(self.scores)
        mask = tf.cond(self.is_settled, lambda: scores, self._mask_of_moment)
        return tf.stop_gradient(mask)

    def _mask_of_moment(self) -> tf.Tensor:
        scores = tf.convert_to_tensor(self.scores)
        tightness = self.schedule.tightness(self.progress())
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            return self.budget.top(scores, tightness)
        # All that the mask depends on, whoever assigned it; at the start a tightness of NaN.
        marks = fingerprint_compiled if self.worth_fusing else fingerprint
        source = tf.stack([marks(scores), tf.bitcast(tightness, tf.int32)])

        def refresh():
            mask = self.budget.top(scores, tightness)
            self._mask.assign(tf.cast(mask, tf.bool))
            self._picked_from.assign(source)
            return mask

        return tf.cond(
            tf.reduce_all(tf.equal(self._picked_from, source)),
            lambda: tf.cast(self._mask, tf.float32),
            refresh,
        )

    def draw(self, weights: Sequence[tf.Tensor], index: int = 0, jit_compile: bool = True):
        return noisy_product(
            tf.convert_to_tensor(self.scores),
            weights,
            self.carried,
            seed=self._noise_seed(index),
            temperature=self.temperature,
            settled=self.is_settled,
            hard=self.hard,
            score_gradient=self.score_gradient,
            noise_scale=self.schedule.noise_scale,
            jit_compile=jit_compile,
        )

    def _noise_seed(self, index: int) -> tf.Tensor:
        draw = tf.convert_to_tensor(self.step) * self.num_samples + index
        seed = random.fold_in(random.normalize_seed(self.seed), draw)
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            seed = random.fold_in(seed, context.replica_id_in_sync_group)
        return seed

    def best(self, weights: Sequence[tf.Tensor], tightness: Any = 1.0):
        size = self.groups.mean_abs(weights)
        # A group of zeros is worth nothing, whatever its score.
        scores = tf.where(size > 0.0, tf.convert_to_tensor(self.scores), -1.0)
        return self.budget.top(scores, tightness, ties=size)

    def _moved(self, moment):
        return self.method.scores(moment)

    def _feasible(self, scores, weights, step, tightness, multiplier, jit_compile):
        s, multiplier = self.budget.project(scores, tightness, multiplier, jit_compile)
        return s, tf.cast(multiplier, tf.float32)
