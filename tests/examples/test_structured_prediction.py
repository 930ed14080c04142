"""Structured prediction: its program against enumeration, resuming, estimators, the picture."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from examples.common import binary_images, bound_main, bound_training
from examples.common.estimation import Estimation
from examples.common.estimator import NAMES
from examples.common.files import RunError
from examples.structured_prediction import model, pictures, train
from tests.examples import belief_networks
from tfgumbel.registry import REGISTRY

TINY = train.Settings(
    layers=(8, 8),
    classes=4,
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
    """A network of images of 6 pixels that can be summed over, and 3 images."""
    rng = np.random.default_rng(0)
    settings = dataclasses.replace(TINY, classes=2, layers=(4, 2), **changes)
    network = model.BeliefNetwork(rng.uniform(0.2, 0.8, 6), settings)
    for one in network.maps:
        for layer in one.layers:
            layer.bias.assign(rng.normal(size=layer.bias.shape))
    return network, (rng.random((3, 6)) < 0.5).astype(float)


def enumerated(network, images, settings):
    """Probabilities and log p(lower | h) of every outcome, shape (outcomes, images)."""
    units = [
        belief_networks.Units(settings.variables, size, settings.classes)
        for size in settings.layers
    ]
    upper, lower = images[:, :3], images[:, 3:]
    first = belief_networks.perceptron(network.maps[0], upper - network.upper_means.numpy())
    log_probs, costs = [], []
    for (one, code), (two, deeper) in belief_networks.paths(units):
        second = belief_networks.perceptron(network.maps[1], code)
        log_probs.append(units[0].log_prob(first, one) + units[1].log_prob(second, two))
        logits = belief_networks.perceptron(network.maps[2], deeper)
        costs.append(belief_networks.log_bernoulli(lower, logits))
    return np.exp(log_probs), np.array(costs)


@pytest.mark.parametrize("variables", ["bernoulli", "categorical"])
@pytest.mark.parametrize("nonlinear", [False, True])
def test_the_expected_cost_is_the_sum_over_all_outcomes(float64, variables, nonlinear):
    network, images = small_network(
        variables=variables, nonlinear=nonlinear, estimator="enumeration"
    )
    probs, costs = enumerated(network, images, network.estimation.settings)
    np.testing.assert_allclose(probs.sum(axis=0), 1.0)
    bound = network.estimation.bound(
        network.log_weights, network.inputs(images), seed=tf.constant([0, 1])
    )
    np.testing.assert_allclose(bound, np.sum(probs * costs, axis=0), rtol=1e-8)


def test_the_bound_of_many_samples_is_the_log_likelihood(float64):
    network, images = small_network(estimator="reinforce", num_samples=20_000)
    probs, costs = enumerated(network, images, network.estimation.settings)
    exact = np.log(np.sum(probs * np.exp(costs), axis=0))
    bound = network.estimation.bound(
        network.log_weights, network.inputs(images[:1]), seed=tf.constant([0, 1])
    )
    ratio = np.exp(costs[:, 0] - exact[0])
    error = np.sqrt((np.sum(probs[:, 0] * ratio**2) - 1.0) / 20_000)
    assert error < 0.02  # a bound of the mean log weight would be this far away at least
    assert exact[0] - np.sum(probs * costs, axis=0)[0] > 10.0 * error
    assert abs(bound[0] - exact[0]) < 5.0 * error


@pytest.mark.parametrize("objective", ["bound", "mean"])
def test_several_samples_are_the_bound_or_the_mean(float64, objective):
    network, images = small_network(estimator="reinforce_loo", num_samples=3, objective=objective)
    inputs = network.inputs(np.repeat(images[:1], 20_000, axis=0))
    value = network.estimation.bound(network.log_weights, inputs, seed=tf.constant([0, 1])).numpy()
    probs, costs = enumerated(network, images[:1], network.estimation.settings)
    probs, costs = probs[:, 0], costs[:, 0]
    if objective == "mean":
        expected = np.sum(probs * costs)
    else:
        trio = np.exp(costs)[:, None, None] + np.exp(costs)[:, None] + np.exp(costs)
        weight = probs[:, None, None] * probs[:, None] * probs
        expected = np.sum(weight * np.log(trio / 3.0))
    error = value.std(ddof=1) / np.sqrt(len(value))
    assert error < 0.02
    assert abs(value.mean() - expected) < 5.0 * error


@pytest.mark.parametrize("estimator", ["muprop", "reinforce_baseline"])
def test_unbiased_estimators_have_the_gradient_of_the_sum(float64, estimator):
    """Of every map's weights, by 40 groups of 500 rows each: a bias of 2% would show."""
    network, images = small_network(estimator=estimator)
    exact, _ = small_network(estimator="enumeration")
    weights = [w for one in network.maps for w in one.trainable_variables]
    twins = [w for one in exact.maps for w in one.trainable_variables]
    with tf.GradientTape() as tape:
        inputs = exact.inputs(images[:1])
        value = exact.estimation.bound(exact.log_weights, inputs, seed=tf.constant([0, 1]))
    truth = tape.gradient(value, [w.value for w in twins])
    assert [len(w.shape) for w in weights] == [2, 1] * 3

    @tf.function
    def gradient(seed):
        with tf.GradientTape() as tape:
            inputs = network.inputs(np.repeat(images[:1], 500, axis=0))
            value = network.estimation.bound(network.log_weights, inputs, seed=seed)
            mean = tf.reduce_mean(value)
        return tape.gradient(mean, [w.value for w in weights])

    groups = [gradient(tf.constant([3, k])) for k in range(41)][1:]  # the first fills baselines
    for index, one in enumerate(truth):
        found = np.stack([np.asarray(group[index]) for group in groups])
        error = found.std(axis=0, ddof=1) / np.sqrt(len(groups)) + 1e-9
        assert np.abs((found.mean(axis=0) - one) / error).max() < 5.0, weights[index].path
        if estimator == "muprop":
            assert error.max() < 0.02 * max(1.0, np.abs(one).max())


