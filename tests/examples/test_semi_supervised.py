"""The semi-supervised model: its bounds, its gradients, resuming, data, flags, pictures; tiny."""

import dataclasses
import functools
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from examples.common.estimator import NAMES, Estimator
from examples.common.files import RunError
from examples.semi_supervised import data, main, model, pictures, speed, train

TINY = train.Settings(
    style_size=3,
    hidden_units=(16,),
    batch_size=8,
    labelled_batch=4,
    steps=12,
    warmup_steps=2,
    eval_every=4,
    validation_images=20,
    eval_images=20,
)


def tiny_model(estimator="enumeration", num_classes=4, **changes):
    return model.ClassAndStyle(
        64,
        estimator=functools.partial(Estimator, estimator),
        num_classes=num_classes,
        style_size=3,
        hidden_units=(16,),
        **changes,
    )


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def batch(digits, count):
    images = tf.cast(digits.test[0][:count], tf.float32)
    return images, tf.random.stateless_normal([count, 3], [5, 6])


def test_bound_is_what_the_densities_of_tfp_say(digits):
    """Labelled and unlabelled, at fixed noise: -log p(x | y, z) + KL(z) and KL(y), or log K."""
    from tensorflow_probability import distributions as tfd

    tiny = tiny_model()
    images, noise = batch(digits, 5)
    posterior = tfd.OneHotCategorical(logits=tiny.class_logits(images))
    costs = []
    for one in np.eye(4, dtype="float32"):
        classes = tf.tile(one[np.newaxis], [5, 1])
        mean, log_scale = tiny.style(images, classes)
        style = tfd.MultivariateNormalDiag(mean, tf.exp(log_scale))
        prior = tfd.MultivariateNormalDiag(tf.zeros_like(mean))
        logits = tiny.decode(classes, mean + tf.exp(log_scale) * noise)
        pixels = tfd.Independent(tfd.Bernoulli(logits=logits), 1)
        costs.append(style.kl_divergence(prior) - pixels.log_prob(images))
        labelled = tiny.labelled_loss(images, classes, noise)
        np.testing.assert_allclose(labelled, costs[-1] + np.log(4.0), rtol=1e-4)
    expected = tf.reduce_sum(tf.transpose(costs) * posterior.probs_parameter(), axis=-1)
    uniform = tfd.OneHotCategorical(logits=tf.zeros([4]))
    expected += posterior.kl_divergence(uniform)
    np.testing.assert_allclose(tiny.marginal_loss(images, noise), expected, rtol=1e-4)


def test_enumeration_trains_on_the_marginal(digits):
    tiny = tiny_model("enumeration")
    images, noise = batch(digits, 5)
    with tf.GradientTape(persistent=True) as tape:
        drawn = tiny.unlabelled_loss(images, noise, tf.constant([1, 2]))
        exact = tiny.marginal_loss(images, noise)
    np.testing.assert_allclose(drawn, exact, rtol=1e-5)
    variables = tiny.trainable_variables
    pairs = zip(tape.gradient(drawn, variables), tape.gradient(exact, variables), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "name", ["reinforce_loo", "unordered_set", "straight_through_gumbel_softmax"]
)
def test_a_drawn_class_has_the_marginal_loss_as_its_mean(digits, name):
    tiny = tiny_model(name)
    images, noise = batch(digits, 1)
    expected = float(tiny.marginal_loss(images, noise)[0])
    count = 10_000
    losses = tiny.unlabelled_loss(
        tf.repeat(images, count, axis=0), tf.repeat(noise, count, axis=0), tf.constant([1, 2])
    ).numpy()
    error = losses.std(ddof=1) / np.sqrt(count)
    assert error < 0.05
    assert abs(losses.mean() - expected) < 5.0 * error


