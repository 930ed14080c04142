"""The masks of a model: scores of its groups, held within a budget that a schedule tightens."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from pruning.budgets.budget import Budget
from pruning.budgets.sums import mean, total
from pruning.groups.groups import Groups
from pruning.methods.method import Method, Moment
from pruning.training.schedules import PruningSchedule

# Below so many scores, XLA takes longer to compile than it saves.
FUSE_FROM = 1 << 14


class Masks(keras.layers.Layer):
    """What a pruned model multiplies its weights by, and how that changes; a layer without a call.

    Subclasses say what scores are: `RelaxedMasks`, probabilities of random masks; `RankedMasks`,
    the 0/1 mask itself. `weights` are always the tensors of the pruned variables, in order.

    Args:
        groups: the `Groups` of the pruned variables.
        budget: a `Budget` of these groups.
        method: a `Method`, which ranks them.
        schedule: a `PruningSchedule`.
        total_steps: its length in steps, 0 while unknown.
        seed: of the noise, an int.
        num_samples: draws of a step.
        hard: whether drawn masks are rounded.
        score_gradient: the slope of a drawn mask, a name of `masks.slopes.SLOPES`.
        carried: the same groups of the weights that `draw` multiplies, where those are others than
            the pruned variables.

    Attributes:
        scores: one for each group, float32 variable, shape (num_groups,).
        step: number of updates so far, an int64 variable.
        total_steps: length of the schedule in updates, an int64 variable.
        settled: 1 once the mask is fixed, an int64 variable.
        fine_tuned: updates since the mask is fixed, an int64 variable.
        diverged: the update after which weights were no finite numbers, an int64 variable; 0 while
            they are.
    """

    def __init__(
        self,
        groups: Groups,
        budget: Budget,
        method: Method,
        schedule: PruningSchedule,
        *,
        total_steps: int,
        seed: int,
        num_samples: int = 1,
        hard: bool = False,
        score_gradient: str = "reinmax",
        carried: Groups | None = None,
    ):
        super().__init__(name="masks")
        self.groups, self.budget, self.method = groups, budget, method
        self.carried = groups if carried is None else carried
        self.schedule = schedule
        self.seed, self.num_samples = seed, num_samples
        self.hard, self.score_gradient = hard, score_gradient
        self.scores = self._vector(
            "scores", groups.num_groups, method.initial_score, method.uses_gradients
        )
        self.step = self._counter("step", 0)
        self.total_steps = self._counter("total_steps", total_steps)
        self.settled = self._counter("settled", 0)
        self.fine_tuned = self._counter("fine_tuned", 0)
        self.diverged = self._counter("diverged", 0)
        self.multiplier = self._vector("multiplier", budget.num_multipliers)
        # As attributes: TensorFlow's checkpoints find no variable inside a dictionary.
        self._remembered = tuple(method.memory())
        for name, length in method.memory().items():
            setattr(self, f"memory_{name}", self._vector(name, length))
        self.built = True

    def _vector(
        self, name: str, length: int, value: float = 0.0, trainable: bool = False
    ) -> keras.Variable:
        return self._variable(name, (length,), value, "float32", "mean", trainable)

    def _counter(self, name: str, value: int) -> keras.Variable:
        return self._variable(name, (), value, "int64", "only_first_replica", False)

    def _variable(
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
        length = tf.cast(tf.convert_to_tensor(self.total_steps), tf.float32)
        return tf.minimum(tf.math.divide_no_nan(tf.cast(step, tf.float32), length), 1.0)

    @property
    def temperature(self) -> tf.Tensor:
        """Temperature of the masks at the current step, float32 scalar."""
        return self.schedule.temperature(self.progress())

    @property
    def density(self) -> tf.Tensor:
        """Expected share of the weights that is kept, float32 scalar."""
        scores = tf.convert_to_tensor(self.scores)
        if self.groups.uniform_size is not None:
            return mean(scores)
        sizes = tf.cast(self.groups.sizes(), tf.float32)
        return total(scores * sizes) / self.groups.num_weights

    @property
    def is_settled(self) -> tf.Tensor:
        """Whether the mask is fixed, scalar boolean."""
        return tf.convert_to_tensor(self.settled) > 0

    def batches(self, draw: int = 0) -> tf.Tensor:
        """Batches seen with the fixed mask before this draw; -1 while it is not fixed."""
        seen = tf.convert_to_tensor(self.fine_tuned) * self.num_samples + draw
        return tf.where(self.is_settled, seen, -1)

    @property
    def memory(self) -> dict[str, keras.Variable]:
        """What the method remembers between steps, by its own names."""
        return {name: getattr(self, f"memory_{name}") for name in self._remembered}

    @property
    def worth_fusing(self) -> bool:
        """Whether XLA saves more than it takes to compile what happens to every weight."""
        return self.groups.num_groups >= FUSE_FROM

    # Masks.

    def mask(self) -> tf.Tensor:
        """The mask of the moment without noise, 0 or 1, float32, shape (num_groups,)."""
        raise NotImplementedError

    def draw(
        self, weights: Sequence[tf.Tensor], index: int = 0, jit_compile: bool = True
    ) -> list[tf.Tensor]:
        """The masked weights of a training step, with gradients to `scores` and the weights.

        Args:
            weights: tensors of the pruned variables, or of what carries their masks.
            index: which of the step's draws; the same step and index repeat the noise.
            jit_compile: whether to compile with XLA.
        """
        raise NotImplementedError

    def best(self, weights: Sequence[tf.Tensor], tightness: Any = 1.0) -> tf.Tensor:
        """The 0/1 mask of the best groups that fit the budget, float32, shape (num_groups,)."""
        raise NotImplementedError

    # A step.

    def watch(self, variables: Sequence[Any]) -> None:
        """Notes the step in `diverged` if weights are no finite numbers, unless it was noted."""
        # A sum is finite where all its terms are: one pass that vectorises.
        sums = [total(tf.reshape(tf.cast(v, tf.float32), [-1])) for v in variables]
        if sums:
            fine = tf.reduce_all(tf.math.is_finite(tf.stack(sums)))
            noted, step = (tf.convert_to_tensor(v) for v in (self.diverged, self.step))
            self.diverged.assign(tf.where(fine | (noted > 0), noted, step + 1))

    def update(
        self,
        weights: Sequence[tf.Tensor],
        gradient: Any = None,
        jit_compile: bool = True,
        settle: bool = True,
    ) -> dict[str, tf.Tensor]:
        """Ends a step: the method learns from the gradient, then the budget projects.

        Args:
            weights: tensors of the pruned variables, as the optimizer left them.
            gradient: of the loss to the scores, summed here over replicas; None for none.
            jit_compile: whether to compile with XLA.
            settle: as for `project`.

        Returns:
            logs: as `project`.
        """
        if gradient is None or not self.method.uses_gradients:
            return self.project(weights, jit_compile=jit_compile, settle=settle)
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            gradient = context.all_reduce(tf.distribute.ReduceOp.SUM, gradient)
        moment = self._moment(weights)
        memory = self.method.observe(gradient, moment)
        for name, value in memory.items():
            self.memory[name].assign(value)
        moved = self._moved(moment._replace(memory=memory))
        return self.project(weights, moved, jit_compile, settle)

    def project(
        self,
        weights: Sequence[tf.Tensor],
        scores: Any = None,
        jit_compile: bool = True,
        settle: bool = True,
    ) -> dict[str, tf.Tensor]:
        """Counts the step, and brings the scores back within the budget of the moment.

        Args:
            weights: tensors of the pruned variables.
            scores: what to project; None for the current ones. A fixed mask stays.
            jit_compile: whether to compile with XLA.
            settle: whether the mask is fixed here when that is due; False leaves it to a call of
                `settle`, for which the scores stay as they are.

        Returns:
            logs: dict of float32 scalars: `density`, `temperature`, and `decided`, the share of
            scores at 0 or 1.
        """
        current = tf.convert_to_tensor(self.scores)
        multiplier = tf.convert_to_tensor(self.multiplier)
        temperature = self.temperature
        step = tf.convert_to_tensor(self.step) + 1
        progress = self.progress(step)
        settled, due = self.is_settled, self.settles_next
        s, multiplier = tf.cond(
            settled | due,
            lambda: (current, multiplier),
            lambda: self._feasible(
                current if scores is None else scores,
                weights,
                step,
                self.schedule.tightness(progress),
                multiplier,
                jit_compile,
            ),
        )
        self.scores.assign(s)
        self.multiplier.assign(multiplier)
        self.fine_tuned.assign_add(tf.cast(settled, tf.int64))
        self.step.assign(step)
        logs = {**self._state(), "temperature": temperature}
        return self.settle(due, weights, logs) if settle else logs

    @property
    def settles_next(self) -> tf.Tensor:
        """Whether the next step is the one that fixes the mask, scalar boolean."""
        over = self.progress(tf.convert_to_tensor(self.step) + 1) >= self.schedule.settle
        return over & ~self.is_settled

    def settle(
        self, due: tf.Tensor, weights: Sequence[tf.Tensor], logs: dict[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Fixes the mask if that is due: the part of `project` that happens once.

        Args:
            due: what `settles_next` was before the step.
            weights: tensors of the pruned variables.
            logs: of the step.

        Returns:
            logs: as they are now.
        """
        settled = self.settled
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            # Replicas cannot agree on a value inside a branch.
            current = tf.convert_to_tensor(self.scores)
            self.scores.assign(tf.cond(due, lambda: self.best(weights), lambda: current))
            settled.assign(tf.maximum(tf.convert_to_tensor(settled), tf.cast(due, tf.int64)))
            return {**logs, **self._state()}

        def fix():
            self.scores.assign(self.best(weights))
            settled.assign(1)
            return {**logs, **self._state()}

        # Not by a choice of values: that would copy the scores at every step.
        return tf.cond(due, fix, lambda: tf.nest.map_structure(tf.identity, logs))

    def _state(self) -> dict[str, tf.Tensor]:
        scores = tf.convert_to_tensor(self.scores)
        decided = mean(tf.cast(tf.logical_or(scores <= 0.0, scores >= 1.0), tf.float32))
        return {"density": self.density, "decided": decided}

    def _moment(self, weights: Sequence[tf.Tensor]) -> Moment:
        return Moment(
            scores=tf.convert_to_tensor(self.scores),
            weights=weights,
            memory={name: tf.convert_to_tensor(value) for name, value in self.memory.items()},
            step=tf.convert_to_tensor(self.step),
            progress=self.progress(),
        )

    def _moved(self, moment: Moment) -> tf.Tensor:
        """What the method makes of the scores before the budget projects them."""
        raise NotImplementedError

    def _feasible(self, scores, weights, step, tightness, multiplier, jit_compile):
        """Scores within the budget of the moment, and where the next search starts."""
        raise NotImplementedError
