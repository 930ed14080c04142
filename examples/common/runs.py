"""A run's folder: it belongs to one set of settings, and training goes on where it was stopped."""

import json
import pathlib

import keras

from examples.common.files import RunError, read_json, reading, whole_file, write_json


def claim(folder, settings):
    """Makes a folder and writes the run's settings there, or checks that those there are the same.

    So neither a checkpoint nor a result is ever taken for that of another run.

    Args:
        folder: of one run, for it alone.
        settings: dict of plain values, all that the result depends on.

    Returns:
        folder: as a pathlib.Path.

    Raises:
        RunError: the folder holds a run with other settings, or a damaged list of them.
    """
    folder = pathlib.Path(folder)
    path = folder / "settings.json"
    settings = json.loads(json.dumps(settings))  # tuples become lists, as in the file
    if not path.exists():
        write_json(path, settings)
        return folder
    found = read_json(path, f"delete the folder {folder}, or choose another --run_dir")
    differing = [
        f"  {name}: {found.get(name)!r} there, {settings.get(name)!r} now"
        for name in {**settings, **found}
        if found.get(name) != settings.get(name)
    ]
    if differing:
        raise RunError(
            f"{folder} holds a run with other settings:\n"
            + "\n".join(differing)
            + "\nTo go on with it give the same flags; else choose another --run_dir, or delete "
            + f"the folder {folder}."
        )
    return folder


class Backup(keras.callbacks.Callback):
    """Keeps the state of a model and its optimizer after every epoch.

    The epoch's number is in the name of the one file, which appears whole, so the two always agree.
    For a model that is built and compiled:

        backup = Backup(folder)
        model.fit(..., initial_epoch=backup.epoch, callbacks=[backup])

    Args:
        folder: where the files go.

    Attributes:
        epoch: epochs done by the run that was interrupted; 0 if there was none.
    """

    _PATTERN = "epoch-*.weights.h5"

    def __init__(self, folder):
        super().__init__()
        self.folder = pathlib.Path(folder)
        files = sorted(self.folder.glob(self._PATTERN))
        self._last = files[-1] if files else None
        self.epoch = int(self._last.name[len("epoch-") :].split(".")[0]) if files else 0

    def on_train_begin(self, logs=None):
        if self._last is None:
            return
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        with reading(self._last, "delete that file; the run then starts from its first epoch"):
            self.model.load_weights(self._last)

    def on_epoch_end(self, epoch, logs=None):
        path = self.folder / f"epoch-{epoch + 1:06d}.weights.h5"
        with whole_file(path) as temporary:
            self.model.save_weights(temporary)
        self.remove(keep=path)

    def remove(self, keep=None):
        """Deletes the files, all but one: of a run whose result is written, none is needed."""
        for path in self.folder.glob(self._PATTERN):
            if path != keep:
                path.unlink()
