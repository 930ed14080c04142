"""Temperature schedules against their formulas, and the callback in fit."""

import keras
import numpy as np
import pytest

from tfgumbel import layers, schedules

STEPS = np.array([0, 1, 7, 99, 100, 101, 499, 500, 12_345, 10_000_000])


def held(update_every):
    return STEPS // update_every * update_every


@pytest.mark.parametrize("update_every", [1, 100])
@pytest.mark.parametrize(
    ("make", "formula"),
    [
        (
            lambda every: schedules.ExponentialTemperature(1e-4, 0.5, update_every=every),
            lambda t: np.maximum(0.5, np.exp(-1e-4 * t)),
        ),
        (
            lambda every: schedules.ExponentialTemperature(1e-3, 0.1, 2.0, update_every=every),
            lambda t: np.maximum(0.1, 2.0 * np.exp(-1e-3 * t)),
        ),
        (
            lambda every: schedules.LinearTemperature(1.0, 0.2, 500, update_every=every),
            lambda t: 1.0 - 0.8 * np.minimum(t / 500, 1),
        ),
        (
            lambda every: schedules.CosineTemperature(1.0, 0.2, 500, update_every=every),
            lambda t: 0.2 + 0.4 * (1 + np.cos(np.pi * np.minimum(t / 500, 1))),
        ),
    ],
)
def test_formulas(make, formula, update_every):
    schedule = make(update_every)
    expected = formula(held(update_every))
    np.testing.assert_allclose(schedule(STEPS), expected, rtol=2e-6)
    assert isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)
    saved = keras.saving.serialize_keras_object(schedule)
    restored = keras.saving.deserialize_keras_object(saved)
    np.testing.assert_array_equal(restored(STEPS), schedule(STEPS))
    assert restored.get_config() == schedule.get_config()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.ExponentialTemperature(-1.0), "`rate`"),
        (lambda: schedules.ExponentialTemperature(1.0, floor=0.0), "`floor`"),
        (lambda: schedules.ExponentialTemperature(1.0, floor=2.0), "`floor` is above"),
        (lambda: schedules.LinearTemperature(1.0, 0.0, 10), "`final`"),
        (lambda: schedules.LinearTemperature(float("inf"), 1.0, 10), "`initial`"),
        (lambda: schedules.CosineTemperature(1.0, 0.5, 0), "`num_steps`"),
        (lambda: schedules.CosineTemperature(1.0, 0.5, 10, update_every=0.5), "`update_every`"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class Recorder(keras.callbacks.Callback):
    """Notes the temperature that each training batch used, and the logs it ended with."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.used, self.logged = layer, [], []

    def on_train_batch_end(self, batch, logs=None):
        self.used.append(float(self.layer.temperature))
        self.logged.append(logs["temperature"])


def make_model(*latent_layers):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    for latent in latent_layers:
        model.add(latent)
    model.compile("sgd", "mse")
    return model


def fit(model, callbacks, epochs=2, **options):
    x, y = np.ones((8, 3), "float32"), np.ones((8, 4), "float32")
    return model.fit(
        x, y, batch_size=2, epochs=epochs, verbose=0, callbacks=callbacks, **options
    ).history


def test_callback_sets_and_logs_every_batch():
    latent = layers.GumbelSoftmaxLayer(9.0, seed=0)
    recorder = Recorder(latent)
    schedule = schedules.LinearTemperature(1.0, 0.5, num_steps=8)
    history = fit(make_model(latent), [schedules.TemperatureSchedule(schedule), recorder])
    expected = [1.0 - step / 16 for step in range(8)]
    assert recorder.used == recorder.logged == expected
    assert history["temperature"] == [expected[3], expected[7]]


def test_callback_follows_the_optimizers_steps_across_fits():
    latent = layers.GumbelSoftmaxLayer(seed=0)
    model = make_model(latent)
    callback = schedules.TemperatureSchedule(schedules.LinearTemperature(1.0, 0.5, num_steps=8))
    fit(model, [callback], epochs=1)
    history = fit(model, [callback], epochs=1)
    assert history["temperature"] == [1.0 - 7 / 16]


def test_callback_counts_batches_where_there_is_no_optimizer():
    latent = layers.GumbelSoftmaxLayer(seed=0)
    callback = schedules.TemperatureSchedule(
        schedules.LinearTemperature(1.0, 0.5, num_steps=4), layers=[latent]
    )
    callback.set_model(keras.Sequential([latent]))
    for _ in range(2):  # a second fit starts again
        used = []
        callback.on_train_begin()
        for batch in range(3):
            callback.on_train_batch_begin(batch)
            used.append(float(latent.temperature))
        assert used == [1.0, 0.875, 0.75]


def test_callback_finds_nested_layers_and_tells_them_apart():
    first, second = layers.GumbelSoftmaxLayer(name="first"), layers.GumbelRaoLayer(name="second")
    model = make_model(keras.Sequential([first]), second)
    schedule = schedules.LinearTemperature(1.0, 0.5, num_steps=8)
    history = fit(model, [schedules.TemperatureSchedule(schedule, layers=[first])], epochs=1)
    assert history["temperature"] == [1.0 - 3 / 16] and float(second.temperature) == 0.5
    history = fit(model, [schedules.TemperatureSchedule(schedule)], epochs=1)
    assert history["first_temperature"] == history["second_temperature"] == [1.0 - 7 / 16]


def test_without_a_schedule_the_callback_logs_what_layers_do():
    own = layers.GumbelSoftmaxLayer(schedules.LinearTemperature(1.0, 0.5, 8), name="own")
    learned = layers.GumbelSoftmaxLayer("learnable", name="learned")
    history = fit(make_model(own, learned), [schedules.TemperatureSchedule()])
    assert history["own_temperature"] == [1.0 - 3 / 16, 1.0 - 7 / 16]
    assert history["learned_temperature"][-1] == float(learned.temperature) != 1.0


def test_callback_refuses_what_it_cannot_rule():
    with pytest.raises(TypeError, match="`schedule` is no schedule"):
        schedules.TemperatureSchedule(0.5)
    callback = schedules.TemperatureSchedule(schedules.LinearTemperature(1.0, 0.5, 8))
    with pytest.raises(ValueError, match="no layer with a temperature"):
        fit(make_model(), [callback])
    with pytest.raises(ValueError, match="owns a schedule"):
        fit(
            make_model(layers.GumbelSoftmaxLayer(schedules.LinearTemperature(1, 0.5, 8))),
            [callback],
        )
    with pytest.raises(ValueError, match="learns it"):
        fit(make_model(layers.GumbelSoftmaxLayer("learnable")), [callback])