def test_the_weight_of_the_styles_divergence_falls_to_1(digits):
    """The loss of a step is a line in that weight, of both bounds; whole at the first step."""
    settings = dataclasses.replace(TINY, steps=60, labelled_weight=0.0)
    batch_, seed = tf.constant(digits.unlabelled[:8]), tf.constant([1, 2])

    def loss(weight, step, changed=settings):
        training = train.Training(dataclasses.replace(changed, style_weight=weight), digits)
        last = training.model.encoder.layers[-1]  # every style has mean 1 and scale e
        last.kernel.assign(tf.zeros_like(last.kernel))
        last.bias.assign(tf.ones_like(last.bias))
        training.optimizer.iterations.assign(step)
        return float(training.mean_loss(batch_, seed))

    one = loss(1.0, 0)
    whole = loss(4.0, 0) - one
    assert whole == pytest.approx(3.0 * 3.0 * (0.5 * np.exp(2.0) - 1.0), rel=1e-3)
    for step, left in ((10, 0.75), (20, 0.5), (40, 0.0), (55, 0.0)):
        assert loss(4.0, step) - one == pytest.approx(left * whole, abs=2e-3), step
    known = dataclasses.replace(settings, labelled_weight=2.0)
    assert loss(4.0, 0, known) - loss(1.0, 0, known) == pytest.approx(3.0 * whole, rel=1e-3)


def test_a_class_weighs_as_much_as_it_says(digits):
    one, five = tiny_model(), tiny_model(class_scale=5.0)
    classes, style = tf.one_hot([0, 2], 4), tf.ones([2, 3])
    plain, scaled = one.decode(classes, style), five.decode(classes, style)
    assert np.abs(plain - scaled).max() > 0.1
    np.testing.assert_allclose(one.decode(5.0 * classes, style), scaled, rtol=1e-5, atol=1e-6)
    settings = dataclasses.replace(TINY, class_scale=7.0)
    assert train.Training(settings, digits).model.class_scale == 7.0


@pytest.mark.parametrize("name", NAMES)
def test_every_estimator_has_finite_gradients_or_says_why_not(digits, name):
    try:
        tiny = tiny_model(name)
    except RunError as error:
        assert "cannot draw from a OneHotCategorical" in str(error), error
        assert name == "hard_concrete"
        return
    images, noise = batch(digits, 5)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tiny.unlabelled_loss(images, noise, tf.constant([1, 2])))
    gradients = tape.gradient(loss, tiny.classifier.trainable_variables)
    assert all(np.isfinite(one).all() for one in gradients)
    assert np.abs(gradients[0]).max() > 0.0


def test_loss_of_a_step_weighs_labels(digits):
    """labels / images times their bound, and the weight times their cross-entropy."""
    settings = dataclasses.replace(TINY, estimator="enumeration")
    batch_, seed = tf.constant(digits.unlabelled[:8]), tf.constant([1, 2])
    losses = {}
    for weight in (0.0, 1.0, 3.0):
        changed = dataclasses.replace(settings, label_weight=weight)
        losses[weight] = float(train.Training(changed, digits).mean_loss(batch_, seed))
    cross_entropy = losses[1.0] - losses[0.0]
    assert 0.5 < cross_entropy < 10.0  # about log 10 before training
    assert losses[3.0] - losses[0.0] == pytest.approx(3.0 * cross_entropy, rel=1e-3)
    # Copies of one labelled image: their bound is the same, its weight their number / 1,197.
    found = []
    for count in (50, 100, 150):
        copies = dataclasses.replace(
            digits, labelled=digits.labelled[[0] * count], classes=digits.classes[[0] * count]
        )
        changed = dataclasses.replace(settings, label_weight=0.0)
        found.append(float(train.Training(changed, copies).mean_loss(batch_, seed)))
    steps = np.diff(found)
    assert steps[0] == pytest.approx(steps[1], rel=1e-2)
    assert 20.0 < steps[0] * 1_197.0 / 50.0 < 80.0  # 64 pixels, log 2 each at the start


