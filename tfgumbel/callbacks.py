"""Callbacks for any Keras model: a backup that is whole."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from tfgumbel.internal import files, validation

__all__ = ["Backup"]


class Backup(keras.callbacks.Callback):
    """Keeps the state of training after every epoch in one file, from which a killed run goes on.

    In place of `keras.callbacks.BackupAndRestore`, whose epoch and weights are two files, so that a
    kill between them resumes the wrong epoch. This file holds both, and appears whole or not at
    all: whenever the process ends, the file is of the last epoch that was done. All variables of
    the model and its optimizer are in it, also where every seed generator stands, `Dropout`'s too,
    which weight files leave out; so a run that is resumed repeats no noise.

        backup = tfgumbel.callbacks.Backup("run/backup.npz")
        model.fit(..., epochs=50, initial_epoch=backup.epoch, callbacks=[backup])
        backup.remove()

    The model is built and compiled as in the run before. Its data are up to the caller: a shuffle
    of their own by the epoch's number, if resumed runs must equal whole ones.

    Args:
        path: Of the file, which ends in ".npz"; folders that are missing are made.

    Attributes:
        path: As a `pathlib.Path`.

    Raises:
        ValueError: if the name has another suffix; in `fit`, and by `epoch`, if the file cannot be
            read; in `fit`, if it is of another model, or the model is not built.

    >>> import keras, numpy as np, tempfile
    >>> model = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
    >>> model.compile("adam", "mse")
    >>> backup = Backup(tempfile.mkdtemp() + "/backup.npz")
    >>> backup.epoch
    0
    >>> x = np.ones([4, 2]), np.ones([4, 1])
    >>> _ = model.fit(*x, epochs=3, initial_epoch=backup.epoch, callbacks=[backup], verbose=0)
    >>> backup.epoch
    3
    >>> backup.remove()
    """

    def __init__(self, path: str | os.PathLike[str]):
        super().__init__()
        self.path = pathlib.Path(path)
        if self.path.suffix != ".npz":
            raise ValueError(
                validation.describe(
                    "`path` is not the name of a NumPy archive.",
                    expected='a file name that ends in ".npz"',
                    received=os.fspath(path),
                    fix=f'pass "{self.path / "backup.npz"}"',
                )
            )

    @property
    def epoch(self) -> int:
        """Epochs that the file's run has done, for `fit`'s `initial_epoch`; 0 without a file."""
        if not self.path.exists():
            return 0
        with self._archive() as archive:
            return int(self._state(archive)["epoch"])

    def remove(self) -> None:
        """Deletes the file, if there is one: of a run whose result is kept, it is not needed."""
        self.path.unlink(missing_ok=True)

    def on_train_begin(self, logs: Any = None) -> None:
        if not self.path.exists():
            return
        variables = self._variables()
        with self._archive() as archive:
            names = self._state(archive)["names"]
            arrays = [archive[f"arr_{index}"] for index in range(len(names))]
        self._check(variables, names, arrays)
        for variable, array in zip(variables, arrays, strict=True):
            # A dtype that NumPy does not know, bfloat16, comes back as its bytes.
            dtype = np.asarray(variable).dtype
            variable.assign(array.view(dtype) if array.dtype.kind == "V" else array)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        variables = self._variables()
        state = {"epoch": epoch + 1, "names": [variable.path for variable in variables]}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with files.whole_file(self.path, ".npz") as temporary:
            np.savez(
                temporary,
                *(np.asarray(variable) for variable in variables),
                state=json.dumps(state),
            )

    def _variables(self) -> list[keras.Variable]:
        """The model's variables and its optimizer's."""
        model = self.model
        if not model.built:
            raise ValueError(
                validation.describe(
                    "The model has no weights yet, so a backup cannot be restored into it.",
                    expected="a model that is built before `fit`",
                    received=model.name,
                    fix="start it with keras.Input, call model.build(shape), or call it on a batch",
                )
            )
        optimizer = getattr(model, "optimizer", None)
        if optimizer is None:
            return list(model.variables)
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
        return [*model.variables, *optimizer.variables]

    def _check(
        self, variables: list[keras.Variable], names: list[str], arrays: list[np.ndarray]
    ) -> None:
        """Raises unless the file's variables are the model's, shape by shape."""
        there = [array.shape for array in arrays]
        here = [tuple(variable.shape) for variable in variables]
        if there == here:
            return
        pairs = zip(here, there, strict=False)
        first = next((i for i, (one, other) in enumerate(pairs) if one != other), None)
        if first is None:
            received = f"{len(there)} variables there, {len(here)} here"
        else:
            received = (
                f"{names[first]} of shape {there[first]} there, "
                f"{variables[first].path} of shape {here[first]} here"
            )
        raise ValueError(
            validation.describe(
                f"{self.path} is the backup of another model or optimizer.",
                expected="the same variables, in the same order",
                received=received,
                fix="build and compile the model as before, or choose another path",
            )
        )

    @contextlib.contextmanager
    def _archive(self) -> Iterator[Any]:
        """The file, opened; whatever it raises as it is read becomes one clear error."""
        with (
            files.reading(self.path, "delete that file; the run then starts from its first epoch"),
            open(self.path, "rb") as file,  # NumPy leaves a damaged one open
            np.load(file, allow_pickle=False) as archive,
        ):
            yield archive

    @staticmethod
    def _state(archive: Any) -> dict[str, Any]:
        return json.loads(str(archive["state"]))
