"""`model.fit` that goes on where it was stopped."""

import pathlib

import tfgumbel
from examples.common.console import FitProgress
from examples.common.files import reading


def fit(model, data, folder, *, epochs, name, callbacks=()):
    """Fits a model, or what is left of it after an interrupted run, and says how far it is.

    Args:
        model: keras.Model, built and compiled.
        data: callable (epochs done) -> dict of those arguments of `fit` that give it its data.
        folder: of this run alone; the backup is there.
        epochs: in all.
        name: what progress calls it.
        callbacks: of the user; they see an epoch before it is backed up.

    Returns:
        backup: `tfgumbel.callbacks.Backup`; remove it once the result is kept.
    """
    backup = tfgumbel.callbacks.Backup(pathlib.Path(folder) / "backup.npz")
    with reading(backup.path, "delete that file; the run then starts from its first epoch"):
        epochs_done = backup.epoch
    model.fit(
        **data(epochs_done),
        epochs=epochs,
        initial_epoch=epochs_done,
        callbacks=[*callbacks, backup, FitProgress(name, epochs_done)],
        verbose=0,
    )
    return backup
