"""Callbacks of a `PrunedModel`'s training."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from tfgumbel.internal import validation

BINS = 25


# What chooses among epochs, and where: before the mask is fixed, one epoch's model has more weights
# than the next one's.
COMPARING = {
    keras.callbacks.EarlyStopping: ("on_epoch_end",),
    keras.callbacks.ReduceLROnPlateau: ("on_epoch_end",),
    keras.callbacks.ModelCheckpoint: ("on_epoch_end", "on_train_batch_end"),
}


@contextlib.contextmanager
def comparing_fixed_masks(
    model: Any, callbacks: Iterable[keras.callbacks.Callback]
) -> Iterator[None]:
    """Lets callbacks that compare epochs see none until the mask of a `PrunedModel` is fixed.

    `ModelCheckpoint` is one of them with `save_best_only`; else it saves every epoch, as ever.
    """
    changed = []
    for callback in callbacks:
        for kind, names in COMPARING.items():
            if isinstance(callback, kind) and getattr(callback, "save_best_only", True):
                changed += [(callback, name, vars(callback).get(name)) for name in names]
    for callback, name, _ in changed:
        setattr(callback, name, _once_settled(model, getattr(callback, name)))
    try:
        yield
    finally:
        for callback, name, own in changed:
            delattr(callback, name)
            if own is not None:
                setattr(callback, name, own)


def _once_settled(model: Any, method: Any) -> Any:
    def settled_only(index: int, logs: Any = None) -> None:
        if int(model.settled.numpy()):
            method(index, logs)

    return settled_only


class ScheduleLength(keras.callbacks.Callback):
    """Gives the pruned model the number of steps that `fit` is about to run.

    Args:
        initial_epoch: the epoch that `fit` starts with. Where the model has not done the steps of
            those before it, the schedule is as long as what is left.
    """

    def __init__(self, initial_epoch: int = 0):
        super().__init__()
        self.initial_epoch = initial_epoch

    def on_train_begin(self, logs=None):
        if self.model.explicit_total is not None or int(self.model.settled.numpy()):
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
        ahead = int(self.model.step.numpy()) + steps * (epochs - self.initial_epoch)
        self.model.set_length(min(steps * epochs, ahead))


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
