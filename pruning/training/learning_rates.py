"""The learning rate that `prune` chooses where the user names an optimizer and nothing else."""

import math
from typing import Any

import keras
import tensorflow as tf

# Optimizers whose step does not depend on the scale of the gradient; the others keep the learning
# rate that Keras gives them.
ADAPTIVE = ("adam", "adamw", "nadam", "adamax")
ADAPTIVE_LEARNING_RATE = 3e-3
# Where the decay ends, as a share of where it starts.
FLOOR = 0.01


def cosine_to_end(progress: Any) -> tf.Tensor:
    """Share of its initial value that a learning rate has, float32, shape of `progress`.

    (floor + (1 - floor) * (1 + cos(pi * progress)) / 2), with floor = .01.

    >>> [round(float(cosine_to_end(progress)), 3) for progress in (0.0, 0.5, 1.0)]
    [1.0, 0.505, 0.01]
    """
    cosine = 0.5 * (1.0 + tf.cos(math.pi * tf.cast(progress, tf.float32)))
    return FLOOR + (1.0 - FLOOR) * cosine


def own_optimizer(name: str) -> keras.optimizers.Optimizer:
    """The optimizer of that name at a learning rate chosen for pruning: a plain Keras object.

    Its rate is a number, which `follow` moves and callbacks can set.
    """
    optimizer = keras.optimizers.get(name)
    if name.lower() in ADAPTIVE:
        optimizer.learning_rate = ADAPTIVE_LEARNING_RATE
    return optimizer


def follow(optimizer: Any, initial: float, before: Any, after: Any) -> None:
    """Moves a learning rate from one progress to another, if it is where the decay has it.

    Who sets another one, by a callback or by hand, has it from then on.

    Args:
        optimizer: a Keras optimizer, its rate a number.
        initial: the rate at progress 0.
        before: progress of the schedule that the rate stands for, float32 scalar.
        after: progress to move it to.
    """
    rate = tf.convert_to_tensor(optimizer.learning_rate)
    expected = initial * cosine_to_end(before)
    ours = tf.abs(rate - expected) <= 1e-4 * expected
    optimizer.learning_rate = tf.where(ours, initial * cosine_to_end(after), rate)
