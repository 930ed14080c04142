"""The discrete VAE: its bounds, resuming after a kill, flags, data, pictures; tiny runs."""

import dataclasses
import functools
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from absl import flags

import tfgumbel
from examples.common import binary_images
from examples.common.estimator import NAMES, Estimator
from examples.common.files import RunError
from examples.common.settings import OPTIMIZERS, make_optimizer
from examples.discrete_vae import main, model, pictures, train
from tfgumbel.distributions.abilities import BERNOULLI, ONE_HOT_CATEGORICAL
from tfgumbel.registry import REGISTRY, sample_estimators

TINY = train.Settings(
    arity=4,
    latent_bits=12,
    hidden_units=(16,),
    batch_size=8,
    steps=12,
    learning_rate=0.05,
    warmup_steps=2,
    eval_every=4,
    validation_samples=5,
    validation_images=20,
    eval_samples=10,
    eval_images=20,
)


def tiny_model(estimator="straight_through", **changes):
    make = functools.partial(Estimator, estimator)
    return model.DiscreteVAE(64, estimator=make, **changes)


@pytest.fixture(scope="module")
def splits():
    return binary_images.load("digits")


def log_prior(tiny, one_hot):
    """log p(D) of each of the configurations, from the prior's own logits."""
    return tf.einsum("vc,dvc->d", tf.nn.log_softmax(tiny.prior_logits), one_hot)


def with_learned_prior(tiny):
    """The model, its prior away from the uniform one it starts from."""
    prior = np.random.default_rng(0).normal(size=tiny.prior_logits.shape)
    tiny.prior_logits.assign(prior)
    return tiny


@pytest.mark.parametrize("learned", [False, True])
def test_log_weights_against_enumeration(splits, learned):
    """Every weight is the model's own log p(x, D) - log q(D | x), D over all 64 configurations."""
    tiny = tiny_model(num_variables=3, arity=4, learned_prior=learned)
    if learned:
        with_learned_prior(tiny)
    images = tf.cast(splits.test[:2], tf.float32)
    configurations = np.array(list(itertools.product(range(4), repeat=3)))
    one_hot = tf.one_hot(configurations, 4)
    log_q = tf.nn.log_softmax(tiny.posterior_logits(images))
    log_q = tf.einsum("bvc,dvc->bd", log_q, one_hot)
    probs = tf.sigmoid(tiny.decode(one_hot)).numpy()[np.newaxis]
    x = images.numpy()[:, np.newaxis]
    log_likelihood = np.log(np.where(x == 1.0, probs, 1.0 - probs)).sum(axis=-1)
    joint = log_likelihood + log_prior(tiny, one_hot).numpy()
    if not learned:
        np.testing.assert_allclose(log_prior(tiny, one_hot), -3 * np.log(4.0), rtol=1e-6)
    expected = joint - log_q.numpy()
    weights = tiny.log_weights(images, 300, tf.constant([1, 2])).numpy()
    assert weights.shape == (300, 2)
    distance = np.abs(weights[:, :, np.newaxis] - expected).min(axis=-1)
    assert distance.max() < 1e-3
    found = [len(np.unique(np.round(weights[:, b], 2))) for b in range(2)]
    assert min(found) > 20, "hardly any configuration was drawn"
    # The loss of one draw is minus its weight with KL in place of log q - log p.
    evidence = np.logaddexp.reduce(joint, axis=1)
    exact = tiny.log_weights(images, 20_000, tf.constant([3, 4]))
    bound = tf.reduce_logsumexp(exact, axis=0) - np.log(20_000)
    np.testing.assert_allclose(bound, evidence, atol=0.1)


def exact_elbo(tiny, image):
    """Sum over all configurations of q (log q - log p(x, D)), written out; and its gradient."""
    configurations = list(itertools.product(range(tiny.arity), repeat=tiny.num_variables))
    one_hot = tf.one_hot(configurations, tiny.arity)
    with tf.GradientTape() as tape:
        log_q = tf.nn.log_softmax(tiny.posterior_logits(image))
        log_q = tf.einsum("bvc,dvc->bd", log_q, one_hot)[0]
        log_p = model.bernoulli_log_likelihood(image, tiny.decode(one_hot))
        log_p += log_prior(tiny, one_hot)
        loss = tf.reduce_sum(tf.exp(log_q) * (log_q - log_p))
    return float(loss), tape.gradient(loss, tiny.trainable_variables)


