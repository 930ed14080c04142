"""A Keras model that learns which of another model's weights to keep, under an exact budget."""

import functools
import inspect
import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from pruning.budgets.sums import mean
from pruning.masks.masks import MaskedModel
from pruning.methods.learned import score_step
from pruning.methods.magnitude import NUM_UPDATES
from pruning.results.finish import compile_alike, finalize
from pruning.results.report import SparsityReport, sparsity_report
from pruning.training.learning_rates import own_optimizer, with_length
from pruning.training.schedules import ScheduleLength
from tfgumbel.internal import validation
from tfgumbel.internal.files import whole_file

# Of a score of typical gradient, at the start.
SCORE_LEARNING_RATE = 0.024


@keras.saving.register_keras_serializable(package="tfgumbel")
class PrunedModel(MaskedModel):
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
        trainable_variables: the weights, without `scores`, which no optimizer moves: they have a
            rule of their own (`pruning.methods.learned`).
    """

    def __init__(
        self,
        model: keras.Model,
        k: Any,
        *,
        score_learning_rate: float,
        **kwargs: Any,
    ):
        super().__init__(model, k, **kwargs)
        self.score_learning_rate = validation.finite_number(
            "score_learning_rate", score_learning_rate
        )
        segments = self.budget.segments if self.method == "learned" else ()
        self._momentum = self._vector("momentum", sum(segments))
        self._scale = self._vector("scale", len(segments))
        self._multiplier = self._vector("multiplier", self.budget.num_multipliers)
        # One fused pass over weights, scores and moments instead of one for each operation.
        self._fused_update = tf.function(self._update, jit_compile=True, autograph=False)

    @property
    def trainable_variables(self):
        return [v for v in super().trainable_variables if v is not self.scores]

    @property
    def trainable_weights(self):
        return [v for v in super().trainable_weights if v is not self.scores]

    # Training.

    def compile(self, optimizer="adam", *args, **kwargs):
        """As `keras.Model.compile`; an optimizer given by name alone gets our learning rate.

        For the Adam family that is 3e-3, for the others Keras's own, both with cosine decay over
        the schedule. An optimizer instance is left as it is.
        """
        if isinstance(optimizer, str):
            optimizer = own_optimizer(optimizer, self.total_steps)
        super().compile(optimizer, *args, **kwargs)
        arguments = inspect.signature(super().compile).bind(optimizer, *args, **kwargs).arguments
        # In a partial, where Keras does not look for metrics to track.
        self.compile_alike = functools.partial(compile_alike, arguments)

    def compile_from_config(self, config):
        """Compiles as before saving, and makes the optimizer's variables."""
        arguments = keras.saving.deserialize_keras_object(config)
        self.compile(with_length(arguments.pop("optimizer"), self.total_steps), **arguments)
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def fit(self, *args, **kwargs):
        """As `keras.Model.fit`; the schedule is as long as the epochs asked for.

        With `total_steps` given to `prune` it has that length instead, for training in several
        calls. Once the schedule is over, training goes on with the mask fixed.
        """
        call = inspect.signature(super().fit).bind(*args, **kwargs)
        callbacks = call.arguments.get("callbacks")
        length = ScheduleLength()
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
        variables = [*self.trainable_variables, self.scores]
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
        logs = self.update(total[:-1], total[-1])
        return {**self.compute_metrics(x, y, y_pred, sample_weight), **logs}

    def update(
        self, gradients: Sequence[Any], score_gradient: Any = None, optimizer: Any = None
    ) -> dict[str, tf.Tensor]:
        """Moves the weights by the optimizer and the scores by their own rule; ends in `project`.

        Args:
            gradients: one for each of `trainable_variables`, in their order.
            score_gradient: that of `scores`; None leaves them where they are.
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
        return update(list(gradients), score_gradient, optimizer)

    def _update(self, gradients, score_gradient, optimizer):
        pairs = zip(gradients, self.trainable_variables, strict=True)
        known = [(gradient, variable) for gradient, variable in pairs if gradient is not None]
        if known:
            optimizer.apply(*zip(*known, strict=True))
        if score_gradient is None or self.method != "learned":
            return self.project()
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            score_gradient = context.all_reduce(tf.distribute.ReduceOp.SUM, score_gradient)
        scores = tf.convert_to_tensor(self.scores)
        direction, momentum, scale = score_step(
            score_gradient / optimizer.scale_loss(tf.ones([])),
            scores,
            tf.convert_to_tensor(self._momentum),
            tf.convert_to_tensor(self._scale),
            tf.convert_to_tensor(self.step),
            self.budget.segments,
        )
        self._momentum.assign(momentum)
        self._scale.assign(scale)
        rate = self.score_learning_rate * 0.5 * (1.0 + tf.cos(math.pi * self.progress()))
        return self.project(scores - rate * direction)

    def project(self, scores: Any = None) -> dict[str, tf.Tensor]:
        """Ends a step: counts it, and brings the scores back within the budget.

        Args:
            scores: what to project; None for the current `scores`. A fixed mask stays.

        Returns:
            logs: dict of float32 scalars: `density` (`sum s / n`), `temperature`, and `settled`,
            the share of scores at 0 or 1.
        """
        current = tf.convert_to_tensor(self.scores)
        scores = current if scores is None else scores
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
            return tf.cond(due, lambda: self._best(pruned), lambda: current), multiplier

        s, multiplier = tf.cond(
            settled,
            lambda: (current, multiplier),
            lambda: tf.cond(
                over,
                lambda: (self._best(1.0), multiplier),
                learn if self.method == "learned" else rank,
            ),
        )
        self.scores.assign(s)
        self._multiplier.assign(multiplier)
        self.settled.assign(tf.cast(tf.logical_or(over, settled), tf.int64))
        self.step.assign(step)
        at_end = mean(tf.cast(tf.logical_or(s <= 0.0, s >= 1.0), tf.float32))
        return {"density": self.density, "temperature": temperature, "settled": at_end}

    # Finish.

    def finalize(self, fine_tune: Any = None) -> keras.Model:
        """Writes the best mask into a plain model; see `pruning.results.finish.finalize`."""
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
        with whole_file(filepath, ".keras", overwrite) as path:
            super().save(path, overwrite=overwrite, **kwargs)

    def save_weights(self, filepath, overwrite=True, **kwargs):
        """As `keras.Model.save_weights`, but a file appears whole or not at all.

        Backups and checkpoints of Keras's callbacks go through here, so that a run killed while it
        writes one still has the one before.
        """
        suffix = ".weights.h5" if not kwargs else ""
        with whole_file(filepath, suffix, overwrite) as path:
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
            "score_gradient": self.score_gradient,
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "score_learning_rate": self.score_learning_rate,
            "total_steps": self.explicit_total,
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
