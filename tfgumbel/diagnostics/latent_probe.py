"""Runs a model's training step to look at it, and leaves the model as it was.

The step is traced in a function of its own, in which every discrete layer shows what it does
(`tfgumbel.internal.observation`) and draws by seeds given from outside. What the step writes, seeds
of other layers, batch statistics, metrics, in a step of the user's own the weights too, is put
back.
"""

import contextlib
import dataclasses
import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel.distributions.abilities import Variable
from tfgumbel.internal import observation, random, validation
from tfgumbel.layers.base import DiscreteLayer

# A loss of a model's batch, in training mode: a scalar.
Loss = Callable[[Any, Any], Any]

# Operations that take a variable and leave it alone.
_READING = {"ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape"}


@dataclasses.dataclass
class Call:
    """One call of a discrete layer in a run.

    Attributes:
        layer: Which.
        logits: As the estimator gets them: classes last, float32 or float64.
        sample: What it made of them.
        gradient: Of the loss for the logits, through the sample alone.
        upstream: Of the loss for the sample.
        training: How the layer was called.
    """

    layer: DiscreteLayer
    logits: tf.Tensor
    sample: tf.Tensor
    gradient: tf.Tensor
    upstream: tf.Tensor
    training: bool


@dataclasses.dataclass
class Run:
    """One run of the step: its loss, NaN where it told none, and the calls that were seen."""

    loss: tf.Tensor
    calls: list[Call]


class _Observation:
    """Sees the calls of one traced run, moves logits and rounds samples."""

    def __init__(self, seed: tf.Tensor, shifts: Any = None, rounded: Any = None):
        self._seed, self._shifts, self._rounded = seed, shifts, rounded
        self._graph = tf.compat.v1.get_default_graph()
        self._draws = itertools.count()
        self.tape: tf.GradientTape | None = None
        self.seen: list[dict[str, Any]] = []

    def seed(self) -> tf.Tensor | None:
        return random.fold_in(self._seed, next(self._draws)) if self._inside() else None

    def output(
        self, layer: DiscreteLayer, logits: tf.Tensor, training: bool, answer: observation.Answer
    ) -> tf.Tensor:
        if not isinstance(layer.variable, Variable):
            return answer(logits, training)  # Subsets and permutations are not measured.
        if not self._inside():
            return answer(logits, training)
        index = len(self.seen)
        if self._shifts is not None:
            logits += tf.cast(self._shifts[index], logits.dtype)
        if self.tape is not None:
            self.tape.watch(logits)  # What is before the layer may be frozen.
        call: dict[str, Any] = {"layer": layer, "training": bool(training), "logits": logits}
        call["gradient"], call["upstream"] = [], []
        self.seen.append(call)
        sample = answer(_tap(logits, call["gradient"]), training)
        if self._rounded is not None:
            sample = tf.where(self._rounded[index], round_sample(layer, sample), sample)
        call["sample"] = sample
        if self.tape is not None:
            self.tape.watch(sample)  # The estimator may have no gradient.
        return _tap(sample, call["upstream"])

    def _inside(self) -> bool:
        # Tensors of a loop's body, or of a tf.function inside, are out of reach.
        return tf.compat.v1.get_default_graph() is self._graph

    def tensors(self, scale: tf.Tensor) -> list[dict[str, tf.Tensor]]:
        """What was seen, without what has no gradient: that of a loss times `scale`."""

        def total(parts: list[tf.Tensor], like: tf.Tensor) -> tf.Tensor:
            return tf.add_n(parts) / tf.cast(scale, like.dtype) if parts else tf.zeros_like(like)

        return [
            {
                "logits": call["logits"],
                "sample": call["sample"],
                "gradient": total(call["gradient"], call["logits"]),
                "upstream": total(call["upstream"], call["sample"]),
            }
            for call in self.seen
        ]


def round_sample(layer: DiscreteLayer, sample: tf.Tensor) -> tf.Tensor:
    """The discrete sample next to a relaxed one, of a layer whose variable is a `Variable`."""
    variable: Any = layer.variable
    outcomes = variable.num_outcomes(sample.shape)
    one_hot = tf.one_hot(variable.index(sample), outcomes, dtype=sample.dtype)
    return variable.from_one_hot(one_hot)


