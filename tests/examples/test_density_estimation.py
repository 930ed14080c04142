"""Density estimation: its bound against enumeration, relaxed densities, samples, resuming, data."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfgumbel
from examples.common import binary_images, bound_training
from examples.common.files import RunError
from examples.density_estimation import model, pictures, train
from tests.examples import belief_networks

tfd = tfp.distributions

TINY = train.Settings(
    layers=(8,),
    batch_size=8,
    steps=12,
    learning_rate=0.02,
    warmup_steps=2,
    eval_every=4,
    validation_samples=5,
    validation_images=20,
    eval_samples=10,
    eval_images=20,
)


@pytest.fixture(scope="module")
def splits():
    return binary_images.load("digits")


@pytest.fixture
def float64():
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy("float32")


def small_network(**changes):
    """A network of images of 5 pixels that can be summed over, and 3 images."""
    rng = np.random.default_rng(0)
    settings = dataclasses.replace(TINY, **{"layers": (4, 2), "classes": 2, **changes})
    network = model.BeliefNetwork(rng.uniform(0.2, 0.8, 5), settings)
    for one in (*network.encoders, *network.decoders):
        for layer in one.layers:
            layer.bias.assign(rng.normal(size=layer.bias.shape))
    network.prior_logits.assign(rng.normal(size=network.prior_logits.shape))
    return network, (rng.random((3, 5)) < 0.5).astype(float)


def enumerated(network, images, settings):
    """log q(h | x) and log p(x, h) of every outcome of two layers, shape (outcomes, images)."""
    units = [
        belief_networks.Units(settings.variables, size, settings.classes)
        for size in settings.layers
    ]
    first = belief_networks.perceptron(network.encoders[0], images - network.pixel_means.numpy())
    log_q, log_p = [], []
    for (one, code), (two, deeper) in belief_networks.paths(units):
        second = belief_networks.perceptron(network.encoders[1], code)
        log_q.append(units[0].log_prob(first, one) + units[1].log_prob(second, two))
        down = belief_networks.perceptron(network.decoders[1], deeper)
        pixels = belief_networks.perceptron(network.decoders[0], code)
        log_p.append(
            units[1].log_prob(network.prior_logits.numpy(), two)
            + units[0].log_prob(down, one)
            + belief_networks.log_bernoulli(images, pixels)
        )
    return np.array(log_q), np.array(log_p)


@pytest.mark.parametrize("variables", ["bernoulli", "categorical"])
@pytest.mark.parametrize("nonlinear", [False, True])
def test_the_elbo_is_the_sum_over_all_outcomes(float64, variables, nonlinear):
    network, images = small_network(
        variables=variables, nonlinear=nonlinear, estimator="enumeration"
    )
    log_q, log_p = enumerated(network, images, network.estimation.settings)
    np.testing.assert_allclose(np.exp(log_q).sum(axis=0), 1.0)
    bound = network.estimation.bound(
        network.log_weights, network.inputs(images), seed=tf.constant([0, 1])
    )
    expected = np.sum(np.exp(log_q) * (log_p - log_q), axis=0)
    np.testing.assert_allclose(bound, expected, rtol=1e-8)


def test_the_bound_of_many_samples_is_the_log_likelihood(float64):
    network, images = small_network(estimator="reinforce", num_samples=200_000)
    log_q, log_p = enumerated(network, images[:1], network.estimation.settings)
    evidence = np.logaddexp.reduce(log_p, axis=0)[0]
    ratio = np.exp(log_p[:, 0] - log_q[:, 0] - evidence)
    error = np.sqrt((np.sum(np.exp(log_q[:, 0]) * ratio**2) - 1.0) / 200_000)
    bound = network.estimation.bound(
        network.log_weights, network.inputs(images[:1]), seed=tf.constant([0, 1])
    )
    assert error < 0.02
    assert abs(bound[0] - evidence) < 5.0 * error
    # The probabilities of all images add up to 1: it is a density.
    every = np.array(np.meshgrid(*[[0.0, 1.0]] * 5)).reshape(5, -1).T
    _, log_p = enumerated(network, every, network.estimation.settings)
    np.testing.assert_allclose(np.exp(log_p).sum(), 1.0)


class Recorder:
    """A `draw` that keeps what was drawn."""

    def __init__(self, draw):
        self._draw, self.drawn = draw, []
        self.log_prob = draw.log_prob

    def __call__(self, distribution):
        self.drawn.append(self._draw(distribution))
        return self.drawn[-1]


def test_relaxed_densities_have_two_temperatures(float64):
    """Maddison et al. 2017, eq. 20 to 24, written out with TFP's Concrete distributions."""
    network, images = small_network(
        estimator="gumbel_softmax", temperature=2 / 3, prior_temperature=0.4
    )
    recorders = []

    def program(draw, inputs):
        recorders.append(Recorder(draw))
        return network.log_weights(recorders[-1], inputs)

    inputs = network.inputs(images)
    bound = network.estimation.bound(program, inputs, seed=tf.constant([0, 1]))
    one, two = recorders[-1].drawn
    assert ((one > 0.0) & (one < 1.0)).numpy().all()

    def log_density(temperature, logits, sample):
        density = tfd.RelaxedBernoulli(tf.constant(temperature, tf.float64), logits=logits)
        return tf.reduce_sum(density.log_prob(sample), axis=-1)

    code, deeper = 2.0 * one - 1.0, 2.0 * two - 1.0
    pixels = tfd.Bernoulli(logits=network.decoders[0](code))
    expected = (
        tf.reduce_sum(pixels.log_prob(images), axis=-1)
        + log_density(0.4, network.decoders[1](deeper), one)
        + log_density(0.4, tf.convert_to_tensor(network.prior_logits), two)
        - log_density(2 / 3, inputs["logits"], one)
        - log_density(2 / 3, network.encoders[1](code), two)
    )
    np.testing.assert_allclose(bound, expected, rtol=1e-6)


