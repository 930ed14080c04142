"""What every layer shares: temperature, inference, seed, precision and saving."""

import math
import numbers
import threading
import warnings
import weakref
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import keras
import tensorflow as tf
from keras.optimizers.schedules import LearningRateSchedule

from tfgumbel import registry, schedules
from tfgumbel.distributions.abilities import Kind
from tfgumbel.internal import observation, random, validation

Temperature: TypeAlias = float | LearningRateSchedule | Literal["learnable"]
Inference: TypeAlias = Literal["sample", "argmax", "probs"]

# The discrete counterpart of a relaxed estimator: what its model stands for outside training.
_ROUNDED = "straight_through_gumbel_softmax"
# A seed is read, moved on and written in one piece, whatever the number of Python threads.
_SEED_LOCK = threading.Lock()


class DiscreteLayer(keras.layers.Layer):
    """A face on one estimator of the registry: logits in, samples out, in the layer's dtype.

    Not to be used itself; `CategoricalLayer` and `BernoulliLayer` take any estimator by name.

    Args:
        estimator: A name in `tfgumbel.registry.REGISTRY`.
        temperature: A positive float; a schedule, a function of this layer's own training calls;
            or "learnable", the exponential of a trained weight. Ignored as a float by estimators
            without a temperature. The current one is a weight: saved, restored, and readable as
            `layer.temperature`; a float's can be set, `layer.temperature = 0.3`. What is scheduled
            or learned stays at 1e-3 or above.
        initial_temperature: Where "learnable" starts.
        inference: What is returned when not training.
            "sample", the default: a discrete sample, from relaxed estimators too. The layer is a
            random variable of the model; what follows it was trained on samples, so only samples
            make `evaluate` estimate the objective that `fit` minimises. "argmax": the most likely
            value, for predictions that must not vary; a one-hot, but its loss is not the
            objective's, and it has no gradient. "probs": the expected sample, deterministic and
            differentiable, but no sample: what follows has never seen its like.
        seed: Int, or None for a random one. The noise moves on with every draw, and where it stands
            is a weight, `seed_state`: in `.keras` and `.weights.h5` files, in checkpoints and
            backups, so a resumed run goes on with the noise it would have drawn. Two layers with
            the same int draw the same noise: give each its own, or None. Replicas of
            `tf.distribute` draw different noise, and so do calls from several Python threads;
            a function that was traced once must not run in two threads at a time, though.
        **kwargs: The estimator's options, then the arguments of `keras.layers.Layer`.

    Raises:
        TypeError: if a temperature is no number, schedule or "learnable", or `seed` no int.
        ValueError: if the estimator is unknown, of the other kind, or refuses the temperature or
            an option; if `inference` is unknown; if the temperature is "learnable" or scheduled
            where the estimator cannot follow.
    """

    kinds: ClassVar[tuple[Kind, ...]]

    def __init__(
        self,
        estimator: str,
        *,
        temperature: Temperature = 1.0,
        initial_temperature: float = 1.0,
        inference: Inference = "sample",
        seed: int | None = None,
        **kwargs: Any,
    ):
        entry = _entry(estimator, self.kinds)
        self.variable = entry.variable
        options = {
            name: kwargs.pop(name, parameter.default)
            for name, parameter in entry.parameters.items()
            if name not in ("logits", "temperature", "seed")
            and (name in kwargs or parameter.default is not parameter.empty)
        }
        super().__init__(**kwargs)
        _check_temperature(temperature, initial_temperature, entry)
        self.seed = checked_seed(seed)
        self.supports_masking = True
        self._traced = False
        self.inference = inference
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        # As an attribute of the layer, and not of the generator alone, the state is a weight.
        self.seed_state = self.seed_generator.state
        self.seed_state.discrete_owner = weakref.ref(self)  # For LatentMonitor.
        self._entry = entry
        self._options = tuple(options.items())  # Keras would wrap a dict, and SavedModel refuse it.
        self._initial_temperature = initial_temperature
        self._argument = temperature
        self._learnable = isinstance(temperature, str)
        self._schedule = temperature if isinstance(temperature, LearningRateSchedule) else None
        self._make_temperature()
        with tf.init_scope():  # Executed eagerly, the estimator checks temperature and options.
            entry(self._example(), temperature=self.temperature, seed=0, **options)

    def _example(self) -> tf.Tensor:
        """Logits that the estimator's options are tried with."""
        return tf.zeros([1, 2])

    def _make_temperature(self) -> None:
        """Makes the weights; they keep float32 or better under every dtype policy."""
        self._temperature: Any = None
        if not self._entry.takes_temperature:
            return
        if self._learnable:
            initial = math.log(self._initial_temperature)
        else:
            initial = float(self._schedule(0) if self._schedule else self._argument)
            if self._schedule:
                validation.temperature_tensor(initial, tf.float32, allow_zero=True)
                initial = float(schedules.floored(initial))
        self._temperature = self.add_weight(
            name="log_temperature" if self._learnable else "temperature",
            shape=(),
            initializer=lambda shape, dtype: tf.constant(initial, dtype),  # Keras's is float32.
            dtype="float64" if self.variable_dtype == "float64" else "float32",
            trainable=self._learnable,
            autocast=False,
        )
        self._temperature.temperature_owner = weakref.ref(self)  # For TemperatureSchedule.
        if self._schedule is not None:
            self._step = self.add_weight(
                name="step", shape=(), initializer="zeros", dtype="int64", trainable=False
            )

    @property
    def estimator(self) -> str:
        """The estimator's name in the registry."""
        return self._entry.name

    @property
    def temperature(self) -> Any:
        """The current temperature, a scalar tensor; None where the estimator has none."""
        if self._temperature is None:
            return None
        value = tf.convert_to_tensor(self._temperature)  # keras.ops leaves a mirrored one as it is.
        return schedules.floored(tf.exp(value)) if self._learnable else value

    @temperature.setter
    def temperature(self, value: Any) -> None:
        if self._temperature is None or self._learnable or self._schedule is not None:
            raise ValueError(
                validation.describe(
                    f"The temperature of layer {self.name!r} cannot be set.",
                    expected="a layer constructed with a float temperature",
                    received="one that learns it"
                    if self._learnable
                    else "one that owns a schedule"
                    if self._schedule is not None
                    else f"{self.estimator}, which has none",
                    fix="construct it with temperature=1.0, or leave its temperature alone",
                )
            )
        variable = tf.convert_to_tensor(self._temperature)
        value = validation.temperature_tensor(value, variable.dtype, allow_zero=self._allows_zero)
        self._temperature.assign(value)

    @property
    def _allows_zero(self) -> bool:
        return dict(self._options).get("num_samples") == "exact"

    @property
    def inference(self) -> Inference:
        """What is returned when not training: "sample", "argmax" or "probs"."""
        return self._inference

    @inference.setter
    def inference(self, value: Inference) -> None:
        self._inference = validation.one_of("inference", value, get_args(Inference))
        if self._traced:
            warnings.warn(
                f"Layer {self.name!r} was traced already; functions traced before keep its former "
                "`inference`. Call model.make_predict_function(force=True), and "
                "model.make_test_function(force=True), or compile the model again.",
                stacklevel=2,
            )

    def _evaluate(self, logits: tf.Tensor, training: bool) -> tf.Tensor:
        """Returns a sample, the mode or the probabilities for prepared logits."""
        observer = observation.current()
        if observer is not None:
            return observer.output(self, logits, training, self._answer)
        self._traced = self._traced or (tf.inside_function() and not training)
        return self._answer(logits, training)

    def _answer(self, logits: tf.Tensor, training: bool) -> tf.Tensor:
        if training:
            self._follow_schedule()
            return self._draw(logits)
        if self.inference == "probs":
            return self._probs(logits)
        if self.inference == "argmax":
            return self.variable.mode(logits, **self._own_options())
        return self._sample(logits)

    def _sample(self, logits: tf.Tensor) -> tf.Tensor:
        if self._entry.family is not None and not self._entry.hard:
            rounded = registry.counterpart(registry.get(_ROUNDED), self.variable)
            return rounded(
                logits,
                temperature=self.temperature,
                seed=self._next_seed(),
                **self._own_options(),
            )
        return self._draw(logits)

    def _draw(self, logits: tf.Tensor) -> tf.Tensor:
        return self._entry(
            logits, temperature=self.temperature, seed=self._next_seed(), **dict(self._options)
        )

    def _probs(self, logits: tf.Tensor) -> tf.Tensor:
        return self.variable.mean(logits, **self._own_options())

    def _own_options(self) -> dict[str, Any]:
        """The options that belong to the variable, whatever the estimator."""
        options = dict(self._options)
        return {name: options[name] for name in self.variable.parameters}

    def _distribution(self, logits: tf.Tensor) -> Any:
        return self._entry.distribution(logits, temperature=self.temperature, **dict(self._options))

    def _follow_schedule(self) -> None:
        if self._schedule is not None:
            value = self._schedule(tf.convert_to_tensor(self._step))
            self._temperature.assign(schedules.floored(value))
            self._step.assign_add(1)

    def _next_seed(self) -> tf.Tensor:
        observer = observation.current()
        given = None if observer is None else observer.seed()
        return next_seed(self.seed_generator) if given is None else given

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def compute_output_spec(self, inputs: Any, *args: Any, **kwargs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "temperature": keras.saving.serialize_keras_object(self._argument),
            "initial_temperature": self._initial_temperature,
            "inference": self.inference,
            "seed": self.seed,
            **dict(self._options),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "DiscreteLayer":
        if isinstance(config.get("temperature"), dict):
            schedule = keras.saving.deserialize_keras_object(config["temperature"])
            config = {**config, "temperature": schedule}
        return cls(**config)


def checked_seed(seed: Any) -> int | None:
    """Returns a layer's `seed` as an int or None, or raises TypeError."""
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, numbers.Integral)):
        raise TypeError(
            validation.describe(
                "`seed` is invalid.",
                expected="an int, or None for a random one",
                received=seed,
                fix="pass a Python int",
            )
        )
    return None if seed is None else int(seed)


