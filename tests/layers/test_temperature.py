"""The temperature as a number, a schedule and a weight that learns."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.cases import ESTIMATORS, entry, gradient, logits, make, size
from tfgumbel import layers
from tfgumbel.schedules import LinearTemperature, TemperatureSchedule


def test_a_number_can_be_set_without_retracing():
    layer = layers.GumbelSoftmaxLayer(1.0, seed=0)
    step = tf.function(lambda x: layer(x, training=True))
    for count, temperature in enumerate((1.0, 0.3, 5.0)):
        layer.temperature = temperature
        assert float(layer.temperature) == np.float32(temperature)
        expected = ESTIMATORS["gumbel_softmax"](logits(), temperature=temperature, seed=(0, count))
        np.testing.assert_allclose(step(logits()), expected, rtol=1e-5)
    assert step.experimental_get_tracing_count() == 1
    assert [weight.name for weight in layer.non_trainable_weights][1:] == ["temperature"]


@pytest.mark.parametrize("compiled", [False, True])
def test_a_schedule_follows_the_training_calls(compiled):
    schedule = LinearTemperature(1.0, 0.5, num_steps=4)
    layer = layers.GumbelSoftmaxLayer(schedule, seed=0)
    assert float(layer.temperature) == 1.0
    call = tf.function(layer, jit_compile=True) if compiled else layer
    seen = []
    for _ in range(6):
        call(logits(), training=True)
        call(logits(), training=False)  # Does not count.
        seen.append(float(layer.temperature))
    assert seen == [1.0, 0.875, 0.75, 0.625, 0.5, 0.5]
    with pytest.raises(ValueError, match="owns a schedule"):
        layer.temperature = 0.3


def test_keras_schedules_serve():
    decay = keras.optimizers.schedules.ExponentialDecay(2.0, 1, 0.5)
    layer = layers.GumbelRaoLayer(decay, seed=0)
    for expected in (2.0, 1.0, 0.5):
        layer(logits(), training=True)
        assert float(layer.temperature) == expected
    copy = layers.GumbelRaoLayer.from_config(layer.get_config())
    assert float(copy.temperature) == 2.0


@pytest.mark.parametrize(
    "name", [name for name, entry in ESTIMATORS.items() if entry.temperature_gradient]
)
def test_a_learned_temperature_has_the_estimators_gradient(name):
    layer = make(name, temperature="learnable", initial_temperature=0.7, seed=2)
    assert float(layer.temperature) == pytest.approx(0.7)
    (weight,) = layer.trainable_weights
    inputs, upstream = logits(), logits(seed=1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs, training=True) * upstream)
    grad = tape.gradient(loss, weight)
    _, expected = gradient(
        lambda t: entry(name)(inputs, temperature=t, seed=(2, 0), **size(name)),
        layer.temperature,
        upstream,
    )
    assert float(expected) != 0.0
    # d temperature / d log temperature = temperature
    np.testing.assert_allclose(grad, expected * 0.7, rtol=1e-4)
    with pytest.raises(ValueError, match="learns it"):
        layer.temperature = 0.3


def test_a_learned_temperature_goes_where_the_loss_falls_and_stays_positive():
    layer = layers.GumbelSoftmaxLayer("learnable", initial_temperature=1.0, seed=0)
    optimizer = keras.optimizers.SGD(1.0)

    @tf.function
    def step():
        with tf.GradientTape() as tape:  # The entropy of the relaxed sample: least when cold.
            relaxed = layer(tf.zeros([256, 5]), training=True)
            loss = -tf.reduce_sum(tf.math.xlogy(relaxed, relaxed)) / 256
        optimizer.apply(tape.gradient(loss, layer.trainable_weights), layer.trainable_weights)

    optimizer.build(layer.trainable_weights)
    for _ in range(50):
        step()
    assert 0.0 < float(layer.temperature) < 0.2


def test_layers_without_a_temperature_have_no_weight_for_one():
    layer = layers.CategoricalLayer("gumbel_max", seed=0)
    assert layer.temperature is None and len(layer.weights) == 1
    with pytest.raises(ValueError, match="has none"):
        layer.temperature = 1.0


def test_double_precision_temperatures_stay_double():
    layer = layers.GumbelSoftmaxLayer(0.7, dtype="float64")
    assert float(layer.temperature) == 0.7
    layer.temperature = 0.3
    assert float(layer.temperature) == 0.3


@pytest.mark.parametrize("value", [-1.0, 0.0, float("nan"), float("inf"), tf.constant(-2.0)])
def test_a_temperature_that_is_none_cannot_be_set(value):
    layer = layers.GumbelSoftmaxLayer(0.5)
    with pytest.raises(ValueError, match="`temperature` is invalid"):
        layer.temperature = value
    assert float(layer.temperature) == 0.5
    exact = layers.GumbelRaoLayer(0.5)
    exact.temperature = 0.0  # the cold limit


def test_schedules_that_end_at_zero_are_held_above_it():
    schedule = keras.optimizers.schedules.PolynomialDecay(1.0, 2, end_learning_rate=0.0)
    model = keras.Sequential(
        [keras.Input([3]), keras.layers.Dense(4), layers.GumbelSoftmaxLayer(schedule, seed=0)]
    )
    model.compile("sgd", "mse")
    model.fit(np.ones((8, 3)), np.ones((8, 4)), batch_size=2, epochs=2, verbose=0)
    assert float(model.layers[-1].temperature) == np.float32(1e-3)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    model = keras.Sequential([keras.Input([3]), keras.layers.Dense(4), layers.GumbelSoftmaxLayer()])
    model.compile("sgd", "mse")
    callback = TemperatureSchedule(schedule)
    model.fit(np.ones((8, 3)), np.ones((8, 4)), batch_size=2, verbose=0, callbacks=[callback])
    assert float(model.layers[-1].temperature) == np.float32(1e-3)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_a_learned_temperature_is_held_above_zero():
    layer = layers.GumbelSoftmaxLayer("learnable")
    layer.trainable_variables[0].assign(-200.0)
    assert float(layer.temperature) == np.float32(1e-3)
    assert np.isfinite(layer(logits(), training=True)).all()
