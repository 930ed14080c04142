"""Temperature schedules, and the callback that applies and logs them in `fit`.

A schedule is a `keras.optimizers.schedules.LearningRateSchedule`: a serialisable function of the
step. Hand it to a layer, which then counts its own training calls, or to `TemperatureSchedule`,
which follows the optimizer's steps and sets all layers of a model at once. Keras's own schedules
serve as well as those here; one that ends at 0 is held at 1e-3, `MIN_TEMPERATURE`.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.optimizers.schedules import LearningRateSchedule

from tfgumbel.internal import validation

__all__ = [
    "CosineTemperature",
    "ExponentialTemperature",
    "LinearTemperature",
    "TemperatureSchedule",
]

# Colder than this, relaxations differ from their limit by less than float32 can tell.
MIN_TEMPERATURE = 1e-3


def floored(temperature: Any) -> Any:
    """A scheduled or learned temperature, held at `MIN_TEMPERATURE` or above."""
    return keras.ops.maximum(temperature, MIN_TEMPERATURE)


class _StepwiseTemperature(LearningRateSchedule):
    """A function of the step, held constant for `update_every` steps at a time."""

    def __init__(self, update_every: int):
        self.update_every = validation.positive_integer("update_every", update_every)

    def __call__(self, step: Any) -> Any:
        """Returns the temperature at `step` (integer, from 0), a float32 scalar."""
        step = keras.ops.convert_to_tensor(step)
        held = step // self.update_every * self.update_every
        return self._value(keras.ops.cast(held, "float32"))

    def _value(self, step: Any) -> Any:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return dict(vars(self))


@keras.saving.register_keras_serializable(package="tfgumbel")
class ExponentialTemperature(_StepwiseTemperature):
    """Exponential decay down to a floor: max(floor, initial * exp(-rate * step)).

    The annealing of Jang et al.; they tried rates of 1e-5 and 1e-4, updating the temperature every
    500 or 1000 steps, with a floor of 0.5.

    Args:
        rate: Decay rate per step, >= 0.
        floor: The lowest temperature, > 0.
        initial: The temperature at step 0, >= floor.
        update_every: Steps between updates.

    Raises:
        ValueError: if an argument is out of its range.

    >>> schedule = ExponentialTemperature(rate=1e-3, update_every=500)
    >>> [round(float(schedule(step)), 4) for step in (0, 499, 500, 10_000)]
    [1.0, 1.0, 0.6065, 0.5]

    References:
        Jang, Gu & Poole, ICLR 2017, section 4.1.
    """

    def __init__(
        self, rate: float, floor: float = 0.5, initial: float = 1.0, update_every: int = 1
    ):
        super().__init__(update_every)
        self.rate = validation.finite_number("rate", rate)
        self.floor = validation.finite_number("floor", floor, positive=True)
        self.initial = validation.finite_number("initial", initial, positive=True)
        if self.floor > self.initial:
            raise ValueError(
                validation.describe(
                    "`floor` is above `initial`.",
                    expected=f"floor <= initial = {self.initial}",
                    received=self.floor,
                    fix="lower the floor or raise the initial temperature",
                )
            )

    def _value(self, step: Any) -> Any:
        return keras.ops.maximum(self.floor, self.initial * keras.ops.exp(-self.rate * step))


class _Ramp(_StepwiseTemperature):
    """From `initial` at step 0 to `final` at step `num_steps`, constant from there on."""

    def __init__(self, initial: float, final: float, num_steps: int, update_every: int = 1):
        super().__init__(update_every)
        self.initial = validation.finite_number("initial", initial, positive=True)
        self.final = validation.finite_number("final", final, positive=True)
        self.num_steps = validation.positive_integer("num_steps", num_steps)

    def _value(self, step: Any) -> Any:
        remaining = self._remaining(keras.ops.minimum(step / self.num_steps, 1.0))
        return self.final + (self.initial - self.final) * remaining

    def _remaining(self, progress: Any) -> Any:
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="tfgumbel")
class LinearTemperature(_Ramp):
    """A straight line from `initial` to `final` over `num_steps` steps, then `final`.

    Args:
        initial: The temperature at step 0, > 0.
        final: The temperature from step `num_steps` on, > 0.
        num_steps: Length of the ramp in steps, >= 1.
        update_every: Steps between updates.

    Raises:
        ValueError: if an argument is out of its range.

    >>> schedule = LinearTemperature(initial=1.0, final=0.5, num_steps=100)
    >>> [float(schedule(step)) for step in (0, 50, 100, 1_000)]
    [1.0, 0.75, 0.5, 0.5]
    """

    def _remaining(self, progress: Any) -> Any:
        return 1.0 - progress


@keras.saving.register_keras_serializable(package="tfgumbel")
class CosineTemperature(_Ramp):
    """Half a cosine from `initial` to `final` over `num_steps` steps, then `final`.

    Args:
        initial: The temperature at step 0, > 0.
        final: The temperature from step `num_steps` on, > 0.
        num_steps: Length of the ramp in steps, >= 1.
        update_every: Steps between updates.

    Raises:
        ValueError: if an argument is out of its range.

    >>> schedule = CosineTemperature(initial=1.0, final=0.5, num_steps=100)
    >>> [round(float(schedule(step)), 4) for step in (0, 50, 100, 1_000)]
    [1.0, 0.75, 0.5, 0.5]
    """

    def _remaining(self, progress: Any) -> Any:
        return 0.5 * (1.0 + keras.ops.cos(math.pi * progress))


class TemperatureSchedule(keras.callbacks.Callback):
    """Sets the temperature of a model's layers at every training batch, and logs it.

    The step is the optimizer's, which checkpoints hold, so a resumed run goes on where it stopped.
    (A model without an optimizer counts the batches of this `fit`.) With `steps_per_execution` the
    temperature is set once per execution. The log, and with it `History` and TensorBoard, gets
    `temperature`, or `<layer>_temperature` where there are several layers.

    Args:
        schedule: Function of the step. None sets nothing and only logs: for layers that own their
            schedule or learn their temperature.
        layers: The layers to act on; None for every layer of the model with a temperature.

    Raises:
        TypeError: if `schedule` is no schedule.
        ValueError: when training starts, if there is no layer to act on, or one that owns a
            schedule or learns its temperature.

    >>> import numpy as np
    >>> import keras, tfgumbel
    >>> model = keras.Sequential([keras.layers.Dense(4), tfgumbel.layers.GumbelSoftmaxLayer()])
    >>> model.compile("sgd", "mse")
    >>> history = model.fit(
    ...     np.ones((8, 3)), np.ones((8, 4)), batch_size=4, epochs=2, verbose=0,
    ...     callbacks=[TemperatureSchedule(LinearTemperature(1.0, 0.5, num_steps=2))],
    ... )
    >>> history.history["temperature"]
    [0.75, 0.5]
    """

    def __init__(
        self,
        schedule: LearningRateSchedule | None = None,
        layers: Sequence[keras.Layer] | None = None,
    ):
        super().__init__()
        if schedule is not None and not isinstance(schedule, LearningRateSchedule):
            raise TypeError(
                validation.describe(
                    "`schedule` is no schedule.",
                    expected="a keras.optimizers.schedules.LearningRateSchedule, or None to log",
                    received=schedule,
                    fix="for instance tfgumbel.schedules.ExponentialTemperature(rate=1e-4)",
                )
            )
        self.schedule = schedule
        self.layers = layers
        self._acting_on: list[Any] = []
        self._batches = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._batches = 0
        self._acting_on = list(self.layers) if self.layers else _tempered_layers(self.model)
        if not self._acting_on:
            raise ValueError(
                validation.describe(
                    "The model has no layer with a temperature.",
                    expected="a layer of tfgumbel.layers in the model",
                    received=self.model.name,
                    fix="build the model before fit, or pass layers=[...]",
                )
            )
        self._apply()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._apply()
        self._batches += 1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._log(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._log(logs)

    def _apply(self) -> None:
        if self.schedule is None:
            return
        optimizer = getattr(self.model, "optimizer", None)
        step = self._batches if optimizer is None else tf.convert_to_tensor(optimizer.iterations)
        temperature = floored(self.schedule(step))
        for layer in self._acting_on:
            layer.temperature = temperature

    def _log(self, logs: dict[str, Any] | None) -> None:
        if logs is None:
            return
        for layer in self._acting_on:
            prefix = f"{layer.name}_" if len(self._acting_on) > 1 else ""
            logs[f"{prefix}temperature"] = float(layer.temperature)


def _tempered_layers(model: keras.Model) -> list[Any]:
    """The model's layers with a temperature, however nested: their weights name them."""
    owners = [getattr(variable, "temperature_owner", None) for variable in model.variables]
    return [layer for owner in owners if owner is not None and (layer := owner()) is not None]
