"""Interrupted work: half-pruned models saved, killed and taken up again."""

import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from pruning import PruningSchedule
from tests.pruning import interrupted_run

X = np.random.default_rng(0).normal(size=(48, 6)).astype("float32")
Y = X[:, :2]


def half_pruned(**arguments):
    keras.utils.set_random_seed(0)
    x = keras.Input((6,))
    h = keras.layers.Dense(8, "relu", name="first")(x)
    model = keras.Model(x, keras.layers.Dense(2, name="second")(h))
    pruned = tfgumbel.prune(model, seed=3, total_steps=12, **arguments)
    pruned.compile("adam", "mse")
    pruned.fit(X, Y, batch_size=8, epochs=1, verbose=0, shuffle=False)
    return pruned


def assert_continues_alike(first, second):
    """Both are at the same place, predict the same and go on in the same way."""
    assert int(first.step) == int(second.step) == 6
    assert int(second.total_steps) == 12 and second.budget.k == first.budget.k
    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_allclose(first(X), second(X), rtol=1e-6)
    for model in (first, second):
        model.fit(X, Y, batch_size=8, epochs=1, verbose=0, shuffle=False)
        assert int(model.settled) == 1
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-5)
    np.testing.assert_allclose(first.predict(X, verbose=0), second.predict(X, verbose=0), atol=1e-4)
    assert type(second.finalize()) is type(first.finalize())


def test_keras_file_of_a_half_pruned_model(tmp_path):
    schedule = PruningSchedule(final_temperature=0.1, settle=0.9)
    pruned = half_pruned(
        k=0.5,
        exclude=lambda target: False,
        num_samples=2,
        block=(1, 2),
        schedule=schedule,
        score_gradient="pathwise",
    )
    path = tmp_path / "half.keras"
    pruned.save(path)
    assert os.listdir(tmp_path) == ["half.keras"]
    loaded = keras.models.load_model(path)
    config, expected = loaded.get_config(), pruned.get_config()
    config.pop("model"), expected.pop("model")
    assert config == expected
    assert [target.name for target in loaded.targets] == [t.name for t in pruned.targets]
    assert_continues_alike(pruned, loaded)


@pytest.mark.parametrize(
    "arguments",
    [
        {"k": 9, "method": "magnitude"},
        {"scope": {"first/kernel": 0.5, "second/kernel": 3}},
        {"structure": "2:4", "targets": "first/kernel"},
        {"k": 0.5, "structure": "filter", "hard": True},
    ],
    ids=str,
)
def test_keras_files_of_other_budgets(arguments, tmp_path):
    pruned = half_pruned(**arguments)
    pruned.save(tmp_path / "half.keras")
    loaded = keras.models.load_model(tmp_path / "half.keras")
    assert loaded.budget.k == pruned.budget.k and type(loaded.masks.method) is type(
        pruned.masks.method
    )
    assert [t.name for t in loaded.targets] == [t.name for t in pruned.targets]
    assert loaded.left == pruned.left and loaded.masks.seed == pruned.masks.seed
    assert_continues_alike(pruned, loaded)


def test_weights_file(tmp_path):
    first, second = half_pruned(k=0.5), half_pruned(k=0.5)
    second.scores.assign(tf.zeros_like(second.scores))
    second.step.assign(0)
    path = tmp_path / "half.weights.h5"
    first.save_weights(path)
    second.load_weights(path)
    assert_continues_alike(first, second)


@pytest.mark.parametrize("keep", [0, 700, 0.5])
def test_a_damaged_weights_file_is_named(tmp_path, keep):
    pruned = half_pruned(k=0.5)
    path = tmp_path / "half.weights.h5"
    pruned.save_weights(path)
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(ValueError, match=r"half.weights.h5 cannot be read(.|\n)*delete it"):
        pruned.load_weights(path)
    with pytest.raises(FileNotFoundError):
        pruned.load_weights(tmp_path / "none.weights.h5")


def test_tensorflow_checkpoint(tmp_path):
    first, second = half_pruned(k=0.5), half_pruned(k=0.5)
    second.scores.assign(tf.zeros_like(second.scores))
    second.masks.memory["momentum"].assign(tf.ones_like(second.scores))
    second.step.assign(0)
    path = tf.train.Checkpoint(model=first).save(tmp_path / "half")
    tf.train.Checkpoint(model=second).restore(path)
    assert_continues_alike(first, second)


def test_a_failed_write_leaves_the_file_before(tmp_path, monkeypatch):
    pruned = half_pruned(k=0.5)
    path = tmp_path / "half.weights.h5"
    pruned.save_weights(path)
    before = path.read_bytes()

    def broken(self, filepath, **kwargs):
        with open(filepath, "wb") as file:
            file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(keras.Model, "save_weights", broken)
    with pytest.raises(OSError, match="disk full"):
        pruned.save_weights(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["half.weights.h5"]


def test_killed_in_the_middle_of_an_epoch(tmp_path):
    # 4 steps an epoch: step 6 is in the second, while the budget falls.
    child = subprocess.run(
        [sys.executable, interrupted_run.__file__, str(tmp_path / "backup"), "6"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    resumed, history = interrupted_run.run([backup])
    assert history.epoch == [1, 2, 3, 4, 5]
    whole, _ = interrupted_run.run([])
    assert int(resumed.step) == int(whole.step) == int(resumed.total_steps) == 24
    assert np.sum(resumed.scores) == resumed.budget.k == 24
    # The same budget, schedule and noise: the same model.
    np.testing.assert_array_equal(resumed.scores, whole.scores)
    for mine, other in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-4)