class Probe:
    """Runs of one model's step.

    Args:
        model: A Keras model.
        loss: `loss(model, batch)`, in training mode; None for the model's own: `compute_loss`, or
            where it has a `train_step` of its own, that step and the "loss" among its logs.

    Attributes:
        explains_loss: Whether the loss is the one that is differentiated.
        tells_loss: Whether there is one.
        scaled: Whether gradients go through a loss scale, and may overflow now and then.
    """

    def __init__(self, model: Any, loss: Loss | None = None):
        self._model = model
        self._own_step = loss is None and type(model).train_step is not keras.Model.train_step
        self._loss = loss or _compiled_loss
        self._functions: dict[Any, tuple[Any, list[_Observation]]] = {}
        self.explains_loss = not self._own_step
        self.tells_loss = True
        self.scaled = isinstance(
            getattr(model, "optimizer", None), keras.optimizers.LossScaleOptimizer
        )

    def gradients(self, batch: Any, seed: tf.Tensor) -> Run:
        """Runs the step in training mode, with its gradients."""
        return self._run("gradients", self._gradient_step, batch, seed)

    def _gradient_step(self, batch: Any, seed: tf.Tensor) -> Any:
        seen = _Observation(seed)
        scale = self._loss_scale()
        with observation.observe(seen):
            if self._own_step:
                loss = self._run_own_step(batch)
            else:
                with tf.GradientTape() as tape:
                    seen.tape = tape
                    loss = self._scalar_loss(batch)
                    scaled = loss * tf.cast(scale, loss.dtype)
                tape.gradient(
                    scaled, [call[at] for call in seen.seen for at in ("logits", "sample")]
                )
        return loss, seen.tensors(scale), seen

    def loss(
        self, batch: Any, seed: tf.Tensor, shifts: Sequence[tf.Tensor], rounded: Sequence[bool]
    ) -> float:
        """The loss in training mode, the logits of each call moved, its samples rounded or not."""

        def step(batch: Any, seed: tf.Tensor, shifts: Any, rounded: Any) -> Any:
            seen = _Observation(seed, shifts, rounded)
            with observation.observe(seen):
                if self._own_step:
                    loss = self._run_own_step(batch)
                else:
                    loss = self._scalar_loss(batch)
            return loss, [], seen

        run = self._run("loss", step, batch, seed, list(shifts), tf.constant(rounded))
        return float(run.loss)

    def evaluation(self, batch: Any, seed: tf.Tensor) -> Run | None:
        """Runs the model as `evaluate` does; None if it can only be trained."""
        model = self._model

        def step(batch: Any, seed: tf.Tensor) -> Any:
            seen = _Observation(seed)
            with observation.observe(seen):
                if type(model).test_step is not keras.Model.test_step:
                    model.test_step(batch)
                else:
                    _call(model, keras.utils.unpack_x_y_sample_weight(batch)[0], training=False)
            return tf.constant(np.nan), seen.tensors(tf.constant(1.0)), seen

        if self._own_step and type(model).test_step is keras.Model.test_step:
            if type(model).call is keras.Model.call:
                return None
        seen = self._function("gradients", self._gradient_step)[1]
        modes = tuple(call["layer"].inference for call in seen[-1].seen) if seen else ()
        return self._run(("evaluation", modes), step, batch, seed)

    def _scalar_loss(self, batch: Any) -> tf.Tensor:
        return tf.reduce_mean(tf.convert_to_tensor(self._loss(self._model, batch)))

    def _run_own_step(self, batch: Any) -> tf.Tensor:
        self._model.reset_metrics()  # Those of this batch alone.
        logs = self._model.train_step(batch) or {}
        self.tells_loss = "loss" in logs
        loss = logs.get("loss", np.nan)
        return tf.reduce_mean(tf.cast(tf.convert_to_tensor(loss), tf.float32))

    def _loss_scale(self) -> tf.Tensor:
        if self.scaled and self._model.optimizer.built:
            return tf.convert_to_tensor(self._model.optimizer.dynamic_scale)
        return tf.constant(1.0)

    def _function(self, key: Any, step: Callable[..., Any]) -> tuple[Any, list[_Observation]]:
        """The traced step of a kind, and what each of its traces saw."""
        if key not in self._functions:
            observations: list[_Observation] = []

            def traced(*arguments: Any) -> Any:
                loss, tensors, seen = step(*arguments)
                observations.append(seen)
                return loss, tensors

            self._functions[key] = tf.function(traced, autograph=False), observations
        return self._functions[key]

    def _run(self, key: Any, step: Callable[..., Any], *arguments: Any) -> Run:
        function, observations = self._function(key, step)
        with _restored(_written(function.get_concrete_function(*arguments))):
            loss, tensors = function(*arguments)
        seen = observations[-1]
        calls = [
            Call(layer=call["layer"], training=call["training"], **values)
            for call, values in zip(seen.seen, tensors, strict=False)
        ]
        return Run(loss, calls)


