"""Each pitfall is warned of in a model made to have it, and none in models that are well."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.diagnostics.digit_models import DIGITS, autoencoder, fit
from tfgumbel import layers
from tfgumbel.diagnostics import LatentMonitor, PitfallWarning, Thresholds
from tfgumbel.diagnostics.latent_statistics import LatentStatistics
from tfgumbel.diagnostics.pitfalls import PITFALLS

STRAIGHT = "straight_through_gumbel_softmax"


class Logarithm(keras.layers.Layer):
    """What a relaxed sample of 0 does not survive."""

    def call(self, sample):
        return sample * keras.ops.log(sample)


class Exponential(keras.layers.Layer):
    """Unnormalised probabilities made outside the estimator, as they should not be."""

    def call(self, logits):
        return keras.ops.log(keras.ops.exp(100.0 * logits))


class Shuffle(keras.layers.Layer):
    """Forward the sample of another example, backward this one's."""

    def call(self, sample):
        return sample + keras.ops.stop_gradient(keras.ops.roll(sample, 1, axis=0) - sample)


class FirstClass(keras.layers.Layer):
    def call(self, logits):
        return logits + 9.0 * keras.ops.one_hot(0, logits.shape[-1])


class AlwaysTraining(keras.Model):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, inputs):
        return self.inner(inputs, training=True)


def warned_of(model, *pitfalls, epochs=3, layer="code", **options):
    """Trains; returns the texts, after seeing that these pitfalls and no others were warned of."""
    monitor = LatentMonitor((DIGITS, DIGITS), **{"num_batches": 1, **options})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(model, monitor, epochs=epochs)
    texts = [str(found.message) for found in caught if found.category is PitfallWarning]
    assert monitor.warned == [(layer, pitfall) for pitfall in pitfalls], texts
    assert len(texts) == len(pitfalls)  # once, in several epochs
    for text, pitfall in zip(texts, pitfalls, strict=True):
        assert text.startswith(f"{pitfall} in layer {layer!r}")
        assert "\n  cause: " in text and "\n  fix: " in text
    return texts


def categorical(estimator, temperature=1.0, **options):
    return layers.CategoricalLayer(estimator, temperature, seed=1, name="code", **options)


def binary(estimator, temperature=1.0):
    return layers.BernoulliLayer(estimator, temperature, seed=1, name="code")


def several(*makers):
    """Layers of names that tell them apart."""
    made = []
    for number, layer in enumerate(makers):
        config = {**layer.get_config(), "name": f"code_{number}", "seed": number}
        made.append(type(layer).from_config(config))
    return made


@pytest.mark.parametrize(
    "latents",
    [
        (
            categorical("gumbel_softmax", 0.7),
            categorical("straight_through"),
            categorical("gumbel_rao", 0.1, inference="argmax"),
            categorical("reinmax"),
            categorical(STRAIGHT, keras.optimizers.schedules.ExponentialDecay(1.0, 10, 0.9)),
        ),
        (
            binary("bernoulli_gumbel_rao", 0.5),
            binary("bernoulli_straight_through"),
            layers.BinaryConcreteLayer(),
            layers.HardConcreteLayer(),
        ),
    ],
    ids=["categorical", "bernoulli"],
)
def test_healthy_layers_are_left_in_peace(latents):
    warned_of(autoencoder(*several(*latents)), epochs=4)


def test_nan_from_a_low_temperature():
    model = autoencoder(categorical("gumbel_softmax", 0.01), after=[Logarithm()])
    (text,) = warned_of(model, "NaN")
    assert "a temperature of 0.01" in text and "extreme" not in text


def test_nan_from_extreme_logits():
    model = autoencoder(categorical("gumbel_rao"), before=[Exponential()], learning_rate=1.0)
    (text,) = warned_of(model, "NaN")
    assert "extreme logits" in text and "a temperature" not in text


@pytest.mark.parametrize("temperature", [0.01, 1e-7])
def test_exploding_gradient_variance(temperature):
    model = autoencoder(categorical(STRAIGHT, temperature), kl_weight=0.0)
    (text,) = warned_of(model, "exploding gradient variance")
    assert "gumbel_rao" in text.partition("fix: ")[2]
    # With less variance at the same temperature, silence.
    if temperature == 0.01:
        warned_of(autoencoder(categorical("gumbel_rao", temperature)))


