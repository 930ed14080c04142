"""The learning rate that `prune` chooses where the user names an optimizer and nothing else."""

import math
from typing import Any

import keras
import tensorflow as tf

# Optimizers whose step does not depend on the scale of the gradient; the others keep the learning
# rate that Keras gives them.
ADAPTIVE = ("adam", "adamw", "nadam", "adamax")
ADAPTIVE_LEARNING_RATE = 3e-3


@keras.saving.register_keras_serializable(package="tfgumbel")
class CosineToEnd(keras.optimizers.schedules.LearningRateSchedule):
    """Cosine decay over the pruning schedule, whose length `fit` finds out.

    rate(step) = initial * (floor + (1 - floor) * (1 + cos(pi * min(step / total, 1))) / 2), with
    floor = .01; constant while the length is unknown (0).

    Args:
        initial_learning_rate: rate at step 0.
        total_steps: an int, or a variable, such as a `PrunedModel`'s.

    Example:
        >>> schedule = CosineToEnd(1.0, total_steps=10)
        >>> [round(float(schedule(step)), 3) for step in (0, 5, 10, 20)]
        [1.0, 0.505, 0.01, 0.01]
    """

    def __init__(self, initial_learning_rate: float, total_steps: Any = 0):
        super().__init__()
        self.initial_learning_rate = initial_learning_rate
        self.total_steps = total_steps

    def __call__(self, step):
        total = tf.cast(keras.ops.convert_to_tensor(self.total_steps), tf.float32)
        progress = tf.math.divide_no_nan(
            tf.cast(keras.ops.convert_to_tensor(step), tf.float32), total
        )
        cosine = 0.5 * (1.0 + tf.cos(math.pi * tf.minimum(progress, 1.0)))
        return self.initial_learning_rate * (0.01 + 0.99 * cosine)

    def get_config(self):
        return {"initial_learning_rate": self.initial_learning_rate}


def own_optimizer(name: str, total_steps: keras.Variable) -> keras.optimizers.Optimizer:
    """The optimizer of that name at a learning rate chosen for pruning, decayed to the end."""
    optimizer = keras.optimizers.get(name)
    config = optimizer.get_config()
    rate = ADAPTIVE_LEARNING_RATE if name.lower() in ADAPTIVE else config["learning_rate"]
    return type(optimizer)(**{**config, "learning_rate": CosineToEnd(rate, total_steps)})


def with_length(optimizer: Any, total_steps: keras.Variable) -> Any:
    """An optimizer read from a file; decayed by `CosineToEnd`, it is told where the length is kept.

    Such a schedule is saved without a length: that is a number of the model's, not of its own.
    """
    config = optimizer.get_config() if hasattr(optimizer, "get_config") else {}
    rate = config.get("learning_rate")
    if not isinstance(rate, dict) or rate.get("class_name") != CosineToEnd.__name__:
        return optimizer
    schedule = CosineToEnd(rate["config"]["initial_learning_rate"], total_steps)
    return type(optimizer).from_config({**config, "learning_rate": schedule})