@pytest.mark.parametrize("variables", ["bernoulli", "categorical"])
def test_every_estimator_trains_a_cascade_or_says_why_not(variables):
    images = np.repeat([[0, 1, 1, 0, 1, 1], [1, 0, 1, 0, 0, 0]], 10, axis=0)
    refused = set()
    for name in NAMES:
        num_samples = getattr(REGISTRY[name], "min_samples", 1)
        network, _ = small_network(
            variables=variables, estimator=name, num_samples=num_samples, objective="mean"
        )
        try:
            network.estimation.check_program(network.log_weights, network.inputs(images))
        except RunError as error:
            assert name in str(error)
            refused.add(name)
            continue
        with tf.GradientTape() as tape:
            inputs = network.inputs(images)
            value = network.estimation.bound(network.log_weights, inputs, seed=tf.constant([1, 2]))
        slopes = tape.gradient(value, network.maps[0].trainable_variables)
        assert all(np.isfinite(np.asarray(slope)).all() for slope in slopes), name
        assert np.abs(slopes[1]).max() > 0.0, name
    parallel = {n for n, e in REGISTRY.items() if not getattr(e, "cascades", True)}
    assert parallel <= refused
    assert not refused & {"reinforce", "nvil", "muprop", "darn", "gumbel_rao", "reinmax", "vimco"}


def test_a_check_leaves_no_trace():
    network, images = small_network(estimator="nvil")
    before = [np.asarray(v) for v in network.variables]
    network.estimation.check_program(network.log_weights, network.inputs(images))
    for one, other in zip(before, network.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_annealing_starts_and_ends_where_it_should():
    settings = dataclasses.replace(TINY, temperature=0.5, anneal_rate=1e-3)
    estimation = Estimation(settings, num_features=1, num_logits=1)
    found = [float(estimation.temperature_at(tf.constant(s))) for s in (0, 500, 5_000)]
    np.testing.assert_allclose(found, [1.0, np.exp(-0.5), 0.5], rtol=1e-6)


def test_the_temperature_follows_the_optimizers_steps(splits):
    settings = dataclasses.replace(TINY, estimator="gumbel_softmax", anneal_rate=1e-3)
    training = bound_training.BoundTraining(settings, train.make_model, splits)
    losses = []
    for step in (0, 5_000):
        training.optimizer.iterations.assign(step)
        losses.append(float(training.mean_loss(splits.train[:8], tf.constant([1, 2]))))
    fixed = dataclasses.replace(TINY, estimator="gumbel_softmax")
    training = bound_training.BoundTraining(fixed, train.make_model, splits)
    losses.append(float(training.mean_loss(splits.train[:8], tf.constant([1, 2]))))
    assert losses[1] == losses[2] != losses[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"estimator": "nvil"},
        {"estimator": "gumbel_softmax", "anneal_rate": 0.01, "variables": "categorical"},
    ],
)
def test_a_resumed_run_ends_with_the_same_weights(splits, tmp_path, changes):
    settings = dataclasses.replace(TINY, steps=150, **changes)
    unbroken = bound_training.BoundTraining(settings, train.make_model, splits)
    before, start = unbroken.validate(), variables_of(unbroken)
    unbroken.advance(60)
    unbroken.save(tmp_path / "checkpoint.npz")
    unbroken.advance(90)
    assert unbroken.validate() < before
    resumed = bound_training.BoundTraining(settings, train.make_model, splits)
    for one, other in zip(variables_of(resumed), start, strict=True):
        np.testing.assert_array_equal(one, other)
    resumed.restore(tmp_path / "checkpoint.npz")
    resumed.advance(40)
    resumed.advance(50)
    assert len(resumed.model.losses) == (changes["estimator"] == "nvil")
    for one, other in zip(variables_of(resumed), variables_of(unbroken), strict=True):
        np.testing.assert_array_equal(one, other)


