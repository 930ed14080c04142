"""A Keras model that learns which of another model's weights to keep, under an exact budget."""

import contextlib
import functools
import inspect
import os
import random
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from pruning.budgets import make_budget
from pruning.finishing import compile_alike, finalize
from pruning.learning_rates import own_optimizer, track_total_steps
from pruning.magnitude import METHODS, NUM_UPDATES, magnitudes, priorities
from pruning.masking import mask_weights, noisy_weights
from pruning.report import SparsityReport, sparsity_report
from pruning.schedules import PruningSchedule
from pruning.structures import Grid, Structure
from pruning.targets import Filter, candidates, select
from tfgumbel import _random, _validation

# Below 1: at exactly 1 no score has a gradient.
INITIAL_SCORE = 1.0 - 1e-4
# Below so many scores, XLA takes longer to compile than it saves.
FUSE_FROM = 1 << 14


@keras.saving.register_keras_serializable(package="tfgumbel")
class PrunedModel(keras.Model):
    """A model whose weights are multiplied by Bernoulli masks that learn where to be 1.

    Made by `tfgumbel.prune`, which documents the arguments. The user's model keeps its layers and
    its variables; a call puts masked weights in their place for its own duration.

    While training, a call computes `model(x; w * m)` with
    `m_i = sigmoid((logit(s_i) + eps_i) / temperature)`, eps logistic noise (or its rounding, with
    `hard`). Otherwise m is 1 for the highest scores that fit the budget of the moment and 0 for
    the others. After every step s is projected onto `{0 <= s <= 1, sum s <= K}`. In the last part
    of the schedule the mask is the best K, and stays.

    Attributes:
        model: the user's model; its weights are trained in place.
        scores: the keep probabilities s, one flat float32 weight, an entry a group of weights.
        step: number of updates so far, an int64 weight.
        total_steps: length of the schedule in updates, an int64 weight; `fit` sets it.
        settled: 1 once the mask is fixed, an int64 weight.
        targets: list of `Target`, the pruned weights in the order of `scores`.
        left: dict from the name of each kernel-like weight that is not pruned to the reason.
        budget: where and how many weights are kept; `budget.k` in all.
    """

    def __init__(
        self,
        model: keras.Model,
        k: Any = None,
        *,
        method: str = "learned",
        scope: Any = "global",
        structure: Any = "unstructured",
        block: Any = None,
        targets: Filter | None = None,
        exclude: Filter | None = None,
        num_samples: int = 1,
        hard: bool = False,
        schedule: PruningSchedule | None = None,
        score_learning_rate: float = 4.0,
        score_clip: float | None = 0.01,
        total_steps: int | None = None,
        seed: int | None = None,
        target_indices: Sequence[int] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.method = _validation.one_of("method", method, METHODS)
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
        self.num_samples = _validation.positive_integer("num_samples", num_samples)
        self.hard = bool(hard)
        self.schedule = PruningSchedule() if schedule is None else schedule
        self.score_learning_rate = float(score_learning_rate)
        self.score_clip = None if score_clip is None else float(score_clip)
        # Python's generator, which keras.utils.set_random_seed sets.
        self.seed = random.randrange(2**31) if seed is None else int(seed)
        self.grids = tuple(Grid.of(target, self.structure) for target in chosen)
        self.budget = make_budget(chosen, self.grids, k, scope, self.structure)
        self._explicit_total = (
            None
            if total_steps is None
            else _validation.positive_integer("total_steps", total_steps)
        )
        num_groups = len(self.budget.sizes)
        self.scores = self.add_weight(
            shape=(num_groups,),
            initializer=keras.initializers.Constant(
                INITIAL_SCORE if self.method == "learned" else 1.0
            ),
            dtype="float32",
            trainable=self.method == "learned",
            autocast=False,
            aggregation="mean",
            name="scores",
        )
        self.step = self._counter("step", 0)
        self.total_steps = self._counter("total_steps", self._explicit_total or 0)
        self.settled = self._counter("settled", 0)
        self._multiplier = self.add_weight(
            shape=self.budget.multiplier_shape,
            initializer="zeros",
            dtype="float32",
            trainable=False,
            autocast=False,
            aggregation="mean",
            name="multiplier",
        )
        # The mask of an evaluation, and the step it belongs to: picking the best K takes a sort.
        self._mask = tf.Variable(tf.zeros([num_groups], tf.bool), trainable=False, name="mask")
        self._mask_step = tf.Variable(-1, dtype=tf.int64, trainable=False, name="mask_step")
        # One fused pass over weights, scores and moments instead of one for each operation.
        self._fused_update = tf.function(self._update, jit_compile=True, autograph=False)
        self.built = True

    def _counter(self, name: str, value: int) -> keras.Variable:
        return self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(value),
            dtype="int64",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
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
            return tf.reduce_mean(scores)
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
        seed = _random.fold_in(_random.normalize_seed(self.seed), step)
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            seed = _random.fold_in(seed, context.replica_id_in_sync_group)
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

    # Training.

    def compile(self, optimizer="adam", *args, **kwargs):
        """As `keras.Model.compile`; an optimizer given by name alone gets our learning rate.

        For the Adam family that is 3e-3, for the others Keras's own, both with cosine decay over
        the schedule. An optimizer instance is left as it is.
        """
        if isinstance(optimizer, str):
            optimizer = own_optimizer(optimizer)
        track_total_steps(optimizer, self.total_steps)
        super().compile(optimizer, *args, **kwargs)
        arguments = inspect.signature(super().compile).bind(optimizer, *args, **kwargs).arguments
        # In a partial, where Keras does not look for metrics to track.
        self.compile_alike = functools.partial(compile_alike, arguments)

    def compile_from_config(self, config):
        """Compiles as before saving, and makes the optimizer's variables."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def fit(self, *args, **kwargs):
        """As `keras.Model.fit`; the schedule is as long as the epochs asked for.

        With `total_steps` given to `prune` it has that length instead, for training in several
        calls. Once the schedule is over, training goes on with the mask fixed.
        """
        call = inspect.signature(super().fit).bind(*args, **kwargs)
        callbacks = call.arguments.get("callbacks")
        length = _ScheduleLength()
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks.append(length)
            length.set_model(self)
            length.set_params(callbacks.params)
        else:
            listed = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
            call.arguments["callbacks"] = [length, *(c for c in listed if c is not None)]
        return super().fit(*call.args, **call.kwargs)

    def train_step(self, data):
        """One step: gradients averaged over `num_samples` draws, update, projection.

        The metrics see the predictions of the last draw, the loss that of every draw.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        variables = self.trainable_variables
        batch_size = tf.shape(next(i for i in keras.tree.flatten(x) if i is not None))[0]
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        total: list[Any] = [None] * len(variables)
        for draw in range(self.num_samples):
            with tf.GradientTape() as tape:
                y_pred = self(x, training=True, draw=draw)
                loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
                scaled = self.optimizer.scale_loss(loss)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss * replicas, sample_weight=batch_size)
            gradients = tape.gradient(scaled, variables)
            total = [
                new if old is None else old if new is None else old + new
                for old, new in zip(total, gradients, strict=True)
            ]
        if self.num_samples > 1:
            total = [None if g is None else g / self.num_samples for g in total]
        logs = self.update(total)
        return {**self.compute_metrics(x, y, y_pred, sample_weight), **logs}

    def update(self, gradients: Sequence[Any], optimizer: Any = None) -> dict[str, tf.Tensor]:
        """Applies gradients to the weights and, `score_learning_rate` times as fast, the scores.

        Args:
            gradients: one for each of `trainable_variables`, in their order.
            optimizer: None for the one given to `compile`.

        Returns:
            logs: as `project`.
        """
        optimizer = self.optimizer if optimizer is None else optimizer
        if not optimizer.built:
            with tf.init_scope():
                optimizer.build(self.trainable_variables)
        replicated = tf.distribute.get_strategy().num_replicas_in_sync > 1
        update = self._fused_update if self._fuses() and not replicated else self._update
        return update(list(gradients), optimizer)

    def _update(self, gradients, optimizer):
        pairs = []
        for gradient, variable in zip(gradients, self.trainable_variables, strict=True):
            if gradient is None:
                continue
            if variable is self.scores and self.score_clip is not None:
                # Cold masks have heavy-tailed gradients, and one draw would undo many.
                limit = optimizer.scale_loss(tf.constant(self.score_clip))
                gradient = tf.clip_by_value(gradient, -limit, limit)
            pairs.append((gradient, variable))
        previous = tf.identity(tf.convert_to_tensor(self.scores))
        optimizer.apply(*zip(*pairs, strict=True))
        moved = tf.convert_to_tensor(self.scores) - previous
        return self.project(previous + self.score_learning_rate * moved, previous)

    def project(self, scores: Any = None, previous: Any = None) -> dict[str, tf.Tensor]:
        """Ends a step: counts it, and brings the scores back within the budget.

        Args:
            scores: what to project; None for the current `scores`.
            previous: what a fixed mask stays at; None for the current `scores`.

        Returns:
            logs: dict of float32 scalars: `density` (`sum s / n`), `temperature`, and `settled`,
            the share of scores at 0 or 1.
        """
        current = tf.convert_to_tensor(self.scores)
        scores = current if scores is None else scores
        previous = current if previous is None else previous
        multiplier = tf.convert_to_tensor(self._multiplier)
        temperature = self.temperature
        step = tf.convert_to_tensor(self.step) + 1
        progress = self.progress(step)
        pruned = self.schedule.pruned(progress)
        settled = self._is_settled()
        over = progress >= self.schedule.settle

        def learn():
            s, new = self.budget.project(scores, pruned, multiplier, self._fuses())
            return s, tf.cast(new, tf.float32)

        def rank():
            every = tf.maximum(tf.convert_to_tensor(self.total_steps) // NUM_UPDATES, 1)
            due = tf.equal(step % every, 0)
            return tf.cond(due, lambda: self._best(pruned), lambda: previous), multiplier

        s, multiplier = tf.cond(
            settled,
            lambda: (previous, multiplier),
            lambda: tf.cond(
                over,
                lambda: (self._best(1.0, previous), multiplier),
                learn if self.method == "learned" else rank,
            ),
        )
        self.scores.assign(s)
        self._multiplier.assign(multiplier)
        self.settled.assign(tf.cast(tf.logical_or(over, settled), tf.int64))
        self.step.assign(step)
        at_end = tf.reduce_mean(tf.cast(tf.logical_or(s <= 0.0, s >= 1.0), tf.float32))
        return {"density": self.density, "temperature": temperature, "settled": at_end}

    def _best(self, pruned: Any, scores: Any = None) -> tf.Tensor:
        """The mask of the best groups, by score or by what a baseline ranks them by."""
        weights = [tf.convert_to_tensor(target.variable) for target in self.targets]
        if self.method != "learned":
            ranks = priorities(self.method, weights, self.grids, self.seed)
            return self.budget.top(ranks, pruned)
        scores = tf.convert_to_tensor(self.scores) if scores is None else scores
        return self.budget.top(scores, pruned, ties=magnitudes(weights, self.grids))

    # Finish.

    def finalize(self, fine_tune: Any = None) -> keras.Model:
        """Writes the best mask into a plain model; see `pruning.finishing.finalize`."""
        return finalize(self, fine_tune)

    def final_mask(self) -> tf.Tensor:
        """The 0/1 mask of the whole budget, the groups that `finalize` keeps."""
        return tf.convert_to_tensor(self.scores) if int(self.settled.numpy()) else self._best(1.0)

    def report(self, **kwargs: Any) -> SparsityReport:
        """Where the kept weights are and what they cost; see `tfgumbel.sparsity_report`."""
        return sparsity_report(self, **kwargs)

    # Saving.

    def save(self, filepath, overwrite=True, **kwargs):
        """As `keras.Model.save`, but a file appears whole or not at all."""
        with _whole_file(filepath, ".keras", overwrite) as path:
            super().save(path, overwrite=overwrite, **kwargs)

    def save_weights(self, filepath, overwrite=True, **kwargs):
        """As `keras.Model.save_weights`, but a file appears whole or not at all.

        Backups and checkpoints of Keras's callbacks go through here, so that a run killed while it
        writes one still has the one before.
        """
        suffix = ".weights.h5" if not kwargs else ""
        with _whole_file(filepath, suffix, overwrite) as path:
            super().save_weights(path, overwrite=overwrite, **kwargs)

    def get_config(self):
        indices = {id(variable): i for i, variable in enumerate(self.model.weights)}
        block = list(self.structure.sizes) if self.structure.kind == "block" else None
        structure = self.structure.kind
        if structure == "n:m":
            structure = "{}:{}".format(*self.structure.sizes)
        return {
            "name": self.name,
            "model": keras.saving.serialize_keras_object(self.model),
            "k": self.k,
            "method": self.method,
            "scope": self.scope,
            "structure": structure,
            "block": block,
            "num_samples": self.num_samples,
            "hard": self.hard,
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "score_learning_rate": self.score_learning_rate,
            "score_clip": self.score_clip,
            "total_steps": self._explicit_total,
            "seed": self.seed,
            "target_indices": [indices[id(target.variable)] for target in self.targets],
            "left": dict(self.left),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        left = config.pop("left", {})
        for key in ("model", "schedule"):
            config[key] = keras.saving.deserialize_keras_object(
                config[key], custom_objects=custom_objects
            )
        pruned = cls(**config)
        pruned.left = left
        return pruned


@contextlib.contextmanager
def _whole_file(filepath: Any, suffix: str, overwrite: bool) -> Iterator[Any]:
    """Yields a temporary name next to a local file and renames it at the end.

    Other files (remote, in shards, of other formats) and those not to be overwritten are left to
    Keras.
    """
    name = os.fspath(filepath)
    if not suffix or not name.endswith(suffix) or "://" in name or not overwrite:
        yield filepath
        return
    temporary = f"{name.removesuffix(suffix)}.{os.getpid()}.part{suffix}"
    try:
        yield temporary
        os.replace(temporary, name)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


class _ScheduleLength(keras.callbacks.Callback):
    """Gives the pruned model the number of steps that `fit` is about to run."""

    def on_train_begin(self, logs=None):
        if self.model._explicit_total is not None:
            return
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        if not steps or not epochs:
            raise ValueError(
                _validation.describe(
                    "The length of the schedule is unknown.",
                    expected="a data set that says how many steps an epoch has",
                    received={"steps": steps, "epochs": epochs},
                    fix="pass `steps_per_epoch` to `fit`, or `total_steps` to `prune`",
                )
            )
        self.model.total_steps.assign(steps * epochs)