def test_training_learns_and_resumes_as_if_it_had_not_stopped(digits, tmp_path):
    settings = dataclasses.replace(TINY, steps=400, learning_rate=3e-3, estimator="gumbel_rao")
    unbroken = train.Training(settings, digits)
    before, guessed = unbroken.evaluate(*digits.validation)
    unbroken.advance(200)
    unbroken.save(tmp_path / "checkpoint.npz")
    unbroken.advance(200)
    after, right = unbroken.evaluate(*digits.validation)
    assert after < before - 1.0 and right > max(0.5, guessed)
    resumed = train.Training(settings, digits)
    resumed.restore(tmp_path / "checkpoint.npz")
    resumed.advance(150)
    resumed.advance(50)
    for one, other in zip(resumed.model.variables, unbroken.model.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_temperature_falls_where_the_estimator_has_none_of_its_own():
    made = {name: dataclasses.replace(TINY, estimator=name).resolved() for name in NAMES}
    assert made["gumbel_softmax"].temperature == 0.5
    # max(0.5, exp(-r step)) is at 0.5 after two thirds of 12 steps.
    assert np.exp(-8.0 * made["gumbel_softmax"].anneal_rate) == pytest.approx(0.5, rel=0.01)
    assert made["reinmax"].temperature == 1.0 and made["reinmax"].anneal_rate == 0.0
    assert made["enumeration"].temperature is None


def test_labels_are_balanced_and_splits_do_not_meet(digits):
    assert np.bincount(digits.classes).tolist() == [10] * 10
    assert [len(part) for part in (digits.unlabelled, *digits.validation[:1])] == [1_197, 300]
    rows = {row.tobytes() for row in digits.unlabelled}
    assert all(row.tobytes() in rows for row in digits.labelled)
    assert set(np.unique(digits.test[0])) == {0, 1} and digits.unlabelled.max() == 255
    again = data.load("digits")
    np.testing.assert_array_equal(again.labelled, digits.labelled)
    np.testing.assert_array_equal(again.test[0], digits.test[0])
    other = data.load("digits", seed=1)
    assert not np.array_equal(other.labelled, digits.labelled)
    with pytest.raises(RunError, match=r"multiple of 10, at most \d+"):
        data.load("digits", num_labels=95)
    with pytest.raises(RunError, match="data_dir"):
        data.load("mnist", data_dir="/nonexistent")


def test_analogies_frame_the_classifiers_guess(digits, tmp_path):
    from matplotlib.image import imread

    tiny = tiny_model(num_classes=10)
    chosen = pictures.one_of_each(digits.test[1])
    assert digits.test[1][chosen].tolist() == list(range(10))
    path = tmp_path / "analogies.png"
    pictures.analogies(tiny, digits.test[0][chosen], digits.image_shape, path)
    red = np.all(np.abs(imread(path)[..., :3] - [1.0, 0.0, 0.0]) < 0.1, axis=-1)
    assert red.sum() > 500


def test_speed_counts_steps(tmp_path):
    class Run:
        steps = 0

        def advance(self, count):
            self.steps += count
            sum(range(20_000 * count))

    runs = [Run(), Run()]
    rates = speed.steps_per_second(runs, 5, 3)
    assert [one.steps for one in runs] == [20, 20]
    assert rates.shape == (2,) and (rates > 0.0).all()
    drawn = [{"estimator": "a", "num_classes": n, "steps_per_second": 9.0 / n} for n in (5, 10)]
    pictures.speed({"rows": drawn}, tmp_path / "speed.png")
    assert (tmp_path / "speed.png").stat().st_size > 5_000
    trained = train.Training(TINY, speed.noise(30), num_classes=7)
    assert trained.model.num_classes == 7
    trained.advance(1)


def test_estimators_are_compared_and_a_run_of_other_flags_is_refused(tmp_path, capsys):
    names = ("enumeration", "reinmax")
    main.compare(TINY, names, tmp_path)
    printed = capsys.readouterr().out
    for name in names:
        result = json.loads((tmp_path / name / "result.json").read_text())
        assert [entry["step"] for entry in result["history"]] == [4, 8, 12]
        assert name in printed and f"{result['test_bound']:.2f}" in printed
        assert f"{100.0 * result['validation_accuracy']:.1f}" in printed
    for path in (tmp_path / "curves.png", tmp_path / names[-1] / "analogies.png"):
        assert path.read_bytes()[:4] == b"\x89PNG"
    command = [sys.executable, "-m", "examples.semi_supervised.main", "--estimator=reinmax"]
    refused = subprocess.run(
        [*command, "--style_size=7", f"--run_dir={tmp_path / 'reinmax'}"],
        cwd=pathlib.Path(train.__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert refused.returncode
    assert "style_size: 3 there, 7 now" in refused.stderr
    assert f"hidden_units: [16] there, {list(main.SMALL['hidden_units'])} now" in refused.stderr
