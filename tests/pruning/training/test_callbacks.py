"""Callbacks of training: Keras's own, which compare epochs, and ours."""

import logging

import keras
import numpy as np
import pytest

import tfgumbel
from pruning.training.callbacks import BINS, ScoreHistory

X = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
Y = X[:, :2]
STEPS = 5  # batches of 8


def compiled(**arguments):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(9, "relu"), keras.layers.Dense(2)]
    )
    pruned = tfgumbel.prune(model, 0.25, seed=0, **arguments)
    pruned.compile("adam", "mse")
    return pruned


def fit(pruned, epochs=10, *callbacks, **arguments):
    return pruned.fit(
        X, Y, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks), **arguments
    )


class Judge(keras.callbacks.Callback):
    """Makes the epochs before the mask is fixed look best, and the last but one the best after."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"] = {8: -2.0}.get(epoch, float(epoch) if epoch > 6 else -99.0)


def test_early_stopping_restores_the_best_epoch_at_the_budget(caplog):
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True)
    pruned = compiled()
    history = fit(pruned, 10, Judge(), stopping)
    assert history.epoch == list(range(10)) and stopping.best == -2.0 and stopping.best_epoch == 8
    assert int(pruned.step) == 9 * STEPS and int(pruned.settled) == 1
    expected = pruned.predict(X, verbose=0)
    with caplog.at_level(logging.WARNING, "tfgumbel"):
        sparse = pruned.finalize()
    assert not [r for r in caplog.records if r.name == "tfgumbel"]
    np.testing.assert_allclose(sparse.predict(X, verbose=0), expected, rtol=1e-4, atol=1e-5)
    # Its methods are its own again, and more training can stop at once.
    assert "on_epoch_end" not in vars(stopping)
    assert len(fit(pruned, 10, stopping, validation_data=(X, 0 * Y)).epoch) < 10


@pytest.mark.parametrize("frequency", ["epoch", STEPS])
def test_the_best_checkpoint_is_one_at_the_budget(frequency, tmp_path):
    path = tmp_path / "best.weights.h5"
    best, every = (
        keras.callbacks.ModelCheckpoint(
            name,
            monitor="val_loss" if frequency == "epoch" else "temperature",
            mode="min" if frequency == "epoch" else "max",
            save_best_only=name == path,
            save_weights_only=True,
            save_freq=frequency,
        )
        for name in (path, tmp_path / "{epoch}.weights.h5")
    )
    pruned = compiled()
    fit(pruned, 10, Judge(), best, every)
    assert len(list(tmp_path.iterdir())) == 11, "a checkpoint of every epoch is none of the best"
    pruned.load_weights(path)
    assert int(pruned.settled) == 1
    assert int(pruned.step) == (9 if frequency == "epoch" else 8) * STEPS


@pytest.mark.parametrize("arguments", [{"initial_epoch": 7}, {"initial_epoch": 3}], ids=str)
def test_the_schedule_is_as_long_as_the_epochs_that_are_run(arguments):
    pruned = compiled()
    fit(pruned, 10, **arguments)
    assert int(pruned.step) == int(pruned.total_steps) == (10 - arguments["initial_epoch"]) * STEPS
    assert int(pruned.settled) == 1
    fit(pruned, 2)
    assert int(pruned.step) > int(pruned.total_steps)


def test_epochs_in_two_calls_make_one_schedule():
    pruned = compiled(total_steps=None)
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(pruned, "stop_training", epoch == 3)
    )
    fit(pruned, 10, stop)
    fit(pruned, 10, initial_epoch=4)
    assert int(pruned.step) == int(pruned.total_steps) == 10 * STEPS


def test_finishing_early_is_said(caplog):
    pruned = compiled()
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: setattr(pruned, "stop_training", True)
    )
    fit(pruned, 10, stop)
    with caplog.at_level(logging.WARNING, "tfgumbel"):
        pruned.finalize()
    assert "5 of the schedule's 50 steps" in caplog.text and "25.00% are kept" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "tfgumbel"):
        compiled(method="magnitude").finalize()
    # Cutting a trained model at once is nothing to warn of.
    assert not [r for r in caplog.records if r.name == "tfgumbel"]


def test_single_batches_need_a_length():
    with pytest.raises(ValueError, match="total_steps=number_of_batches"):
        compiled().train_on_batch(X[:8], Y[:8])
    pruned = compiled(total_steps=3)
    for _ in range(3):
        pruned.train_on_batch(X[:8], Y[:8])
    assert int(pruned.settled) == 1


def test_score_histogram_counts_every_score():
    history = ScoreHistory()
    history.record([0.0, 0.0, 0.5, 1.0], 3)
    assert history.counts[0].sum() == 4
    assert history.counts[0][0] == 2 and history.counts[0][-1] == 1
    assert len(history.counts[0]) == BINS
    assert history.steps == [3]
