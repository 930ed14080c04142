"""The layer of continuous samples: its distribution, divergence, modes and saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from sklearn.datasets import load_digits

from tests.layers.cases import logits
from tfgumbel import layers

tfd = tfp.distributions
STANDARD = {"loc": 0.0, "scale": 1.0}
PARAMETERS = {
    "Normal": ("loc", "scale"),
    "Logistic": ("loc", "scale"),
    "Laplace": ("loc", "scale"),
    "Exponential": ("rate",),
    "Gumbel": ("loc", "scale"),
    "Gamma": ("concentration", "rate"),
    "Beta": ("concentration1", "concentration0"),
    "Dirichlet": ("concentration",),
    "StudentT": ("df", "loc", "scale"),
}


# TFP has two samplers of Gamma variables; the graph's optimizer chooses one, not always the same.
GAMMAS = ("Gamma", "Beta", "Dirichlet", "StudentT")


@keras.saving.register_keras_serializable(package="tests")
def skewed(inputs):
    return tfd.LogNormal(inputs[..., :3], 0.5)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_come_from_the_inputs(name):
    layer = layers.SampleLayer(getattr(tfd, name), seed=3)
    assert layer.parameters == PARAMETERS[name]
    inputs = logits((5, 4 * len(layer.parameters)))
    found = layer.distribution(inputs)
    for part, parameter in zip(
        np.split(inputs, len(layer.parameters), -1), layer.parameters, strict=True
    ):
        expected = part if parameter == "loc" else np.logaddexp(0.0, part)
        np.testing.assert_allclose(getattr(found, parameter), expected, rtol=1e-5, atol=1e-6)
    sample = layer(inputs, training=True)
    if name not in GAMMAS:
        np.testing.assert_array_equal(sample, found.sample(seed=[3, 0]))
    assert layer.seed_state.numpy().tolist() == [3, 1]
    mild = 0.25 * inputs  # a Student-t of next to no degrees of freedom is infinite now and then
    with tf.GradientTape() as tape:
        tape.watch(mild)
        sample = layer(mild, training=True)
    gradient = tape.gradient(sample, mild, logits((5, 4), seed=1)).numpy()
    assert np.all(np.isfinite(gradient)) and np.all(np.any(gradient != 0.0, axis=0))


@pytest.mark.parametrize("closed", [True, False])
def test_divergence_in_losses_and_metric(closed):
    name, prior = ("Normal", STANDARD) if closed else ("Logistic", ("Normal", STANDARD))
    layer = layers.SampleLayer(name, prior, kl_weight=0.3, seed=0, name="z")
    inputs = logits((7, 6))
    sample = layer(inputs, training=True)
    q, p = layer.distribution(inputs), tfd.Normal(0.0, 1.0)
    divergence = tfd.kl_divergence(q, p) if closed else q.log_prob(sample) - p.log_prob(sample)
    expected = float(tf.reduce_mean(tf.reduce_sum(divergence, -1)))
    assert float(layer.losses[0]) == pytest.approx(0.3 * expected, rel=1e-5)
    (metric,) = layer.metrics
    assert metric.name == "z_kl" and float(metric.result()) == pytest.approx(expected, rel=1e-5)
    layer.kl_weight = 0.5
    layer(inputs, training=True)
    assert float(layer.losses[-1]) == pytest.approx(0.5 * expected, rel=1e-5 if closed else 1.0)


def test_free_bits_charge_each_variable_the_same_up_to_them():
    inputs = tf.constant([[0.1, 2.0, 0.5413, 0.5413], [-0.1, 1.0, 0.5413, 0.5413]])
    layer = layers.SampleLayer("Normal", STANDARD, kl_weight=1.0, free_bits=0.7, seed=0)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        layer(inputs, training=True)
        (loss,) = layer.losses
    divergence = tfd.kl_divergence(layer.distribution(inputs), tfd.Normal(0.0, 1.0)).numpy().mean(0)
    assert divergence[0] < 0.7 < divergence[1]
    assert float(loss) == pytest.approx(0.7 + divergence[1], rel=1e-5)
    assert float(layer.metrics[0].result()) == pytest.approx(divergence.sum(), rel=1e-5)
    gradient = tape.gradient(loss, inputs).numpy()
    assert not np.any(gradient[:, [0, 2]]) and np.all(gradient[:, 1])


def test_a_metric_alone_is_no_loss():
    layer = layers.SampleLayer("Normal", STANDARD, seed=0)
    layer(logits((4, 6)), training=True)
    assert layer.losses == [] and len(layer.metrics) == 1
    assert layers.SampleLayer("Normal").metrics == []


def test_the_weight_of_the_divergence_is_checked_and_not_trained():
    layer = layers.SampleLayer("Normal", STANDARD, kl_weight=0.3)
    layer(logits((4, 6)), training=True)
    assert layer.trainable_weights == []
    for wrong in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="`kl_weight` is invalid"):
            layer.kl_weight = wrong
    assert float(layer.kl_weight) == pytest.approx(0.3)


def test_masks_of_time_steps_are_handed_on():
    inputs = keras.layers.Masking()(tf.constant([[[1.0, 2.0], [0.0, 0.0]]]))
    sample = layers.SampleLayer("Normal")(inputs)
    assert keras.src.backend.get_keras_mask(sample).numpy().tolist() == [[True, False]]


def test_inference():
    inputs = logits((50, 6))
    layer = layers.SampleLayer("Gamma", inference="mean", seed=1)
    np.testing.assert_allclose(layer(inputs), layer.distribution(inputs).mean())
    assert layer.seed_state.numpy().tolist() == [1, 0]
    assert not np.allclose(layer(inputs, training=True), layer.distribution(inputs).mean())
    sampling = layers.SampleLayer("Gamma", seed=1)
    assert np.mean(np.abs(sampling(inputs) - sampling(inputs))) > 0.1
    # A divergence without a closed form is of a sample, which the output need not be.
    measured = layers.SampleLayer("Logistic", ("Normal", STANDARD), inference="mean", seed=1)
    np.testing.assert_allclose(measured(inputs), inputs[:, :3])
    assert 0.0 < float(measured.metrics[0].result()) < 100.0


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_dtype_policies(policy):
    layer = layers.SampleLayer("Normal", STANDARD, kl_weight=0.3, seed=2, dtype=policy)
    compute = tf.as_dtype(layer.compute_dtype)
    inputs = logits((5, 6), dtype=compute)
    sample = layer(inputs, training=True)
    wide = tf.cast(inputs, tf.float64 if policy == "float64" else tf.float32)
    assert sample.dtype == compute and layer.losses[0].dtype == wide.dtype
    divergence = float(layer.metrics[0].result())
    assert float(layer.losses[0]) == pytest.approx(0.3 * divergence, rel=1e-5)
    expected = layer.distribution(wide).sample(seed=[2, 0])
    np.testing.assert_array_equal(sample, tf.cast(expected, compute))


@pytest.mark.parametrize(
    "distribution", ["Normal", "Dirichlet", skewed], ids=["Normal", "Dirichlet", "function"]
)
def test_saved_and_loaded_without_code(distribution, tmp_path):
    inputs = keras.Input([6])
    prior = {
        "Normal": {"loc": [0.0, 1.0, 2.0], "scale": 1.0},
        "Dirichlet": {"concentration": [1.0] * 6},
    }.get(distribution, ("LogNormal", STANDARD))
    layer = layers.SampleLayer(
        distribution,
        prior,
        kl_weight=0.1,
        free_bits=0.2,
        inference="mean" if distribution in GAMMAS else "sample",
        seed=3,
        name="z",
    )
    model = keras.Model(inputs, layer(keras.layers.Dense(6)(inputs)))
    assert model.output_shape == (None, 6 if distribution == "Dirichlet" else 3)
    model.get_layer("z").kl_weight = 0.4
    x = logits((4, 6))
    model(x)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")  # in safe mode
    np.testing.assert_array_equal(model(x), loaded(x))
    again = loaded.get_layer("z").get_config()
    assert again == layer.get_config() and again["kl_weight"] == pytest.approx(0.4)
    assert again["free_bits"] == pytest.approx(0.2)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_an_autoencoder_of_digits_trains(jit_compile):
    digits = (load_digits().data[:512] / 16.0).astype("float32")
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input([64]),
            keras.layers.Dense(16),
            layers.SampleLayer("Normal", STANDARD, kl_weight=0.001, seed=0, name="z"),
            keras.layers.Dense(64, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", jit_compile=jit_compile)
    history = model.fit(digits, digits, epochs=6, verbose=0).history
    assert history["loss"][-1] < 0.75 * history["loss"][0]
    assert 0.0 < history["z_kl"][-1]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.SampleLayer("Nrmal"), ValueError, "none of tfp.distributions"),
        (lambda: layers.SampleLayer(3), TypeError, "none of tfp.distributions"),
        (lambda: layers.SampleLayer("Poisson"), ValueError, "Poisson is not reparameterized"),
        (
            lambda: layers.SampleLayer("MultivariateNormalTriL"),
            ValueError,
            "a function of the inputs",
        ),
        (lambda: layers.SampleLayer("Normal", kl_weight=1.0), ValueError, "nothing to weigh"),
        (lambda: layers.SampleLayer(skewed, STANDARD), ValueError, "which distribution"),
        (lambda: layers.SampleLayer("Normal", seed=1.5), TypeError, "`seed` is invalid"),
        (lambda: layers.SampleLayer("Normal", inference="mode"), ValueError, "`inference`"),
        (lambda: layers.SampleLayer("Normal")(tf.zeros([2, 5])), ValueError, "that 2 divides"),
        (
            lambda: layers.SampleLayer(lambda x: tfd.Normal(x, 1.0)).get_config(),
            ValueError,
            "cannot be saved",
        ),
        (
            lambda: layers.SampleLayer(lambda x: tfd.Poisson(tf.exp(x)))(tf.zeros([2, 5])),
            ValueError,
            "not reparameterized",
        ),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
