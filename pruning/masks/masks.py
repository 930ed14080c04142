"""A Keras model that computes with masked weights in place of its own."""

from collections.abc import Sequence
from random import randrange
from typing import Any

import keras
import tensorflow as tf

from pruning.budgets.segments import make_budget
from pruning.budgets.sums import mean
from pruning.groups.structures import Grid, Structure
from pruning.groups.targets import Filter, candidates, select
from pruning.masks.product import SCORE_GRADIENTS, mask_weights, noisy_weights
from pruning.methods.magnitude import METHODS, magnitudes, priorities
from pruning.training.schedules import PruningSchedule
from tfgumbel.internal import random, validation

# Below 1: at exactly 1 no score has a pathwise gradient.
INITIAL_SCORE = 1.0 - 1e-4
# Below so many scores, XLA takes longer to compile than it saves.
FUSE_FROM = 1 << 14


class MaskedModel(keras.Model):
    """What a pruned model computes; `PrunedModel` adds how it learns, ends and is saved.

    Arguments and attributes are those of `PrunedModel`, or of a file, which names the weights by
    `target_indices`; the defaults are `prune`'s. The masks depend on the scores, and on
    three counters that training moves: `step`, `total_steps` and `settled`.
    """

    def __init__(
        self,
        model: keras.Model,
        k: Any,
        *,
        method: str,
        scope: Any,
        structure: Any,
        block: Any,
        num_samples: int,
        hard: bool,
        score_gradient: str,
        schedule: PruningSchedule | None,
        total_steps: int | None,
        seed: int | None,
        targets: Filter | None = None,
        exclude: Filter | None = None,
        target_indices: Sequence[int] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.method = validation.one_of("method", method, METHODS)
        if target_indices is None:
            chosen, self.left = select(model, targets, exclude)
        else:
            known = {id(target.variable): target for target in candidates(model)}
            chosen = [known[id(model.weights[i])] for i in target_indices]
            self.left = {}
        self.model = model
        self.targets = tuple(chosen)
        self.k = k
        self.scope = scope
        self.structure = Structure.parse(structure, block)
        self.num_samples = validation.positive_integer("num_samples", num_samples)
        self.hard = bool(hard)
        self.score_gradient = validation.one_of("score_gradient", score_gradient, SCORE_GRADIENTS)
        self.schedule = PruningSchedule() if schedule is None else schedule
        # Python's generator, which keras.utils.set_random_seed sets.
        self.seed = randrange(2**31) if seed is None else int(seed)
        self.grids = tuple(Grid.of(target, self.structure) for target in chosen)
        self.budget = make_budget(chosen, self.grids, k, scope, self.structure)
        self.explicit_total = (
            None if total_steps is None else validation.positive_integer("total_steps", total_steps)
        )
        num_groups = len(self.budget.sizes)
        start = INITIAL_SCORE if self.method == "learned" else 1.0
        self.scores = self._vector("scores", num_groups, start, self.method == "learned")
        self.step = self._counter("step", 0)
        self.total_steps = self._counter("total_steps", self.explicit_total or 0)
        self.settled = self._counter("settled", 0)
        # The mask of an evaluation, and the step it belongs to: picking the best K takes a sort.
        self._mask = tf.Variable(tf.zeros([num_groups], tf.bool), trainable=False, name="mask")
        self._mask_step = tf.Variable(-1, dtype=tf.int64, trainable=False, name="mask_step")
        self.built = True

    def _vector(
        self, name: str, length: int, value: float = 0.0, trainable: bool = False
    ) -> keras.Variable:
        return self._state(name, (length,), value, "float32", "mean", trainable)

    def _counter(self, name: str, value: int) -> keras.Variable:
        return self._state(name, (), value, "int64", "only_first_replica", False)

    def _state(
        self,
        name: str,
        shape: tuple[int, ...],
        value: float,
        dtype: str,
        aggregation: str,
        trainable: bool,
    ) -> keras.Variable:
        return self.add_weight(
            shape=shape,
            initializer=keras.initializers.Constant(value),
            dtype=dtype,
            trainable=trainable,
            autocast=False,
            aggregation=aggregation,
            name=name,
        )

    # Where the schedule stands.

    def progress(self, step: Any = None) -> tf.Tensor:
        """Share of the schedule that is over, float32 in [0, 1]; 0 while it has no length."""
        step = tf.convert_to_tensor(self.step) if step is None else step
        total = tf.cast(tf.convert_to_tensor(self.total_steps), tf.float32)
        return tf.minimum(tf.math.divide_no_nan(tf.cast(step, tf.float32), total), 1.0)

    @property
    def temperature(self) -> tf.Tensor:
        """Temperature of the masks at the current step, float32 scalar."""
        return self.schedule.temperature(self.progress())

    @property
    def density(self) -> tf.Tensor:
        """Expected share of the targets' weights that is kept, `sum s / n`, float32 scalar."""
        sizes = self.budget.sizes
        scores = tf.convert_to_tensor(self.scores)
        if sizes.min() == sizes.max():
            return mean(scores)
        return tf.tensordot(scores, tf.constant(sizes / sizes.sum(), tf.float32), 1)

    # Masks.

    def mask(self) -> tf.Tensor:
        """The mask of the moment without noise, 0 or 1, float32, shape (num_groups,).

        The highest scores that the budget of the moment leaves, equal ones by their order; once the
        mask is fixed, the fixed one.
        """
        scores = tf.convert_to_tensor(self.scores)
        if self.method != "learned":
            return scores
        mask = tf.cond(self._is_settled(), lambda: scores, self._best_mask)
        return tf.stop_gradient(mask)

    def _is_settled(self) -> tf.Tensor:
        return tf.convert_to_tensor(self.settled) > 0

    def _noise_seed(self, draw: int) -> tf.Tensor:
        step = tf.convert_to_tensor(self.step) * self.num_samples + draw
        seed = random.fold_in(random.normalize_seed(self.seed), step)
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            seed = random.fold_in(seed, context.replica_id_in_sync_group)
        return seed

    def _best_mask(self) -> tf.Tensor:
        step = tf.convert_to_tensor(self.step)

        def best():
            return self.budget.top(
                tf.convert_to_tensor(self.scores), self.schedule.pruned(self.progress())
            )

        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            return best()

        def refresh():
            mask = best()
            self._mask.assign(tf.cast(mask, tf.bool))
            self._mask_step.assign(step)
            return mask

        return tf.cond(
            tf.equal(self._mask_step, step), lambda: tf.cast(self._mask, tf.float32), refresh
        )

    def masked_weights(
        self, training: bool = False, draw: int = 0
    ) -> list[tuple[keras.Variable, tf.Tensor]]:
        """Pairs of each target's variable and its masked value, for `keras.StatelessScope`.

        Args:
            training: True for random relaxed masks, with gradients to `scores` and the weights;
                False for `mask()`.
            draw: which of the step's draws; the same step and draw repeat the noise.
        """
        weights = [tf.convert_to_tensor(target.variable) for target in self.targets]
        if training and self.method == "learned":
            masked = noisy_weights(
                tf.convert_to_tensor(self.scores),
                weights,
                self.grids,
                seed=self._noise_seed(draw),
                temperature=self.temperature,
                settled=self._is_settled(),
                hard=self.hard,
                score_gradient=self.score_gradient,
                jit_compile=self._fuses(),
            )
        else:
            masked = mask_weights(self.mask(), weights, self.grids)
        return [(t.variable, value) for t, value in zip(self.targets, masked, strict=True)]

    def _fuses(self) -> bool:
        """Whether XLA compiles what happens to every weight in a step, whatever the model does."""
        eager = self.compiled and self.run_eagerly
        return self.scores.shape[0] >= FUSE_FROM and not eager

    def call(self, inputs, training=None, draw=0):
        pairs = self.masked_weights(bool(training), draw)
        with keras.StatelessScope(pairs, collect_losses=True) as scope:
            # The model hears of `training` from the call around it, if it takes that argument.
            outputs = self.model(inputs)
        masked = {id(variable) for variable, _ in pairs}
        for variable in self.model.variables:
            if id(variable) not in masked:
                # Moving statistics, seeds, metrics: what the model itself updates.
                value = scope.get_current_value(variable)
                if value is not None:
                    variable.assign(value)
        for loss in scope.losses:
            self.add_loss(loss)
        return outputs

    def _best(self, pruned: Any) -> tf.Tensor:
        """The mask of the best groups, by score or by what a baseline ranks them by."""
        weights = [tf.convert_to_tensor(target.variable) for target in self.targets]
        if self.method != "learned":
            ranks = priorities(self.method, weights, self.grids, self.seed)
            return self.budget.top(ranks, pruned)
        scores = tf.convert_to_tensor(self.scores)
        return self.budget.top(scores, pruned, ties=magnitudes(weights, self.grids))
