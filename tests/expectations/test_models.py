"""Keras models that train on programs of draws: fit, saving, resuming, precision, every state."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

import tfgumbel
from tfgumbel import expectations

STATES = {
    "reinforce_baseline": ("baseline", tfgumbel.RunningMean),
    "nvil": ("baseline", expectations.NVILBaseline),
    "rebar": ("parameters", expectations.RebarParameters),
    "relax": ("control", expectations.RelaxControl),
}


@keras.saving.register_keras_serializable(package="tests")
class Autoencoder(keras.Model):
    """Digits through five variables of four classes."""

    def __init__(self, estimator="reinforce_loo", num_samples=2, **kwargs):
        super().__init__(**kwargs)
        self.estimator, self.num_samples = estimator, num_samples
        self.encoder = keras.layers.Dense(20)
        self.decoder = keras.layers.Dense(64)
        self.options = {}
        if estimator in STATES:
            name, state = STATES[estimator]
            self.state = state()
            self.options = {name: self.state}
        elif estimator == "gumbel_rao":
            self.options = {"temperature": 0.5}
        self.mean_loss = keras.metrics.Mean("loss")
        self.seeds = keras.random.SeedGenerator(0)
        self.seed_state = self.seeds.state

    def build(self, shape):
        self.encoder.build((None, 64))
        self.decoder.build((None, 20))
        if self.estimator in ("nvil", "relax"):
            self.state.build((None, 84 if self.estimator == "nvil" else 20))

    def program(self, draw, inputs):
        x, logits = inputs["x"], inputs["logits"]
        code = draw(tf.reshape(logits, [-1, 5, 4]))
        output = tf.cast(self.decoder(tf.reshape(code, [-1, 20])), x.dtype)
        return tf.reduce_mean((output - x) ** 2, axis=-1)

    def call(self, x):
        return self.encoder(x)

    def value(self, x):
        return tfgumbel.expectation(
            self.program,
            {"x": x, "logits": self.encoder(x)},
            estimator=self.estimator,
            num_samples=self.num_samples,
            seed=self.seeds.next(),
            **self.options,
        )

    def train_step(self, x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self.value(x))
            total = self.optimizer.scale_loss(loss + tf.add_n([0.0, *self.losses]))
        self.optimizer.apply(
            tape.gradient(total, self.trainable_variables), self.trainable_variables
        )
        self.mean_loss.update_state(loss)
        return self.get_metrics_result()

    def get_config(self):
        return {"estimator": self.estimator, "num_samples": self.num_samples}


def digits():
    images = load_digits().data[:512].astype("float32") / 16.0
    return tf.data.Dataset.from_tensor_slices(images).batch(64)


def compiled(estimator, **kwargs):
    model = Autoencoder(estimator, **kwargs)
    model.build(None)
    model.value(tf.zeros([1, 64]))  # makes what a state makes at its first call
    model.compile(keras.optimizers.Adam(0.01))
    return model


@pytest.mark.parametrize("estimator", [*STATES, "reinforce_loo", "muprop", "disarm", "gumbel_rao"])
def test_models_fit_save_and_resume(estimator, tmp_path):
    keras.utils.set_random_seed(0)
    model = compiled(estimator)
    history = model.fit(digits(), epochs=3, verbose=0, shuffle=False).history["loss"]
    assert history[-1] < 0.8 * history[0]
    path = tmp_path / "model.keras"
    model.save(path)
    restored = keras.models.load_model(path)
    restored.value(tf.zeros([1, 64]))
    restored.load_weights(path)
    for weight, copy in zip(model.weights, restored.weights, strict=True):
        np.testing.assert_array_equal(weight, copy)
    x = next(iter(digits()))
    np.testing.assert_allclose(model.value(x), restored.value(x), rtol=1e-5)


def test_what_an_estimator_learns_is_trained():
    for estimator in ("nvil", "rebar", "relax"):
        model = compiled(estimator)
        before = [weight.numpy().copy() for weight in model.state.trainable_variables]
        model.fit(digits(), verbose=0, shuffle=False)
        after = [weight.numpy() for weight in model.state.trainable_variables]
        assert before and all(np.any(a != b) for a, b in zip(before, after, strict=True)), estimator


def test_a_baselines_error_does_not_ride_on_the_value():
    model = compiled("nvil")
    x = next(iter(digits()))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.value(x))
    slopes = tape.gradient(loss, model.state.trainable_variables)
    assert all(slope is None for slope in slopes)


@pytest.mark.parametrize("estimator", ["reinforce_loo", "gumbel_rao"])
def test_mixed_precision(estimator):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = compiled(estimator)
        history = model.fit(digits(), epochs=2, verbose=0, shuffle=False).history["loss"]
    finally:
        keras.config.set_dtype_policy("float32")
    assert history[-1] < history[0]


def test_replicas_train_one_model(strategy):
    with strategy.scope():
        model = compiled("reinforce_loo")
    history = model.fit(digits(), epochs=2, verbose=0, shuffle=False).history["loss"]
    assert history[-1] < history[0]
