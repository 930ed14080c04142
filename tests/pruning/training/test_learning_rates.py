"""The rate of an optimizer given by name: it decays, gives way, and leaves a plain Keras file."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import tfgumbel

X = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
Y = X[:, :2]
STEPS = 5  # batches of 8
READ = """
import sys
import keras
import numpy as np

model = keras.models.load_model(sys.argv[1])
x = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
model.fit(x, x[:, :2], verbose=0)
assert not {"tfgumbel", "pruning"} & set(sys.modules)
print(type(model).__name__, type(model.optimizer).__name__, float(model.optimizer.learning_rate))
"""


class Rates(keras.callbacks.Callback):
    """The learning rate after every step."""

    def __init__(self):
        super().__init__()
        self.rates = []

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))


def compiled(optimizer="adam", **arguments):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(9, "relu"), keras.layers.Dense(2)]
    )
    pruned = tfgumbel.prune(model, 0.5, seed=0, **arguments)
    pruned.compile(optimizer, "mse")
    return pruned


def fit(pruned, epochs, *callbacks):
    rates = Rates()
    pruned.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, callbacks=[*callbacks, rates])
    return rates.rates


def cosine(steps, total):
    progress = np.minimum(np.asarray(steps) / total, 1.0)
    return 3e-3 * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * progress)))


@pytest.mark.parametrize("fuse", [False, True])
def test_decays_with_the_schedule_and_stays_at_its_end(fuse, monkeypatch):
    monkeypatch.setattr("pruning.masks.masks.FUSE_FROM", 1 if fuse else 1 << 14)
    pruned = compiled()
    assert float(pruned.optimizer.learning_rate) == pytest.approx(3e-3)
    np.testing.assert_allclose(fit(pruned, 3), cosine(range(1, 16), 15), rtol=1e-4)
    np.testing.assert_allclose(fit(pruned, 1), 3e-5, rtol=1e-4)
    pruned.compile("sgd", "mse")
    np.testing.assert_allclose(pruned.optimizer.learning_rate, 1e-4, rtol=1e-4)


def test_keeps_to_a_schedule_whose_length_changes():
    pruned = compiled()
    fit(pruned, 2, keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: setattr(
        pruned, "stop_training", True)))  # fmt: skip
    np.testing.assert_allclose(fit(pruned, 4), cosine(range(6, 26), 20), rtol=1e-4)


def test_gives_way_to_callbacks():
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.01 / (epoch + 1))
    np.testing.assert_allclose(
        fit(compiled(), 2, scheduler), [0.01] * STEPS + [0.005] * STEPS, rtol=1e-6
    )
    plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e9)
    pruned = compiled()
    rates = fit(pruned, 10, plateau)
    # It compares epochs with a fixed mask, from the eighth of ten on.
    np.testing.assert_allclose(rates[:45], cosine(range(1, 46), 50), rtol=1e-4)
    np.testing.assert_allclose(rates[45:], rates[44] / 2, rtol=1e-6)


def test_a_file_of_a_half_pruned_model_goes_on_at_the_same_rate(tmp_path):
    pruned = compiled(total_steps=15)
    fit(pruned, 1)
    pruned.save(tmp_path / "half.keras")
    loaded = keras.models.load_model(tmp_path / "half.keras")
    np.testing.assert_allclose(fit(loaded, 2), cosine(range(6, 16), 15), rtol=1e-4)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_finished_model_is_a_plain_file(optimizer, tmp_path):
    pruned = compiled(optimizer)
    fit(pruned, 2)
    sparse = pruned.finalize()
    rate = float(sparse.optimizer.learning_rate)
    assert rate == pytest.approx({"adam": 3e-5, "sgd": 1e-4}[optimizer], rel=1e-4)
    sparse.fit(X, Y, verbose=0)
    path = tmp_path / "sparse.keras"
    sparse.save(path)
    child = subprocess.run(
        [sys.executable, "-c", READ, str(path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert child.returncode == 0, child.stderr
    kind, name, loaded = child.stdout.split()
    assert (kind, name.lower()) == ("Sequential", optimizer)
    assert float(loaded) == pytest.approx(rate)
