"""A backup is whole: whenever a run ends, it goes on as if it had not."""

import os
import re

import keras
import numpy as np
import pytest

import tfgumbel
from tfgumbel.callbacks import Backup

X = np.linspace(-1.0, 1.0, 42, dtype="float32").reshape(14, 3)


def make_model(dtype="float32", optimizer="adam"):
    """Dropout and Gumbel-Rao, so that noise that is repeated or lost shows in the weights."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input([3]),
            keras.layers.Dense(5, activation="tanh", dtype=dtype),
            keras.layers.Dropout(0.5, seed=1, dtype=dtype),
            tfgumbel.GumbelRaoLayer(temperature=0.5, seed=2, dtype=dtype),
            keras.layers.BatchNormalization(dtype=dtype),
            keras.layers.Dense(2, dtype=dtype),
        ]
    )
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


def small_model(units=2, optimizer="sgd"):
    model = keras.Sequential([keras.Input([3]), keras.layers.Dense(units, name="out")])
    model.compile(optimizer, lambda y, z: keras.ops.mean(z[:, :2] - y, axis=-1))
    return model


class Stop(keras.callbacks.Callback):
    """Ends training within an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self._epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self._now = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self._now, batch) == (self._epoch, 1):
            raise KeyboardInterrupt


def fit(model, path, epochs, *callbacks):
    backup = Backup(path)
    return model.fit(
        X,
        X[:, :2],
        batch_size=5,
        epochs=epochs,
        initial_epoch=backup.epoch,
        callbacks=[backup, *callbacks],
        shuffle=False,
        verbose=0,
    )


def state(model):
    return [np.asarray(v, "float32") for v in (*model.variables, *model.optimizer.variables)]


@pytest.mark.parametrize("dtype", ["mixed_float16", "bfloat16"])
def test_a_run_that_ends_within_an_epoch_goes_on_to_the_same_state(tmp_path, dtype):
    def made():
        optimizer = keras.optimizers.AdamW()
        if dtype == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        return make_model(dtype, optimizer)

    whole = made()
    fit(whole, tmp_path / "whole.npz", 6)
    with pytest.raises(KeyboardInterrupt):
        fit(made(), tmp_path / "new" / "broken.npz", 6, Stop(4))
    assert os.listdir(tmp_path / "new") == ["broken.npz"]
    resumed = made()
    assert fit(resumed, tmp_path / "new" / "broken.npz", 6).epoch == [4, 5]
    for one, other in zip(state(whole), state(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
    # A run that is done trains no more, and its model is the trained one.
    again = made()
    assert fit(again, tmp_path / "whole.npz", 6).epoch == []
    for one, other in zip(state(whole), state(again), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_pruned_model_goes_on(tmp_path):
    def made():
        pruned = tfgumbel.prune(make_model(), 12, seed=4)
        pruned.compile("adam", "mse")
        return pruned

    whole = made()
    fit(whole, tmp_path / "whole.npz", 8)
    with pytest.raises(KeyboardInterrupt):
        fit(made(), tmp_path / "broken.npz", 8, Stop(5))
    resumed = made()
    assert fit(resumed, tmp_path / "broken.npz", 8).epoch == [5, 6, 7]
    assert int(resumed.step) == int(whole.step) == 24
    for one, other in zip(state(whole), state(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
    assert sum(np.count_nonzero(w) for w in resumed.finalize().get_weights() if w.ndim == 2) == 12


@pytest.mark.parametrize("size", [0, 300, -100])
def test_a_damaged_file_is_named(tmp_path, size):
    path = tmp_path / "backup.npz"
    fit(small_model(), path, 1)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"backup\.npz cannot be read(.|\n)*delete that file"):
        fit(small_model(), path, 2)


def test_a_file_of_another_model_is_refused(tmp_path):
    path = tmp_path / "backup.npz"
    fit(small_model(), path, 1)
    model = small_model(3)
    before = state(model)
    shapes = re.escape("out/kernel of shape (3, 2) there") + ".*" + re.escape("(3, 3) here")
    with pytest.raises(ValueError, match=f"another model or optimizer(.|\n)*{shapes}"):
        fit(model, path, 2)
    for one, other in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="[0-9]+ variables there, [0-9]+ here"):
        fit(small_model(optimizer="adam"), path, 2)


@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.99])
def test_a_file_that_is_being_written_does_not_count(tmp_path, monkeypatch, fraction):
    path = tmp_path / "backup.npz"
    fit(small_model(), path, 2)
    write = np.savez

    def killed(temporary, *arrays, **named):
        write(temporary, *arrays, **named)
        with open(temporary, "rb+") as file:
            file.truncate(int(fraction * os.path.getsize(temporary)))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(np, "savez", killed)
        fit(small_model(), path, 5)
    assert Backup(path).epoch == 2
    assert fit(small_model(), path, 5).epoch == [2, 3, 4]
    assert os.listdir(tmp_path) == ["backup.npz"]
    Backup(path).remove()
    assert not os.listdir(tmp_path) and Backup(path).epoch == 0


def test_what_cannot_be_backed_up_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"run/backup\.npz"):
        Backup("run")
    unbuilt = keras.Sequential([keras.layers.Dense(2)])
    unbuilt.compile("adam", "mse")
    fit(small_model(), tmp_path / "backup.npz", 1)
    with pytest.raises(ValueError, match="no weights yet"):
        fit(unbuilt, tmp_path / "backup.npz", 2)