def next_seed(generator: keras.random.SeedGenerator) -> tf.Tensor:
    """Moves a layer's generator on: in one piece, and apart on every replica."""
    with _SEED_LOCK:
        seed = generator.next()
    replica = tf.distribute.get_replica_context()
    if replica is not None and replica.num_replicas_in_sync > 1:
        # The state is mirrored: without this every replica would draw the same noise.
        seed = random.fold_in(seed, replica.replica_id_in_sync_group)
    return seed


def _entry(estimator: str, kinds: tuple[Kind, ...]) -> registry.SampleEstimator:
    """The registry's entry of an estimator for one of these kinds of variable."""
    entry = registry.get(estimator)
    if isinstance(entry, registry.SampleEstimator) and entry.variable in kinds:
        return entry
    known = [name for kind in kinds for name in registry.sample_estimators(kind)]
    raise ValueError(
        validation.describe(
            f"Estimator {estimator!r} cannot serve this layer.",
            expected="one of " + ", ".join(known),
            received=estimator,
            fix="tfgumbel.expectation takes those that act on the loss"
            if entry.acts_on == "loss"
            else "CategoricalLayer takes classes on an axis, BernoulliLayer single logits, "
            "GumbelTopKLayer subsets of classes",
        )
    )


def _check_temperature(
    temperature: Any, initial_temperature: Any, entry: registry.SampleEstimator
) -> None:
    """Refuses what is no temperature; the estimator itself checks the value."""
    learnable = isinstance(temperature, str) and temperature == "learnable"
    number = isinstance(temperature, numbers.Real) and not isinstance(temperature, bool)
    if not (learnable or number or isinstance(temperature, LearningRateSchedule)):
        raise TypeError(
            validation.describe(
                "`temperature` is invalid.",
                expected="a float, a keras.optimizers.schedules.LearningRateSchedule "
                'or "learnable"',
                received=temperature,
                fix="see tfgumbel.schedules for schedules",
            )
        )
    if not number and not entry.takes_temperature:
        raise ValueError(
            validation.describe(
                f"Estimator {entry.name!r} has no temperature to change.",
                expected="a float, which it ignores",
                received=temperature,
                fix="leave `temperature` out",
            )
        )
    if learnable and not entry.temperature_gradient:
        known = [
            name
            for name, other in registry.sample_estimators(entry.variable).items()
            if other.temperature_gradient
        ]
        raise ValueError(
            validation.describe(
                f"Estimator {entry.name!r} gives its temperature no gradient.",
                expected="to learn it, one of " + ", ".join(known),
                received=temperature,
                fix="pass a float or a schedule, or change the estimator",
            )
        )
    if learnable:
        validation.temperature_tensor(initial_temperature, tf.float32, name="initial_temperature")
