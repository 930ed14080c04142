"""Callbacks of a `PrunedModel`'s training."""

from typing import Any

import keras
import numpy as np

from tfgumbel.internal import validation

BINS = 25


class ScheduleLength(keras.callbacks.Callback):
    """Gives the pruned model the number of steps that `fit` is about to run."""

    def on_train_begin(self, logs=None):
        if self.model.explicit_total is not None:
            return
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        if not steps or not epochs:
            raise ValueError(
                validation.describe(
                    "The length of the schedule is unknown.",
                    expected="a data set that says how many steps an epoch has",
                    received={"steps": steps, "epochs": epochs},
                    fix="pass `steps_per_epoch` to `fit`, or `total_steps` to `prune`",
                )
            )
        self.model.total_steps.assign(steps * epochs)


class StopOnDivergence(keras.callbacks.Callback):
    """Ends a training by an error once its weights are NaN or infinite.

    The loss may look finite then: a mask of 0 hides a weight, and means hide a batch.
    """

    def on_train_begin(self, logs=None):
        self.model.masks.diverged.assign(0)

    def on_train_batch_end(self, batch, logs=None):
        step = int(self.model.masks.diverged.numpy())
        if step:
            raise FloatingPointError(
                validation.describe(
                    f"The training diverged: weights are NaN or infinite after update {step}.",
                    expected="finite weights",
                    received={name: float(value) for name, value in (logs or {}).items()},
                    fix="check the data for NaN, lower the learning rate, or clip gradients "
                    "(`clipnorm`); then start again, or from a backup",
                )
            )


class ScoreHistory(keras.callbacks.Callback):
    """Keeps a histogram of a `PrunedModel`'s scores at the start and after every epoch.

    Attributes:
        counts: list of int64 arrays, shape (BINS,): scores in equal bins from 0 to 1.
        steps: list of ints, the updates done at each.

    Example:
        >>> history = ScoreHistory()
        >>> # pruned.fit(x, y, callbacks=[history]); pruned.report().plot("masks.png", history)
    """

    def __init__(self):
        super().__init__()
        self.counts: list[np.ndarray] = []
        self.steps: list[int] = []

    def record(self, scores: Any, step: int) -> None:
        """Adds a histogram of scores in [0, 1]."""
        counts, _ = np.histogram(np.asarray(scores), bins=BINS, range=(0.0, 1.0))
        self.counts.append(counts)
        self.steps.append(int(step))

    def on_train_begin(self, logs=None):
        self.record(self.model.scores.numpy(), self.model.step.numpy())

    def on_epoch_end(self, epoch, logs=None):
        self.record(self.model.scores.numpy(), self.model.step.numpy())
