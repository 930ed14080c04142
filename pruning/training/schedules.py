"""How temperature and budget move while masks are learned, as functions of progress in [0, 1]."""

from typing import ClassVar

import keras
import tensorflow as tf

from tfgumbel.internal import validation


@keras.saving.register_keras_serializable(package="tfgumbel")
class PruningSchedule:
    """Temperature, budget and end of mask learning over the length of a training.

    The temperature falls in a straight line from `initial_temperature` at progress 0 to
    `final_temperature` at `settle`. The budget is everything until `start`, and falls as a cubic
    to its target at `end`: with d the target density,

        density(progress) = d + (1 - d) * (1 - x)^3,  x = (progress - start) / (end - start)

    (Zhu & Gupta 2017, "To prune, or not to prune", eq. 1). From `settle` on the mask is fixed and
    the rest of the time fine-tunes the weights that are kept.

    Args:
        initial_temperature: Temperature at progress 0, > 0.
        final_temperature: Temperature from progress `settle` on, > 0.
        start: Progress at which the budget starts to fall.
        end: Progress at which it reaches its target, > start.
        settle: Progress at which the mask is fixed, >= end; 1 leaves no fine-tuning.
        noise_scale: What multiplies the noise of masks that are learned, > 0. At 1 a weight is kept
            with the probability that is its score; below, nearly always one whose score is well
            above 1/2, and nearly never one well below.

    Raises:
        ValueError: for a temperature or noise scale that is not positive, or times out of order.

    >>> schedule = PruningSchedule()
    >>> [round(float(schedule.tightness(progress)), 3) for progress in (0.05, 0.2, 0.35, 1.0)]
    [0.0, 0.875, 1.0, 1.0]
    >>> [round(float(schedule.temperature(progress)), 3) for progress in (0.0, 0.4, 0.8, 1.0)]
    [1.0, 0.515, 0.03, 0.03]
    """

    SETTLE: ClassVar[float] = 0.8

    def __init__(
        self,
        initial_temperature: float = 1.0,
        final_temperature: float = 0.03,
        start: float = 0.05,
        end: float = 0.35,
        settle: float = SETTLE,
        noise_scale: float = 1.0,
    ):
        validation.temperature_tensor(initial_temperature, tf.float32, name="initial_temperature")
        validation.temperature_tensor(final_temperature, tf.float32, name="final_temperature")
        if not 0.0 <= start < end <= settle <= 1.0:
            raise ValueError(
                validation.describe(
                    "`start`, `end` and `settle` are out of order.",
                    expected="0 <= start < end <= settle <= 1, shares of the whole training",
                    received=(start, end, settle),
                    fix="the budget falls from start to end, and the mask is fixed from settle on",
                )
            )
        self.initial_temperature = float(initial_temperature)
        self.final_temperature = float(final_temperature)
        self.start = float(start)
        self.end = float(end)
        self.settle = float(settle)
        self.noise_scale = validation.finite_number("noise_scale", noise_scale, positive=True)

    def temperature(self, progress) -> tf.Tensor:
        """Temperature of the masks, float32, shape of `progress` (values in [0, 1])."""
        share = tf.minimum(tf.cast(progress, tf.float32) / self.settle, 1.0)
        return self.initial_temperature * (1.0 - share) + self.final_temperature * share

    def tightness(self, progress) -> tf.Tensor:
        """How far the budget has come down, 0 (everything kept) to 1 (the target), float32."""
        share = (tf.cast(progress, tf.float32) - self.start) / (self.end - self.start)
        return 1.0 - (1.0 - tf.clip_by_value(share, 0.0, 1.0)) ** 3

    def get_config(self) -> dict[str, float]:
        """The arguments, as plain numbers."""
        return {
            "initial_temperature": self.initial_temperature,
            "final_temperature": self.final_temperature,
            "start": self.start,
            "end": self.end,
            "settle": self.settle,
            "noise_scale": self.noise_scale,
        }

    @classmethod
    def from_config(cls, config: dict[str, float]) -> "PruningSchedule":
        """Makes a schedule from what `get_config` returned."""
        return cls(**config)
