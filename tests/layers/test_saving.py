"""What is saved is what runs on: files, checkpoints, backups and exports."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.cases import CASES, NAMED, case_id, logits, make
from tfgumbel import layers
from tfgumbel.schedules import LinearTemperature

X = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")


def make_model(seed=1):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8),
            keras.layers.Reshape((2, 4)),
            layers.GumbelSoftmaxLayer(LinearTemperature(1.0, 0.5, num_steps=40), seed=seed),
            keras.layers.Flatten(),
            layers.BinaryConcreteLayer("learnable", seed=seed),
            keras.layers.Dense(6),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def train(model, epochs, initial_epoch=0, callbacks=()):
    model.fit(
        X, X, batch_size=8, epochs=epochs, initial_epoch=initial_epoch, shuffle=False, verbose=0,
        validation_data=(X[:8], X[:8]), callbacks=list(callbacks),
    )  # fmt: skip
    return model


def state(model):
    return [np.asarray(variable) for variable in model.weights]


@pytest.fixture(scope="module")
def unbroken():
    """The weights after four epochs without a break."""
    return state(train(make_model(), 4))


@pytest.fixture(scope="module")
def halfway():
    return train(make_model(), 2)


def assert_same(model, expected):
    for ours, theirs in zip(state(model), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_keras_file_resumes_the_run(tmp_path, halfway, unbroken):
    halfway.save(tmp_path / "model.keras")
    resumed = keras.models.load_model(tmp_path / "model.keras")
    assert_same(train(resumed, 4, initial_epoch=2), unbroken)


def test_a_weights_file_resumes_the_run_and_holds_the_noise(tmp_path, halfway, unbroken):
    path = tmp_path / "model.weights.h5"
    halfway.save_weights(path)

    def load():
        model = make_model(seed=99)
        model.optimizer.build(model.trainable_variables)
        model.load_weights(path)
        return model

    assert_same(train(load(), 4, initial_epoch=2), unbroken)
    repeating = load()
    for layer in repeating.layers:
        if hasattr(layer, "seed_state"):
            layer.seed_state.assign([1, 0])
    difference = train(repeating, 4, initial_epoch=2).layers[0].kernel - unbroken[0]
    assert np.max(np.abs(difference)) > 1e-3  # The noise matters: repeating it is another run.


def test_a_checkpoint_resumes_the_run(tmp_path, halfway, unbroken):
    saved = tf.train.Checkpoint(model=halfway, optimizer=halfway.optimizer)
    path = saved.save(tmp_path / "checkpoint")
    model = make_model(seed=99)
    model.optimizer.build(model.trainable_variables)
    status = tf.train.Checkpoint(model=model, optimizer=model.optimizer).restore(path)
    status.assert_existing_objects_matched()
    assert_same(train(model, 4, initial_epoch=2), unbroken)


def test_a_killed_run_restarts_from_its_backup(tmp_path, unbroken):
    class Killed(Exception):
        pass

    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise Killed

    backup = tmp_path / "backup"
    with pytest.raises(Killed):
        train(make_model(), 4, callbacks=[keras.callbacks.BackupAndRestore(backup), Kill()])
    resumed = make_model(seed=99)
    train(resumed, 4, callbacks=[keras.callbacks.BackupAndRestore(backup)])
    assert_same(resumed, unbroken)


def arguments(case):
    return {"num_samples": 3} if case is layers.GumbelRaoLayer else {}


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_keras_round_trip_keeps_configuration_and_noise(tmp_path, case):
    latent = make(case, temperature=0.7, inference="sample", seed=5, **arguments(case))
    model = keras.Sequential([keras.Input((4, 3)), latent])
    model(tf.zeros([2, 4, 3]), training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].get_config() == latent.get_config()
    assert type(loaded.layers[0]) is type(latent)
    inputs = logits((50, 4, 3))
    for training in (True, False):
        np.testing.assert_array_equal(
            loaded(inputs, training=training), model(inputs, training=training)
        )


def test_schedules_and_learned_temperatures_survive(tmp_path):
    model = make_model()
    train(model, 1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(loaded.layers, model.layers, strict=True):
        if hasattr(theirs, "temperature"):
            assert float(ours.temperature) == float(theirs.temperature)
            assert ours.get_config() == theirs.get_config()
    assert float(loaded.layers[2].temperature) == np.float32(1.0 - 3 / 80)


LOAD_AND_SAMPLE = """
import json, sys
import numpy as np
import tensorflow as tf
result = {}
for path in sys.argv[1:]:
    loaded = tf.saved_model.load(path)
    draws = np.stack([loaded.serve(tf.zeros([500, 4])).numpy() for _ in range(2)])
    result[path] = [np.unique(draws).tolist(), draws.mean((0, 1)).tolist(),
                    bool(np.any(draws[0] != draws[1]))]
print(json.dumps(result))
"""


def test_exports_sample_in_a_fresh_process_without_this_package(tmp_path):
    paths = {}
    for case in NAMED:
        model = keras.Sequential([keras.Input((4,)), make(case, inference="sample", seed=5)])
        paths[case] = str(tmp_path / case.__name__)
        model.export(paths[case], verbose=False)
    completed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD_AND_SAMPLE, *paths.values()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr[-2000:]
    result = json.loads(completed.stdout.splitlines()[-1])
    for case, path in paths.items():
        values, means, fresh = result[path]
        binary = case in (layers.BinaryConcreteLayer, layers.HardConcreteLayer)
        assert fresh, case
        assert {0.0, 1.0} <= set(values), case
        assert len(values) == 2 or case is layers.HardConcreteLayer
        mean = 0.5 if binary else 0.25
        error = np.sqrt(mean * (1 - mean) / 1000)
        np.testing.assert_allclose(means, mean, atol=5 * error)