@pytest.mark.parametrize("estimator", ["disarm", "rebar", "relax", "reinforce_loo"])
def test_unbiased_estimators_have_the_gradient_of_the_sum(float64, estimator):
    """Of every weight of one layer of units, by 60 groups of 400 rows each."""
    changes = {"layers": (3,), "objective": "mean"}
    changes["num_samples"] = 2 if estimator == "reinforce_loo" else 1
    network, images = small_network(estimator=estimator, **changes)
    exact, _ = small_network(estimator="enumeration", **changes)

    def weights_of(one):
        maps = [w for each in (*one.encoders, *one.decoders) for w in each.trainable_variables]
        return [w.value for w in (*maps, one.prior_logits)]

    with tf.GradientTape() as tape:
        inputs = exact.inputs(images[:1])
        value = exact.estimation.bound(exact.log_weights, inputs, seed=tf.constant([0, 1]))
    truth = tape.gradient(value, weights_of(exact))
    assert len(truth) == 5

    @tf.function
    def gradient(seed):
        with tf.GradientTape() as tape:
            inputs = network.inputs(np.repeat(images[:1], 400, axis=0))
            value = network.estimation.bound(network.log_weights, inputs, seed=seed)
            mean = tf.reduce_mean(value)
        return tape.gradient(mean, weights_of(network))

    groups = [gradient(tf.constant([3, k])) for k in range(60)]
    for index, one in enumerate(truth):
        found = np.stack([np.asarray(group[index]) for group in groups])
        error = found.std(axis=0, ddof=1) / np.sqrt(len(groups)) + 1e-9
        assert np.abs((found.mean(axis=0) - one) / error).max() < 5.0, index
        assert error.max() < 0.02, index  # of gradients whose largest entries are near 1


def test_generated_images_have_the_models_means(float64):
    network, _ = small_network()
    every = np.array(np.meshgrid(*[[0.0, 1.0]] * 5)).reshape(5, -1).T
    _, log_p = enumerated(network, every, network.estimation.settings)
    expected = np.exp(log_p).sum(axis=0) @ every
    means = network.generate(20_000, tf.constant([1, 2])).numpy()
    error = means.std(axis=0) / np.sqrt(len(means))
    assert error.max() < 0.01
    assert np.abs((means.mean(axis=0) - expected) / error).max() < 5.0