def test_soft_outputs_of_a_layer_that_is_asked_for_them():
    model = autoencoder(categorical("gumbel_rao", inference="probs"))
    (text,) = warned_of(model, "not actually hard", epochs=1)
    assert 'inference="probs"' in text


def test_soft_outputs_of_a_model_that_always_trains():
    model = AlwaysTraining(autoencoder(categorical("gumbel_softmax", 0.7)))
    model.compile("adam", "binary_crossentropy")
    (text,) = warned_of(model, "not actually hard", epochs=1)
    assert "training=True" in text


@pytest.mark.parametrize(
    "latent",
    [categorical("gumbel_rao"), binary("bernoulli_gumbel_rao", 0.5)],
    ids=["categorical", "bernoulli"],
)
def test_posterior_collapse(latent):
    warned_of(autoencoder(latent, kl_weight=30.0), "posterior collapse", epochs=8)


def test_collapse_is_told_from_the_prior_that_is_given():
    skewed = 2.0 * np.eye(8, dtype="float32")[0]
    model = autoencoder(categorical("gumbel_rao"), kl_weight=30.0)
    warned_of(model, epochs=8, priors={"code": skewed})


def test_unused_classes():
    model = autoencoder(categorical("gumbel_rao"), before=[FirstClass()], kl_weight=0.0)
    (text,) = warned_of(model, "unused classes")
    assert "of 48 classes" in text


def test_gradients_that_do_not_feel_the_logits():
    model = autoencoder(categorical(STRAIGHT, 50.0), kl_weight=0.0)
    (text,) = warned_of(model, "gradients do not feel the logits")
    assert "a temperature of 50" in text


def test_an_estimator_without_a_gradient():
    model = autoencoder(categorical("gumbel_max"), kl_weight=0.0)
    (text,) = warned_of(model, "gradients do not feel the logits")
    assert "has no gradient" in text


def test_forward_and_backward_that_do_not_match():
    model = autoencoder(categorical("gumbel_rao"), after=[Shuffle()])
    warned_of(model, "forward and backward do not match", epochs=8)


def test_patience_and_thresholds():
    model = autoencoder(categorical(STRAIGHT, 50.0), kl_weight=0.0)
    warned_of(model, epochs=1)
    warned_of(model, epochs=2, thresholds=Thresholds(deaf_gain=0.001, truth=(0.0, 100.0)))
    once = Thresholds(patience=1)
    warned_of(model, "gradients do not feel the logits", epochs=1, thresholds=once)


def test_there_are_seven_and_each_is_documented():
    page = (tf.io.gfile.GFile("docs/monitor.md")).read()
    assert len(PITFALLS) == 7
    for pitfall in PITFALLS:
        assert f"**{pitfall.name}**" in page
        assert all(f"`{line}`" in page for line in pitfall.lines)


def judged(**changes):
    """The pitfalls of a layer that is well but for these statistics."""
    well = {
        **{"entropy": 1.0, "kl": 0.5, "perplexity": 3.0, "dead_classes": 0, "num_classes": 8},
        **{"gradient_snr": 0.4, "gradient_gain": 1.0, "temperature": 0.5, "saturation": 0.1},
        **{"discrete_gap": 0.0, "gradient_truth": 1.0, "gradient_truth_error": 0.1},
        **{"soft_outputs": 0.0, "largest_logit": 3.0, "finite": True, "estimator": "gumbel_rao"},
    }
    found = LatentStatistics(**{**well, **changes})
    return [pitfall.name for pitfall in PITFALLS if pitfall.occurs(found, Thresholds())]


def test_limits():
    mismatch = "forward and backward do not match"
    assert judged() == []
    # Only what is outside by three standard errors.
    assert judged(gradient_truth=0.1, gradient_truth_error=0.06) == []
    assert judged(gradient_truth=0.1, gradient_truth_error=0.04) == [mismatch]
    assert judged(gradient_truth=9.0, gradient_truth_error=0.4) == []
    assert judged(gradient_truth=9.0, gradient_truth_error=0.3) == [mismatch]
    # Gates may be closed, soft and the same for all examples.
    gates = {"kl": 0.001, "dead_classes": 7, "soft_outputs": 0.5}
    assert judged(**gates) == ["not actually hard", "posterior collapse", "unused classes"]
    assert judged(**gates, estimator="hard_concrete") == []