def read_batches(data: Any, num_batches: int, batch_size: int) -> list[Any]:
    """The first batches of what `fit` would take, as tensors.

    Args:
        data: A batched `tf.data.Dataset`; a `keras.utils.PyDataset`; or arrays: x, (x,), (x, y) or
            (x, y, sample_weight), each an array or a nest of them.
        num_batches: How many, at most.
        batch_size: Of arrays.

    Raises:
        TypeError: if it is none of these, as a generator, which `fit` needs for itself.
        ValueError: if it is empty.
    """
    if isinstance(data, tf.data.Dataset):
        batches = list(data.take(num_batches))
    elif isinstance(data, keras.utils.PyDataset):
        batches = [data[index] for index in range(min(num_batches, len(data)))]
    elif isinstance(data, Iterator) or inspect.isgenerator(data) or data is None:
        raise TypeError(
            validation.describe(
                "`data` cannot be looked at.",
                expected="arrays x, (x,), (x, y) or (x, y, sample_weight); a batched "
                "tf.data.Dataset or a keras.utils.PyDataset",
                received=type(data).__name__,
                fix="pass a batch or two of what the generator gives, as arrays",
            )
        )
    else:
        arrays = tf.nest.map_structure(np.asarray, data)
        size = min(len(array) for array in tf.nest.flatten(arrays))
        # A last batch that is not full would be traced, and weighed, by itself.
        ends = range(batch_size, max(size, batch_size) + 1, batch_size)
        batches = [
            tf.nest.map_structure(lambda array, end=end: array[end - batch_size : end], arrays)
            for end in itertools.islice(ends, num_batches)
            if size
        ]
    if not batches:
        raise ValueError(
            validation.describe(
                "`data` is empty.",
                expected="a batch at least",
                received="none",
                fix="pass some examples of the training data",
            )
        )
    return [tf.nest.map_structure(_tensor, batch) for batch in batches]


def _tensor(array: Any) -> tf.Tensor:
    """As Keras's own adapters: floating arrays in Keras's float type."""
    if isinstance(array, np.ndarray) and array.dtype.kind == "f":
        return tf.convert_to_tensor(array.astype(keras.config.floatx()))
    return tf.convert_to_tensor(array)


def _compiled_loss(model: Any, batch: Any) -> Any:
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    predictions = _call(model, x, training=True)
    takes_training = "training" in inspect.signature(model.compute_loss).parameters
    return model.compute_loss(
        x=x,
        y=y,
        y_pred=predictions,
        sample_weight=sample_weight,
        **({"training": True} if takes_training else {}),
    )


def _call(model: Any, x: Any, training: bool) -> Any:
    takes_training = "training" in inspect.signature(model.call).parameters
    return model(x, **({"training": training} if takes_training else {}))


def _tap(tensor: tf.Tensor, gradients: list[tf.Tensor]) -> tf.Tensor:
    """The tensor itself; the gradient that arrives at it is noted."""

    @tf.custom_gradient
    def identity(tensor: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            gradients.append(upstream)
            return upstream

        return tf.identity(tensor), gradient

    return identity(tensor)


def _written(concrete: Any) -> list[tf.Variable]:
    """The variables that a traced function may assign."""
    graph = concrete.graph
    written = set()
    for external, inner in graph.captures:
        if external.dtype == tf.resource:
            if any(op.type not in _READING for op in inner.consumers()):
                written.add(id(external))
    return [variable for variable in graph.variables if id(variable.handle) in written]


@contextlib.contextmanager
def _restored(variables: Sequence[tf.Variable]) -> Iterator[None]:
    """Puts the variables' values back when the block is left."""
    values = [tf.identity(variable) for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
