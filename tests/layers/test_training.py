"""Models with the layers learn: every way to build, to run and to distribute one."""

import concurrent.futures

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from tfgumbel import layers
from tfgumbel.schedules import LinearTemperature, TemperatureSchedule

NUM_VARIABLES, NUM_CLASSES = 8, 8


@pytest.fixture(scope="module")
def digits():
    return (load_digits().data / 16.0).astype("float32")


def sequential(latent):
    return keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(NUM_VARIABLES * NUM_CLASSES),
            keras.layers.Reshape((NUM_VARIABLES, NUM_CLASSES)),
            latent,
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="sigmoid"),
        ]
    )


def functional(latent):
    inputs = keras.Input((64,))
    model = sequential(latent)
    hidden = inputs
    for layer in model.layers:
        hidden = layer(hidden)
    return keras.Model(inputs, hidden)


class Subclassed(keras.Model):
    def __init__(self, latent):
        super().__init__()
        self.inner = sequential(latent)
        self.latent = latent

    def call(self, inputs, training=False):
        return self.inner(inputs, training=training)


def train(model, digits, epochs=12, **options):
    keras.utils.set_random_seed(0)
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", **options)
    return model.fit(digits, digits, batch_size=64, epochs=epochs, verbose=0).history["loss"]


def test_gumbel_rao_trains_an_autoencoder_of_digits(digits):
    keras.utils.set_random_seed(0)
    model = sequential(layers.GumbelRaoLayer(seed=0))
    losses = train(model, digits, run_eagerly=False)
    mean = digits.mean(0)
    blank = -np.mean(digits * np.log(mean + 1e-7) + (1 - digits) * np.log(1 - mean + 1e-7))
    assert losses[-1] < losses[0]
    # Without a gradient through the layer the codes stay random ones of the digits.
    keras.utils.set_random_seed(0)
    frozen = sequential(layers.GumbelRaoLayer(seed=0))
    frozen.layers[0].trainable = False
    assert losses[-1] < 0.9 * train(frozen, digits)[-1] < 0.9 * blank
    evaluated = model.evaluate(digits, digits, verbose=0)
    # evaluate samples too, so it estimates the loss that fit minimised.
    assert evaluated < losses[-1] + 0.01


@pytest.mark.parametrize(
    ("build", "mode"),
    [(sequential, "eager"), (functional, "graph"), (Subclassed, "xla")],
)
def test_every_kind_of_model_fits_in_every_mode(digits, build, mode):
    keras.utils.set_random_seed(0)
    latent = layers.GumbelRaoLayer(seed=0)
    losses = train(
        build(latent),
        digits[:512],
        epochs=3,
        run_eagerly=mode == "eager",
        jit_compile=mode == "xla",
    )
    assert losses[-1] < 0.95 * losses[0]
    assert latent.seed_state.numpy().tolist() == [0, 24]  # One draw a batch.


@pytest.mark.parametrize(
    "latent",
    [
        layers.GumbelSoftmaxLayer("learnable", seed=0),
        layers.HardConcreteLayer(l0_penalty=1e-3, seed=0),
    ],
    ids=["learnable", "penalty"],
)
def test_learned_temperatures_and_penalties_compile(digits, latent):
    losses = train(sequential(latent), digits[:512], epochs=2, jit_compile=True)
    assert losses[-1] < losses[0]


def test_replicas_draw_different_noise_and_stay_in_step(strategy):
    with strategy.scope():
        latent = layers.StraightThroughLayer(seed=0)

    @tf.function
    def draw():
        return strategy.run(lambda: latent(tf.zeros([64, 8]), training=True))

    first, second = (strategy.experimental_local_results(draw()) for _ in range(2))
    samples = np.stack([*first, *second]).reshape(4, -1)
    agreement = np.corrcoef(samples)[~np.eye(4, dtype=bool)]
    # One-hots of 8 classes, 64 of them: independent draws agree with a deviation of 1/sqrt(448).
    assert np.all(np.abs(agreement) < 5 / np.sqrt(448))
    states = strategy.experimental_local_results(latent.seed_state.value)
    assert [replica.numpy().tolist() for replica in states] == [[0, 2], [0, 2]]


def test_one_replica_draws_as_without_a_strategy():
    expected = layers.StraightThroughLayer(seed=0)(tf.zeros([64, 8]))
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        latent = layers.StraightThroughLayer(seed=0)
        np.testing.assert_array_equal(latent(tf.zeros([64, 8])), expected)


def test_fit_under_a_mirrored_strategy_and_resume_without(strategy, digits, tmp_path):
    keras.utils.set_random_seed(0)
    schedule = keras.optimizers.schedules.ExponentialDecay(1.0, 8, 0.9)
    with strategy.scope():
        model = sequential(layers.GumbelRaoLayer(schedule, seed=0))
        # XLA cannot address the variables of a second CPU device, whatever the layer.
        losses = train(model, digits[:512], epochs=3, jit_compile=False)
    assert losses[-1] < 0.95 * losses[0]
    latent = model.layers[2]
    assert latent.seed_state.numpy().tolist() == [0, 24]
    assert float(latent.temperature) == pytest.approx(0.9 ** (23 / 8), rel=1e-5)
    model.save(tmp_path / "model.keras")
    resumed = keras.models.load_model(tmp_path / "model.keras")
    assert resumed.layers[2].seed_state.numpy().tolist() == [0, 24]
    assert resumed.fit(digits, digits, verbose=0).history["loss"][-1] < losses[0]


def test_the_callback_sets_the_temperature_of_every_replica(strategy, digits):
    with strategy.scope():
        latent = layers.GumbelSoftmaxLayer(9.0, seed=0)
        model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64), latent])
        model.compile("sgd", "mse", jit_compile=False)
        schedule = LinearTemperature(1.0, 0.5, num_steps=4)
        x = digits[:64]
        history = model.fit(
            x, x, batch_size=32, verbose=0, callbacks=[TemperatureSchedule(schedule)]
        ).history
    assert history["temperature"] == [0.875]

    @tf.function
    def read():
        return strategy.run(lambda: latent.temperature)

    assert [float(replica) for replica in strategy.experimental_local_results(read())] == [
        0.875
    ] * 2


def test_threads_draw_noise_of_their_own():
    layer = layers.GumbelSoftmaxLayer(seed=0)
    inputs = tf.zeros([1, 4])
    layer(inputs, training=True)

    def draw(_):
        return layer(inputs, training=True).numpy().tobytes()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(draw, range(1000)))) == 1000