def test_a_cascade_is_refused_where_it_cannot_be_done():
    for estimator in ("disarm", "rebar"):
        network, images = small_network(estimator=estimator)
        with pytest.raises(RunError, match="cascade"):
            network.estimation.check_program(network.log_weights, network.inputs(images))


@pytest.mark.parametrize("estimator", ["disarm", "relax"])
def test_a_resumed_run_ends_with_the_same_weights(splits, tmp_path, estimator):
    settings = dataclasses.replace(TINY, steps=60, estimator=estimator)
    unbroken = bound_training.BoundTraining(settings, train.make_model, splits)
    before = unbroken.validate()
    unbroken.advance(20)
    unbroken.save(tmp_path / "checkpoint.npz")
    unbroken.advance(40)
    assert unbroken.validate() < before
    resumed = bound_training.BoundTraining(settings, train.make_model, splits)
    resumed.restore(tmp_path / "checkpoint.npz")
    resumed.advance(15)
    resumed.advance(25)
    for one, other in zip(variables_of(resumed), variables_of(unbroken), strict=True):
        np.testing.assert_array_equal(one, other)


def variables_of(training):
    return [np.asarray(v) for v in (*training.model.variables, *training.optimizer.variables)]


def test_evaluation_uses_as_many_samples_as_it_says(splits):
    settings = dataclasses.replace(TINY, layers=(4,), estimator="reinforce")
    training = bound_training.BoundTraining(settings, train.make_model, splits)
    images = splits.test[:30]
    few, many = (training.bounds(images, m).mean() for m in (1, 300))
    exact = -tfgumbel.multi_sample_bound(
        training.model.log_weights,
        training.model.inputs(tf.cast(images, tf.float32)),
        num_samples=20_000,
        estimator="reinforce",
        seed=5,
    )
    exact = float(tf.reduce_mean(exact))
    assert exact < many + 0.05 and abs(many - exact) < 0.1
    assert few > many + 0.1


def test_omniglot_is_split_and_binarized(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (200, 28, 28), dtype=np.uint8)
    np.savez(
        tmp_path / "omniglot28.npz",
        image=images,
        train_index=np.arange(180),
        test_index=np.arange(180, 200),
    )
    splits = binary_images.load("omniglot", data_dir=tmp_path)
    assert splits.train.shape == (170, 784) and splits.validation.shape == (10, 784)
    assert splits.stochastic and splits.image_shape == (28, 28)
    assert set(np.unique(splits.test)) == {0, 1}
    expected = images[180:].reshape(20, -1) / 255.0
    assert abs(np.mean(splits.test - expected)) < 0.02
    assert np.corrcoef(splits.test.ravel(), expected.ravel())[0, 1] > 0.4
    with pytest.raises(RunError, match=r"omniglot28\.npz"):
        binary_images.load("omniglot", data_dir=tmp_path / "elsewhere")


def test_samples_are_drawn(splits, tmp_path):
    network = model.BeliefNetwork(splits.pixel_means, TINY)
    path = pictures.samples(network, splits.image_shape, tmp_path / "samples.png", rows=2)
    assert path.read_bytes()[:4] == b"\x89PNG" and path.stat().st_size > 5_000


def test_flags_become_settings(tmp_path):
    arguments = "--estimator=nvil --layers=5 --prior_temperature=0.3 --steps=2"
    arguments += " --eval_samples=2 --eval_images=3 --validation_images=2"
    command = [sys.executable, "-m", "examples.density_estimation.main", *arguments.split()]
    root = pathlib.Path(train.__file__).parents[2]
    subprocess.run([*command, f"--run_dir={tmp_path}"], cwd=root, check=True)
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["layers"] == [5] and settings["prior_temperature"] == 0.3
    assert (tmp_path / "samples.png").exists() and (tmp_path / "curves.png").exists()
