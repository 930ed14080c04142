"""The layer that charges discrete latents for their divergence from a prior."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from sklearn.datasets import load_digits

from tests.layers.cases import logits
from tfgumbel import layers

tfd = tfp.distributions
PRIORS = {"OneHotCategorical": [[0.0, 1.0, -1.0]], "Bernoulli": [[0.5, -1.0, 2.0]]}


@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("name", PRIORS)
def test_the_divergence_is_that_of_the_distributions(name, prior):
    prior_logits = PRIORS[name] if prior else None
    layer = layers.KLDivergenceLayer(name, prior_logits, kl_weight=0.3, name="code")
    inputs = logits((7, 4, 3))
    np.testing.assert_array_equal(layer(inputs), inputs)
    p = getattr(tfd, name)(logits=prior_logits or tf.zeros([1, 3]))
    divergence = tfd.kl_divergence(getattr(tfd, name)(logits=inputs), p).numpy()
    expected = divergence.reshape(7, -1).sum(-1).mean()
    (metric,) = layer.metrics
    assert metric.name == "code_kl" and float(metric.result()) == pytest.approx(expected, rel=1e-5)
    assert float(layer.losses[0]) == pytest.approx(0.3 * expected, rel=1e-5)
    assert layers.KLDivergenceLayer(name, prior_logits, kl_weight=None)(inputs) is not None


def test_free_bits_charge_each_variable_the_same_up_to_them():
    inputs = tf.constant([[[0.1, 0.0], [2.0, 0.0]]])
    layer = layers.KLDivergenceLayer(free_bits=0.1)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        layer(inputs)
        (loss,) = layer.losses
    gradient = tape.gradient(loss, inputs).numpy()
    assert not np.any(gradient[:, 0]) and np.all(gradient[:, 1])
    dear = tfd.kl_divergence(tfd.Categorical([2.0, 0.0]), tfd.Categorical([0.0, 0.0]))
    assert float(loss) == pytest.approx(0.1 + float(dear), rel=1e-5)


def test_a_discrete_autoencoder_trains_warms_up_and_is_saved(tmp_path):
    digits = (load_digits().data[:512] / 16.0).astype("float32")
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input([64]),
            keras.layers.Dense(8 * 4),
            keras.layers.Reshape([8, 4]),
            layers.KLDivergenceLayer(prior_logits=[0.0] * 4, kl_weight=0.0, name="code"),
            layers.GumbelRaoLayer(temperature=0.5, seed=0),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="sigmoid"),
        ]
    )
    warm_up = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: setattr(
            model.get_layer("code"), "kl_weight", 1e-3 * epoch
        )
    )
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    history = model.fit(digits, digits, epochs=4, verbose=0, callbacks=[warm_up]).history
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    assert history["code_kl"][0] > 0.0
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")  # in safe mode
    assert loaded.get_layer("code").get_config() == model.get_layer("code").get_config()
    assert float(loaded.get_layer("code").kl_weight) == pytest.approx(3e-3)


def test_errors():
    with pytest.raises(ValueError, match="`distribution` is unknown"):
        layers.KLDivergenceLayer("Normal")
    with pytest.raises(ValueError, match="`kl_weight` is invalid"):
        layers.KLDivergenceLayer(kl_weight=-1.0)
    with pytest.raises(ValueError, match="no divergence among its losses"):
        layers.KLDivergenceLayer(kl_weight=None).kl_weight = 1.0