def variables_of(training):
    return [np.asarray(v) for v in (*training.model.variables, *training.optimizer.variables)]


def test_a_baseline_is_trained_with_the_model(splits):
    settings = dataclasses.replace(TINY, estimator="nvil")
    training = bound_training.BoundTraining(settings, train.make_model, splits)
    baseline = training.model.estimation.learned
    before = [np.asarray(v) for v in baseline.trainable_variables]
    training.advance(3)
    after = [np.asarray(v) for v in baseline.trainable_variables]
    assert len(before) == 4
    assert all(np.any(one != other) for one, other in zip(before, after, strict=True))


def test_test_images_are_evenly_spaced():
    images = np.arange(10)
    np.testing.assert_array_equal(binary_images.evenly_spaced(images, 4), [0, 2, 5, 7])
    np.testing.assert_array_equal(binary_images.evenly_spaced(images, None), images)
    np.testing.assert_array_equal(binary_images.evenly_spaced(images, 20), images)


def test_a_comparison_ends_with_table_and_pictures(splits, tmp_path, capsys):
    bound_main.compare(
        dataclasses.replace(TINY, steps=4, eval_every=2, eval_images=6, eval_samples=3),
        ("reinforce", "gumbel_rao"),
        tmp_path,
        run=train.run,
        draw=pictures.draw,
        title="Bound",
    )
    printed = capsys.readouterr().out
    for name in ("reinforce", "gumbel_rao"):
        assert name in printed
        result = json.loads((tmp_path / name / "result.json").read_text())
        assert [entry["step"] for entry in result["history"]] == [2, 4]
        assert result["test_images"] == 6 and result["test_samples"] == 3
        path = tmp_path / name / "completions.png"
        assert path.read_bytes()[:4] == b"\x89PNG" and path.stat().st_size > 5_000
    assert (tmp_path / "curves.png").stat().st_size > 5_000


def test_completions_keep_the_upper_half(splits, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(pictures.figures, "show", lambda axes, x, shape: shown.append(x))
    network = model.BeliefNetwork(splits.pixel_means, TINY)
    images = splits.test[:2]
    path = pictures.completions(network, images, splits.image_shape, tmp_path / "one.png")
    assert path.exists() and len(shown) == 2 * 8
    for row, image in zip(np.swapaxes(np.reshape(shown, [8, 2, 64]), 0, 1), images, strict=True):
        assert (row[:, :32] == image[:32]).all()
        assert (row[-1] == image).all() and not row[0, 32:].any()
        drawn, mean = row[1:6, 32:], row[6, 32:]
        assert set(np.unique(drawn)) == {0.0, 1.0} and len(np.unique(drawn, axis=0)) == 5
        assert ((mean > 0.0) & (mean < 1.0)).all()


def test_flags_become_settings(tmp_path):
    arguments = "--estimator=vimco --layers=5,6,7 --noise_samples=3 --num_samples=4 --steps=2"
    arguments += " --variables=bernoulli --eval_samples=2 --eval_images=3 --validation_images=2"
    command = [sys.executable, "-m", "examples.structured_prediction.main", *arguments.split()]
    root = pathlib.Path(train.__file__).parents[2]
    subprocess.run([*command, f"--run_dir={tmp_path}"], cwd=root, check=True)
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["layers"] == [5, 6, 7] and settings["noise_samples"] == 3
    assert (settings["estimator"], settings["num_samples"]) == ("vimco", 4)
    assert settings["batch_size"] == 32  # of the embedded digits
    assert (tmp_path / "completions.png").exists()
