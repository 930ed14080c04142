"""The course of a pruning run: how hot the masks are and how many weights they keep, and when."""

import math

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="tfgumbel")
class PruningSchedule:
    """Temperature and density as functions of progress, the share of all steps that is over.

    Density is 1 until `start`, then falls to the target along a cubic,
    `pruned = 1 - (1 - (progress - start) / (end - start))^3`, and stays there from `end` on.
    Temperature falls in a line from its first value to its last until `settle`; from there on the
    mask is fixed and the rest of the time is fine-tuning.

    Args:
        start: progress at which pruning starts.
        end: progress at which the target density is reached.
        settle: progress at which the mask is fixed.
        temperature: first and last temperature.

    Example:
        >>> schedule = PruningSchedule()
        >>> [round(float(schedule.pruned(p)), 3) for p in (0.1, 0.33, 0.5, 1.0)]
        [0.0, 0.875, 1.0, 1.0]
    """

    def __init__(
        self,
        start: float = 0.16,
        end: float = 0.5,
        settle: float = 0.8,
        temperature: tuple[float, float] = (1.0, 0.03),
    ):
        if not 0.0 <= start < end <= settle <= 1.0:
            raise ValueError(
                "A schedule needs 0 <= start < end <= settle <= 1, or it would not reach its "
                f"target. Received: start={start}, end={end}, settle={settle}."
            )
        if not all(math.isfinite(value) and value > 0 for value in temperature):
            raise ValueError(f"Temperatures must be positive. Received: {temperature}.")
        self.start, self.end, self.settle = float(start), float(end), float(settle)
        self.first, self.last = (float(value) for value in temperature)

    def pruned(self, progress) -> tf.Tensor:
        """Share of the way from density 1 to the target, float32 scalar in [0, 1]."""
        way = (tf.cast(progress, tf.float32) - self.start) / (self.end - self.start)
        return 1.0 - (1.0 - tf.clip_by_value(way, 0.0, 1.0)) ** 3

    def temperature(self, progress) -> tf.Tensor:
        """Temperature of the masks, float32 scalar."""
        way = tf.minimum(tf.cast(progress, tf.float32) / self.settle, 1.0)
        return self.first + (self.last - self.first) * way

    def get_config(self):
        return {
            "start": self.start,
            "end": self.end,
            "settle": self.settle,
            "temperature": [self.first, self.last],
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)
