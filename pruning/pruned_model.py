"""A Keras model that learns which of another model's weights to keep, under an exact budget."""

import functools
import inspect
from collections.abc import Sequence
from random import randrange
from typing import Any

import keras
import tensorflow as tf

from pruning.groups.carriers import Carriers
from pruning.groups.outputs import output_variables
from pruning.groups.structures import parse_structure
from pruning.groups.targets import Filter, candidates, select
from pruning.masks.ranked import RankedMasks
from pruning.masks.relaxed import RelaxedMasks
from pruning.masks.slopes import SLOPES
from pruning.methods import METHODS
from pruning.results.finish import compile_alike, finalize
from pruning.results.report import SparsityReport, sparsity_report
from pruning.training.callbacks import ScheduleLength, StopOnDivergence, comparing_fixed_masks
from pruning.training.learning_rates import cosine_to_end, follow, own_optimizer
from pruning.training.own_steps import defines_training, own_step, own_train_step
from pruning.training.schedules import PruningSchedule
from pruning.training.statistics import MovingStatistics
from tfgumbel.internal import validation
from tfgumbel.internal.files import reading, whole_file


def _already_compiled(model: keras.Model) -> None:
    """Nothing: a model with training of its own is finished in place, and stays compiled."""


@keras.saving.register_keras_serializable(package="tfgumbel")
class PrunedModel(keras.Model):
    """A model whose weights are multiplied by masks, under a budget.

    Made by `tfgumbel.prune`, which documents the arguments. The user's model keeps its layers and
    its variables; a call puts masked weights in their place for its own duration. A training step:

        noise -> mask -> w * m in the model's own call      `call`, `masks.draw`
        loss -> gradients, averaged over draws               `train_step`
        optimizer -> w; method -> s; budget -> s             `update`, `masks.update`

    Attributes:
        model: the user's model; its weights are trained in place.
        targets: tuple of `Target`, the pruned weights in the order of `scores`.
        left: dict from the name of each kernel-like weight that is not pruned to the reason.
        masks: the `Masks`: scores, groups, budget, method and schedule.
        scores: one flat float32 weight, an entry a group of weights: keep probabilities, or the 0/1
            mask of a method that does not learn them.
        step: number of updates so far, an int64 weight.
        total_steps: length of the schedule in updates, an int64 weight; `fit` sets it.
        settled: 1 once the mask is fixed, an int64 weight.
        budget: where and how many weights are kept; `budget.k` in all.
        carriers: the `Carriers` of filters whose masks are learned, else None.
        outputs_unknown: whether filters are pruned that may be the model's outputs, because it
            cannot be seen which are, and nobody said.
        trainable_variables: the weights, without `scores`, which no optimizer moves: their method
            does.
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
        score_learning_rate: float,
        total_steps: int | None,
        seed: int | None,
        renew_statistics: bool = True,
        targets: Filter | None = None,
        exclude: Filter | None = None,
        target_indices: Sequence[int] | None = None,
        left: dict[str, str] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        validation.one_of("method", method, METHODS)
        if not isinstance(schedule, PruningSchedule | None):
            raise TypeError(
                validation.describe(
                    "`schedule` is no schedule.",
                    expected="a pruning.PruningSchedule, or None for the default one",
                    received=schedule,
                    fix="pass pruning.PruningSchedule(start=0.1, end=0.5), say",
                )
            )
        self.num_samples = validation.positive_integer("num_samples", num_samples)
        self.explicit_total = (
            None if total_steps is None else validation.positive_integer("total_steps", total_steps)
        )
        self.model = model
        structure = parse_structure(structure, block)
        whole = output_variables(model) if structure.removes_outputs else set()
        self.outputs_unknown = whole is None and targets is None and exclude is None
        if target_indices is None:
            chosen, left = select(model, targets, exclude, whole or ())
        else:  # from a file, which knows weights by their place
            known = {id(target.variable): target for target in candidates(model)}
            chosen = [known[id(model.weights[i])] for i in target_indices]
        self.targets = tuple(chosen)
        self.left = dict(left or {})
        # Python's generator, which keras.utils.set_random_seed sets.
        seed = randrange(2**31) if seed is None else validation.integer("seed", seed)
        groups = structure.groups(self.targets)
        budget = structure.budget(self.targets, groups, k, scope)
        rate = validation.finite_number("score_learning_rate", score_learning_rate)
        ranking = METHODS[method](groups, budget, seed=seed, learning_rate=rate)
        # Masks that are 0 or 1 all the time have no slope to mend.
        carriers = ranking.relaxed and structure.removes_outputs
        self.carriers = Carriers(model, self.targets, groups) if carriers else None
        make = RelaxedMasks if ranking.relaxed else RankedMasks
        self.masks = make(
            groups,
            budget,
            ranking,
            structure.schedule() if schedule is None else schedule,
            total_steps=self.explicit_total or 0,
            seed=seed,
            num_samples=self.num_samples,
            hard=bool(hard),
            score_gradient=validation.one_of("score_gradient", score_gradient, SLOPES),
            carried=None if self.carriers is None else self.carriers.groups,
        )
        self.statistics = MovingStatistics(model) if renew_statistics else None
        # What a file holds besides the model, the targets and the schedule.
        self._arguments = {
            "k": k,
            "method": method,
            "scope": scope,
            **structure.arguments,
            "num_samples": self.num_samples,
            "hard": bool(hard),
            "score_gradient": score_gradient,
            "score_learning_rate": rate,
            "total_steps": self.explicit_total,
            "seed": seed,
            "renew_statistics": bool(renew_statistics),
        }
        # One fused pass over weights, scores and moments instead of one for each operation.
        self._fused_update = tf.function(self._update_unsettled, jit_compile=True, autograph=False)
        self._own_training = defines_training(model)
        # Of an optimizer given by name; None while the rate is the user's.
        self._initial_rate: float | None = None
        self.built = True

    @property
    def trainable_variables(self):
        return [v for v in super().trainable_variables if v is not self.scores]

    @property
    def trainable_weights(self):
        return [v for v in super().trainable_weights if v is not self.scores]

    # What the masks own.

    scores = property(lambda self: self.masks.scores)
    step = property(lambda self: self.masks.step)
    total_steps = property(lambda self: self.masks.total_steps)
    settled = property(lambda self: self.masks.settled)
    budget = property(lambda self: self.masks.budget)
    schedule = property(lambda self: self.masks.schedule)

    @property
    def temperature(self) -> tf.Tensor:
        """Temperature of the masks at the current step, float32 scalar."""
        return self.masks.temperature

    @property
    def density(self) -> tf.Tensor:
        """Expected share of the targets' weights that is kept, float32 scalar."""
        return self.masks.density

    def progress(self) -> tf.Tensor:
        """Share of the schedule that is over, float32 in [0, 1]; 0 while it has no length."""
        return self.masks.progress()

    def mask(self) -> tf.Tensor:
        """The mask of the moment without noise, 0 or 1, float32, shape (num_groups,).

        The highest scores that the budget of the moment leaves, equal ones by their order; once the
        mask is fixed, the fixed one.
        """
        return self.masks.mask()

    def final_mask(self) -> tf.Tensor:
        """The 0/1 mask of the whole budget, the groups that `finalize` keeps."""
        if int(self.settled.numpy()):
            return tf.convert_to_tensor(self.scores)
        return self.masks.best(self._target_weights())

    # The model's own call, with masked weights.

    def _target_weights(self) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(target.variable) for target in self.targets]

    @property
    def masked_variables(self) -> list[keras.Variable]:
        """The variables of `masked_weights`, in their order."""
        targets = [target.variable for target in self.targets]
        return targets if self.carriers is None else self.carriers.variables

    def _fuses(self) -> bool:
        """Whether XLA compiles what happens to every weight in a step, whatever the model does."""
        eager = self.compiled and self.run_eagerly
        return self.masks.worth_fusing and not eager

    def masked_weights(
        self, training: bool = False, draw: int = 0
    ) -> list[tuple[keras.Variable, tf.Tensor]]:
        """Pairs of each target's variable and its masked value, for `keras.StatelessScope`.

        With them those of other variables that carry a mask; see `pruning.groups.carriers`.

        Args:
            training: True for the masks of a training step, random where they are learned, with
                gradients to `scores` and the weights; False for `mask()`.
            draw: which of the step's draws; the same step and draw repeat the noise.
        """
        weights = self._target_weights()
        carried = weights if self.carriers is None else self.carriers.weights(weights)
        if training:
            masked = self.masks.draw(carried, draw, self._fuses())
        else:
            masked = self.masks.carried.multiply(self.masks.mask(), carried)
        if self.carriers is not None:
            return self.carriers.pairs(weights, masked, self.masks)
        return [(t.variable, value) for t, value in zip(self.targets, masked, strict=True)]

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
                    if training and self.statistics is not None:
                        value = self.statistics.renewed(variable, value, self.masks.batches(draw))
                    variable.assign(value)
        for loss in scope.losses:
            self.add_loss(loss)
        return outputs

    # Training.

    def train_step(self, data):
        """One step: gradients averaged over `num_samples` draws, then `update`.

        The metrics see the predictions of the last draw, the loss that of every draw. A model that
        says itself how it is trained runs its own step; see `pruning.training.own_steps`.
        """
        if self._own_training:
            return own_train_step(self, data)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        variables = [*self.trainable_variables, self.scores]
        batch_size = tf.shape(next(i for i in keras.tree.flatten(x) if i is not None))[0]
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        sums: list[Any] = [None] * len(variables)
        for draw in range(self.num_samples):
            with tf.GradientTape() as tape:
                y_pred = self(x, training=True, draw=draw)
                loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
                scaled = self.optimizer.scale_loss(loss)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss * replicas, sample_weight=batch_size)
            # That of an embedding comes as the slices that were looked up.
            gradients = [
                None if gradient is None else tf.convert_to_tensor(gradient)
                for gradient in tape.gradient(scaled, variables)
            ]
            sums = [
                new if old is None else old if new is None else old + new
                for old, new in zip(sums, gradients, strict=True)
            ]
        *to_weights, to_scores = [None if g is None else g / self.num_samples for g in sums]
        logs = self.update(to_weights, to_scores)
        return {**self.compute_metrics(x, y, y_pred, sample_weight), **logs}

    def test_step(self, data):
        """As Keras's, or the model's own, with the mask of the moment."""
        return own_step(self, "test_step", data) if self._own_training else super().test_step(data)

    @property
    def metrics(self):
        return self.model.metrics if self._own_training else super().metrics

    def update(
        self, gradients: Sequence[Any], to_scores: Any = None, optimizer: Any = None
    ) -> dict[str, tf.Tensor]:
        """Moves the weights by the optimizer and the scores by their method; ends in `project`.

        Args:
            gradients: one for each of `trainable_variables`, in their order.
            to_scores: the gradient of `scores`; None leaves them where they are.
            optimizer: None for the one given to `compile`.

        Returns:
            logs: as `project`.
        """
        optimizer = self.optimizer if optimizer is None else optimizer
        if not optimizer.built:
            with tf.init_scope():
                optimizer.build(self.trainable_variables)
        replicated = tf.distribute.get_strategy().num_replicas_in_sync > 1
        if not self._fuses() or replicated:
            return self._update(list(gradients), to_scores, optimizer)
        # What happens once is compiled by itself: a program claims at each call the memory that
        # its greatest branch would take.
        due = self.masks.settles_next
        logs = self._fused_update(list(gradients), to_scores, optimizer)
        return self.masks.settle(due, self._target_weights(), logs)

    def _update_unsettled(self, gradients, to_scores, optimizer):
        return self._update(gradients, to_scores, optimizer, settle=False)

    def _update(self, gradients, to_scores, optimizer, settle=True):
        pairs = zip(gradients, self.trainable_variables, strict=True)
        known = [(gradient, variable) for gradient, variable in pairs if gradient is not None]
        if known:
            optimizer.apply(*zip(*known, strict=True))
        if to_scores is not None:
            to_scores /= optimizer.scale_loss(tf.ones([]))
        own_rate = self.compiled and optimizer is self.optimizer
        return self.update_masks(to_scores, own_rate, settle)

    def update_masks(
        self, to_scores: Any, own_rate: bool = True, settle: bool = True
    ) -> dict[str, tf.Tensor]:
        """The part of `update` that comes after the weights' step.

        Args:
            to_scores: the gradient of `scores`, or None.
            own_rate: whether the learning rate follows, if it is ours.
            settle: as for `Masks.project`.
        """
        self.masks.watch(self.trainable_variables)
        before = self.progress()
        logs = self.masks.update(self._target_weights(), to_scores, self._fuses(), settle)
        if own_rate:
            self._follow(before)
        return logs

    def _follow(self, before: tf.Tensor) -> None:
        """Moves the learning rate with the schedule, if it is ours."""
        if self._initial_rate is not None:
            follow(self.optimizer, self._initial_rate, before, self.progress())

    def set_length(self, total_steps: int) -> None:
        """Makes the schedule so many updates long, those done so far included."""
        before = self.progress()
        self.total_steps.assign(total_steps)
        self._follow(before)

    def project(self, scores: Any = None) -> dict[str, tf.Tensor]:
        """Ends a step: counts it, and brings the scores back within the budget.

        Args:
            scores: what to project; None for the current `scores`. A fixed mask stays.

        Returns:
            logs: dict of float32 scalars: `density` (`sum s / n`), `temperature`, and `decided`,
            the share of scores at 0 or 1.
        """
        return self.masks.project(self._target_weights(), scores, self._fuses())

    def compile(self, optimizer="adam", *args, **kwargs):
        """As `keras.Model.compile`; an optimizer given by name alone gets our learning rate.

        For the Adam family that is 3e-3, for the others Keras's own, both with cosine decay over
        the schedule. A callback may set another, which then stays. An optimizer instance stays as
        it is.
        """
        self._initial_rate = None
        if isinstance(optimizer, str) and type(self.model).compile is keras.Model.compile:
            optimizer = own_optimizer(optimizer)
            self._initial_rate = float(optimizer.learning_rate.numpy())
            optimizer.learning_rate = self._initial_rate * cosine_to_end(self.progress())
        if self._own_training:
            self._compile_own(optimizer, *args, **kwargs)
            return
        super().compile(optimizer, *args, **kwargs)
        arguments = inspect.signature(super().compile).bind(optimizer, *args, **kwargs).arguments
        # In a partial, where Keras does not look for metrics to track.
        self.compile_alike = functools.partial(compile_alike, arguments)

    def _compile_own(self, *args, **kwargs):
        """The model compiles itself, and its losses and metrics are its own; we run the loop."""
        self.model.compile(*args, **kwargs)
        modes = ("run_eagerly", "jit_compile", "steps_per_execution")
        loop = {name: kwargs[name] for name in modes if name in kwargs}
        super().compile(getattr(self.model, "optimizer", None), **loop)
        self.compile_alike = functools.partial(_already_compiled)

    def get_compile_config(self):
        """As Keras's, with the initial learning rate if it is ours."""
        if type(self.model).compile is not keras.Model.compile:
            return {}  # its arguments are known to the model alone: compile again after loading
        own = self._own_training
        config = self.model.get_compile_config() if own else super().get_compile_config()
        return {**config, "initial_rate": self._initial_rate} if config else config

    def compile_from_config(self, config):
        """Compiles as before saving, and makes the optimizer's variables."""
        arguments = keras.saving.deserialize_keras_object(config)
        rate = arguments.pop("initial_rate")
        self.compile(**arguments)
        self._initial_rate = rate
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def fit(self, *args, **kwargs):
        """As `keras.Model.fit`; the schedule is as long as the epochs asked for.

        With `total_steps` given to `prune` it has that length instead, for training in several
        calls. Once the schedule is over, training goes on with the mask fixed.

        Callbacks that choose among epochs (`EarlyStopping`, `ReduceLROnPlateau`, and
        `ModelCheckpoint` with `save_best_only`) compare those whose mask is fixed, the last fifth
        unless the schedule says otherwise: models before have other budgets.

        Raises:
            FloatingPointError: the weights are NaN or infinite, after the step that made them so.
        """
        call = inspect.signature(super().fit).bind(*args, **kwargs)
        callbacks = call.arguments.get("callbacks")
        own: list[keras.callbacks.Callback] = [
            ScheduleLength(call.arguments.get("initial_epoch", 0)),
            StopOnDivergence(),
        ]
        if isinstance(callbacks, keras.callbacks.CallbackList):
            for callback in own:
                callbacks.append(callback)
                callback.set_model(self)
                callback.set_params(callbacks.params)
            comparing = callbacks.callbacks
        else:
            listed = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
            comparing = [c for c in listed if c is not None]
            call.arguments["callbacks"] = [*own, *comparing]
        with comparing_fixed_masks(self, comparing):
            return super().fit(*call.args, **call.kwargs)

    def train_on_batch(self, *args, **kwargs):
        """As `keras.Model.train_on_batch`; the length of the schedule must be known."""
        if int(self.total_steps.numpy()) == 0:
            raise ValueError(
                validation.describe(
                    "The length of the schedule is unknown, so the budget would never fall.",
                    expected="a model that was told how many steps it will be trained",
                    received="no `total_steps`",
                    fix="prune(..., total_steps=number_of_batches), or train with `fit`",
                )
            )
        return super().train_on_batch(*args, **kwargs)

    # Results.

    def count_params(self):
        """Number of weights of the user's model; scores and what belongs to them do not count."""
        return self.model.count_params()

    def summary(self, **kwargs):
        """Prints that of the user's model, and what is kept of it."""
        self.model.summary(**kwargs)
        size = self.masks.groups.num_weights
        say = kwargs.get("print_fn") or print
        say(f"Pruned to {self.budget.k:,} of the {size:,} weights in {len(self.targets)} kernels")

    def finalize(self, fine_tune: Any = None) -> keras.Model:
        """Writes the best mask into a plain model; see `pruning.results.finish.finalize`."""
        return finalize(self, fine_tune)

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

    def load_weights(self, filepath, skip_mismatch=False, **kwargs):
        """As `keras.Model.load_weights`; a ValueError names a file that is damaged or no match."""
        fix = "delete it if it is damaged and take an older one, or start again; if it belongs to "
        fix += "another model or other arguments of `prune`, make those first"
        with reading(filepath, fix):
            super().load_weights(filepath, skip_mismatch=skip_mismatch, **kwargs)

    def get_config(self):
        places = {id(variable): i for i, variable in enumerate(self.model.weights)}
        model = keras.saving.serialize_keras_object(self.model)
        if self._own_training and type(self.model).compile is keras.Model.compile:
            model.pop("compile_config", None)  # ours says the same
        return {
            "name": self.name,
            "model": model,
            **self._arguments,
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "target_indices": [places[id(target.variable)] for target in self.targets],
            "left": dict(self.left),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for key in ("model", "schedule"):
            config[key] = keras.saving.deserialize_keras_object(
                config[key], custom_objects=custom_objects
            )
        return cls(**config)