@pytest.mark.parametrize("estimator", ["straight_through", "reinforce_loo", "muprop"])
def test_loss_is_the_enumerated_elbo_in_expectation(splits, estimator):
    tiny = tiny_model(estimator, num_variables=3, arity=2, hidden_units=(16,))
    image = tf.cast(splits.test[:1], tf.float32)
    expected, _ = exact_elbo(tiny, image)
    losses = tiny.negative_elbo(tf.repeat(image, 20_000, axis=0), tf.constant([1, 2])).numpy()
    error = losses.std(ddof=1) / np.sqrt(20_000)
    assert error < 0.05
    assert abs(losses.mean() - expected) < 5.0 * error


def test_generated_images_have_the_priors_means():
    tiny = with_learned_prior(tiny_model(num_variables=2, arity=3, learned_prior=True))
    configurations = np.array(list(itertools.product(range(3), repeat=2)))
    one_hot = tf.one_hot(configurations, 3)
    expected = np.exp(log_prior(tiny, one_hot)) @ tf.sigmoid(tiny.decode(one_hot)).numpy()
    means = tiny.generate(20_000, tf.constant([1, 2])).numpy()
    error = means.std(axis=0) / np.sqrt(len(means))
    assert error.max() < 0.01
    assert np.abs((means.mean(axis=0) - expected) / error).max() < 5.0


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("arity", [2, 3])
def test_enumeration_gives_the_elbo_and_its_gradient(splits, arity, learned):
    """Of encoder and prior too, whose divergence is no part of the program."""
    tiny = tiny_model(
        "enumeration", num_variables=3, arity=arity, hidden_units=(16,), learned_prior=learned
    )
    assert any(v is tiny.prior_logits for v in tiny.trainable_variables) == learned
    if learned:
        with_learned_prior(tiny)
    image = tf.cast(splits.test[:1], tf.float32)
    expected, gradients = exact_elbo(tiny, image)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tiny.negative_elbo(image, tf.constant([1, 2])))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    found = tape.gradient(loss, tiny.trainable_variables)
    for one, other in zip(found, gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_unbiased_estimators_have_the_gradient_of_the_elbo(splits):
    """In the direction of the exact gradient; 4,000 draws show a bias of 5%."""
    image = tf.cast(splits.test[:1], tf.float32)
    draws = 4_000
    for name in ("reinforce_loo", "muprop", "relax", "nvil", "reinforce_baseline"):
        tiny = tiny_model(name, num_variables=2, arity=3, hidden_units=(16,))
        logits = tiny.posterior_logits(image)
        rows = tf.repeat(logits, draws, axis=0)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            exact = tf.reduce_sum(
                tfgumbel.expectation(tiny.program, (image, logits), estimator="enumeration", seed=0)
            )
        truth = tf.reshape(tape.gradient(exact, logits), [-1]).numpy()
        with tf.GradientTape() as tape:
            tape.watch(rows)
            inputs = (tf.repeat(image, draws, axis=0), rows)
            for warm in range(3):  # running means find their level
                value = tiny.estimator.expectation(tiny.program, inputs, tf.constant([3, warm]))
        along = tf.reshape(tape.gradient(value, rows), [draws, -1]).numpy() @ truth
        along /= truth @ truth
        error = along.std(ddof=1) / np.sqrt(draws)
        assert error < 0.05, name
        assert abs(along.mean() - 1.0) < 5.0 * error, name


def test_training_lowers_the_bound_and_resumes_as_if_it_had_not_stopped(splits, tmp_path):
    settings = dataclasses.replace(TINY, steps=300)
    unbroken = train.Training(settings, splits)
    before = unbroken.validate()
    unbroken.advance(100)
    unbroken.save(tmp_path / "checkpoint.npz")
    unbroken.advance(200)
    assert unbroken.validate() < before - 1.0
    resumed = train.Training(settings, splits)
    resumed.restore(tmp_path / "checkpoint.npz")
    assert resumed.step == 100
    resumed.advance(50)
    resumed.advance(150)
    assert resumed.step == 300
    for one, other in zip(_variables(resumed), _variables(unbroken), strict=True):
        np.testing.assert_array_equal(one, other)


def _variables(training):
    return [np.asarray(v) for v in (*training.model.variables, *training.optimizer.variables)]


def test_steps_repeat_neither_noise_nor_batches(splits):
    training = train.Training(TINY, splits)
    count, size = len(splits.train), TINY.batch_size
    training.data = tf.range(count)
    batches = count // size
    epoch = [training.batch(tf.constant(s, tf.int64)) for s in range(batches)]
    epoch = np.concatenate(epoch).astype(int).ravel()
    assert len(np.unique(epoch)) == batches * size
    following = training.batch(tf.constant(batches, tf.int64)).numpy().ravel()
    assert not np.array_equal(following, epoch[:size])


def test_a_run_of_other_settings_is_refused(splits, tmp_path):
    train.run(TINY, tmp_path, splits=splits, evaluate=False)
    with pytest.raises(RunError, match="learning_rate: 0.05 there, 0.01 now"):
        other = dataclasses.replace(TINY, learning_rate=0.01)
        train.run(other, tmp_path, splits=splits, evaluate=False)
    # How its end is judged is no part of a run.
    train.run(dataclasses.replace(TINY, eval_images=7), tmp_path, splits=splits)


def test_a_run_that_diverges_says_so_and_is_not_evaluated(splits, tmp_path):
    settings = dataclasses.replace(TINY, learning_rate=1e20, warmup_steps=0)
    with pytest.raises(RunError, match="The loss is .* at step 4. Lower --learning_rate"):
        train.run(settings, tmp_path, splits=splits)


@pytest.mark.parametrize("size", [0, 100, -100])
def test_a_damaged_checkpoint_is_named_and_changes_nothing(splits, tmp_path, size):
    training = train.Training(TINY, splits)
    training.advance(2)
    path = tmp_path / "checkpoint.npz"
    training.save(path)
    path.write_bytes(path.read_bytes()[:size])
    before = _variables(training)
    training.step = 1
    with pytest.raises(RunError, match=r"checkpoint\.npz cannot be read.*\n.*delete the folder"):
        training.restore(path)
    assert training.step == 1
    for one, other in zip(before, _variables(training), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_killed_process_resumes_to_the_same_weights(tmp_path):
    command = [
        sys.executable,
        "-m",
        "examples.discrete_vae.main",
        "--estimator=straight_through",
        "--steps=3000",
        "--eval_every=100",
        "--hidden_units=32",
        "--validation_images=20",
        "--eval_images=20",
        "--eval_samples=10",
    ]
    root = pathlib.Path(train.__file__).parents[2]
    killed = subprocess.Popen([*command, f"--run_dir={tmp_path / 'killed'}"], cwd=root)
    checkpoint = tmp_path / "killed" / "checkpoint.npz"
    deadline = time.monotonic() + 300.0
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    with np.load(checkpoint) as archive:
        assert json.loads(str(archive["state"]))["step"] < 3000, "it was not killed in time"
    results = []
    for name in ("killed", "whole"):
        subprocess.run([*command, f"--run_dir={tmp_path / name}"], cwd=root, check=True)
        results.append(json.loads((tmp_path / name / "result.json").read_text()))
    assert results[0]["history"] == results[1]["history"]
    assert results[0]["test_bound"] == results[1]["test_bound"]


@pytest.mark.parametrize("name", NAMES)
def test_every_estimator_that_is_offered_gives_finite_gradients(splits, name):
    image = tf.cast(splits.train[:3] > 127, tf.float32)
    binary = ONE_HOT_CATEGORICAL not in REGISTRY[name].variables
    single = name in ("sum_and_sample", "unordered_set")
    tiny = tiny_model(
        name,
        arity=2 if binary else 8 if single else 4,
        num_variables=1 if single else 3,
        hidden_units=(16,),
    )
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tiny.negative_elbo(image, tf.constant([1, 2])))
        loss += tf.add_n(tiny.losses or [0.0])
    gradient = tape.gradient(loss, tiny.encoder.trainable_variables)
    assert all(np.isfinite(np.asarray(one)).all() for one in gradient)
    assert np.abs(gradient[0]).max() > 0.0


def test_what_an_estimator_cannot_do_is_said(splits):
    name = next(iter(sample_estimators(BERNOULLI)))
    with pytest.raises(RunError, match="arity must be 2"):
        train.check(dataclasses.replace(TINY, estimator=name))
    with pytest.raises(RunError, match="--estimator=unordered_set cannot.*\n.*one categorical"):
        train.check(dataclasses.replace(TINY, estimator="unordered_set"))
    with pytest.raises(RunError, match="too many to enumerate"):
        train.check(dataclasses.replace(TINY, estimator="enumeration", latent_bits=24))
    with pytest.raises(RunError, match="num_samples >= 2"):
        train.check(dataclasses.replace(TINY, estimator="reinforce_loo", program_samples=1))
    with pytest.raises(RunError, match="no temperature to anneal"):
        train.check(dataclasses.replace(TINY, estimator="nvil", anneal_rate=1e-3))
    with pytest.raises(RunError, match="--arity must be a power of two"):
        train.check(dataclasses.replace(TINY, arity=10))


def test_variables_of_ten_classes_without_hidden_layers(splits):
    settings = dataclasses.replace(TINY, arity=10, variables=5, hidden_units=(), steps=300)
    trained = train.Training(settings, splits)
    assert len(trained.model.encoder.layers) == len(trained.model.decoder.layers) == 1
    assert trained.model.decoder.input_shape == (None, 50)
    before = trained.validate()
    trained.advance(100)
    assert trained.validate() < before


@pytest.mark.parametrize("name", ["nvil", "relax"])
def test_what_an_estimator_learns_is_trained_saved_and_restored(splits, name, tmp_path):
    settings = dataclasses.replace(TINY, estimator=name, optimizer="adam", learning_rate=1e-2)
    trained = train.Training(settings, splits)
    learned = trained.model.estimator.learned
    assert learned.variables
    before = [np.array(one) for one in learned.variables]
    trained.advance(4)
    after = [np.array(one) for one in learned.variables]
    moved = [not np.array_equal(*pair) for pair in zip(before, after, strict=True)]
    assert any(moved) if name == "relax" else all(moved)
    trained.save(tmp_path / "checkpoint.npz")
    trained.advance(3)
    other = train.Training(settings, splits)
    other.restore(tmp_path / "checkpoint.npz")
    other.advance(3)
    for one, another in zip(_variables(other), _variables(trained), strict=True):
        np.testing.assert_array_equal(one, another)


def test_a_temperature_falls_with_the_steps(splits):
    settings = dataclasses.replace(
        TINY, estimator="gumbel_softmax", temperature=0.4, anneal_rate=0.1
    )
    seen = []
    trained = train.Training(settings, splits)
    program = trained.model.program

    def spy(draw, inputs):
        seen.append(draw(inputs[1]))
        return program(draw, inputs)

    model_, estimator = trained.model, trained.model.estimator
    images = tf.cast(splits.test[:50], tf.float32)
    logits = model_.posterior_logits(images)
    for step in (0, 3, 1_000):
        estimator.expectation(spy, (images, logits), tf.constant([1, 2]), tf.constant(step))
    scores = [tf.math.log(tf.maximum(one, 1e-30)) for one in seen]
    scores = [one - tf.reduce_mean(one, axis=-1, keepdims=True) for one in scores]
    sharpness = [float(tf.norm(one[0, 0])) for one in scores]  # (logits + noise) / temperature
    temperatures = [sharpness[0] / one for one in sharpness]
    np.testing.assert_allclose(temperatures, [1.0, np.exp(-0.3), 0.4], rtol=1e-2)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_are_made_with_their_options(optimizer):
    settings = dataclasses.replace(TINY, optimizer=optimizer, weight_decay=0.01, clip_norm=5.0)
    made = make_optimizer(settings)
    assert made.weight_decay == 0.01 and made.global_clipnorm == 5.0
    assert float(made.learning_rate) == 0.0  # the first step of the warm-up
    with pytest.raises(ValueError, match="decay"):
        make_optimizer(dataclasses.replace(TINY, decay="linear"))


def test_flags_become_settings(tmp_path):
    parsed = flags.FLAGS
    parsed(["main", "--estimator=reinmax", "--arity=16", "--num_samples=7", "--steps=3"])
    try:
        settings = main.settings_from_flags()
        assert (settings.estimator, settings.arity, settings.num_samples) == ("reinmax", 16, 7)
        assert settings.steps == 3 and settings.hidden_units == main.SMALL["hidden_units"]
        parsed(["main", "--dataset=binarized_mnist"])
        defaults = train.Settings()
        settings = main.settings_from_flags()
        assert settings.hidden_units == defaults.hidden_units
        assert settings.latent_bits == defaults.latent_bits == 240
    finally:
        parsed.unparse_flags()
    with pytest.raises(flags.IllegalFlagValueError, match="one of"):
        parsed(["main", "--estimator=magic"])
    parsed.unparse_flags()


def test_demo_compares_and_draws(tmp_path, capsys):
    arguments = [
        "main",
        "--latent_bits=12",
        "--hidden_units=8",
        "--steps=4",
        "--eval_every=2",
        "--validation_images=5",
        "--eval_images=6",
        "--eval_samples=3",
        f"--run_dir={tmp_path}",
    ]
    flags.FLAGS.unparse_flags()
    flags.FLAGS(arguments)
    try:
        main.main()
        printed = capsys.readouterr().out
        # Nothing is left to do: a second run only evaluates, with the same result.
        flags.FLAGS.estimator = main.DEMO[0]
        flags.FLAGS.run_dir = str(tmp_path / main.DEMO[0])
        before = json.loads((tmp_path / main.DEMO[0] / "result.json").read_text())
        main.main()
        after = json.loads((tmp_path / main.DEMO[0] / "result.json").read_text())
        assert after["test_bound"] == before["test_bound"]
        assert after["history"] == before["history"]
    finally:
        flags.FLAGS.unparse_flags()
    for name in main.DEMO:
        assert name in printed
        result = json.loads((tmp_path / name / "result.json").read_text())
        assert [entry["step"] for entry in result["history"]] == [2, 4]
        assert result["test_images"] == 6 and result["test_samples"] == 3
        assert list((tmp_path / name).glob("events.out.tfevents*"))
    assert (tmp_path / "curves.png").stat().st_size > 5_000
    for picture in ("reconstructions", "samples", "traversal"):
        path = tmp_path / main.DEMO[-1] / f"{picture}.png"
        assert path.read_bytes()[:4] == b"\x89PNG" and path.stat().st_size > 5_000


def test_the_temperature_of_every_evaluation_is_in_tensorboard(splits, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(tf.summary, "scalar", lambda *written: seen.append(written))
    settings = dataclasses.replace(
        TINY, estimator="gumbel_softmax", temperature=0.4, anneal_rate=0.1, steps=12
    )
    train.run(settings, tmp_path, splits=splits, evaluate=False)
    temperatures = {step: value for name, value, step in seen if name == "train/temperature"}
    expected = {step: max(0.4, np.exp(-0.1 * step)) for step in (4, 8, 12)}
    assert temperatures == pytest.approx(expected)


def test_traversal_frames_the_posterior_mode(splits, tmp_path):
    tiny = tiny_model(num_variables=3, arity=4)
    path = tmp_path / "traversal.png"
    pictures.traversal(tiny, splits.test[0], splits.image_shape, path)
    from matplotlib.image import imread

    red = np.all(np.abs(imread(path)[..., :3] - [1.0, 0.0, 0.0]) < 0.1, axis=-1)
    assert red.sum() > 100


def test_digits_are_split_and_binarized(splits):
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [
        1_197,
        300,
        300,
    ]
    assert splits.stochastic and splits.train.max() == 255
    assert set(np.unique(splits.validation)) == {0, 1} == set(np.unique(splits.test))
    np.testing.assert_array_equal(splits.test, binary_images.load("digits").test)
    fixed = binary_images.load("digits", binarization="fixed")
    assert set(np.unique(fixed.train)) == {0, 1}
    np.testing.assert_allclose(fixed.pixel_means, splits.pixel_means, atol=0.1)
    with pytest.raises(ValueError, match="dataset"):
        binary_images.load("letters")
    with pytest.raises(RunError, match="data_dir"):
        binary_images.load("mnist", data_dir="/nonexistent")


def test_binarized_mnist_through_tfds():
    data_dir = os.environ.get("TFGUMBEL_DATA_DIR")
    if not data_dir or not (pathlib.Path(data_dir) / "binarized_mnist").is_dir():
        pytest.skip("set TFGUMBEL_DATA_DIR to a TFDS directory that holds binarized_mnist")
    splits = binary_images.load("binarized_mnist", data_dir=data_dir)
    assert splits.train.shape == (50_000, 784) and splits.image_shape == (28, 28)
    assert len(splits.validation) == len(splits.test) == 10_000
    assert set(np.unique(splits.train)) == {0, 1} and not splits.stochastic
    assert 0.12 < splits.pixel_means.mean() < 0.14
