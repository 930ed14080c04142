"""The monitor measures what it says, in every kind of model, and changes nothing."""

import csv
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.diagnostics.digit_models import DIGITS, autoencoder, fit, weights
from tfgumbel import layers
from tfgumbel.diagnostics import LatentMonitor, measure_latents
from tfgumbel.diagnostics.latent_monitor import LINES
from tfgumbel.estimators import gumbel_softmax, straight_through_gumbel_softmax

X = DIGITS[:64]


def rao(**options):
    return layers.GumbelRaoLayer(seed=1, name="code", **options)


class Parameters(keras.layers.Layer):
    """Logits that are the same for all examples, or come from the inputs."""

    def __init__(self, logits):
        super().__init__()
        self.logits = self.add_weight(
            shape=np.shape(logits), initializer=lambda shape, dtype: tf.constant(logits, dtype)
        )

    def call(self, inputs):
        return inputs[:, :1, None] * 0.0 + self.logits


def small(latent, logits, loss, **compiling):
    """A model whose logits are given and whose loss is a function of the sample."""
    inputs = keras.Input([4])
    model = keras.Model(inputs, latent(Parameters(logits)(inputs)))
    model.compile("sgd", loss, **compiling)
    return model


def test_closed_forms_of_posterior_lines():
    logits = np.log([[0.7, 0.2, 0.1], [1 / 3] * 3, [0.995, 0.005 - 1e-9, 1e-9]]).astype("float32")
    probs = np.exp(logits)
    model = small(rao(temperature=0.4), logits, lambda y, code: keras.ops.sum(code, axis=(1, 2)))
    x = np.ones([32, 4], "float32")
    found = measure_latents(model, (x, x))["code"]
    entropy = -np.sum(probs * logits, axis=-1)
    assert found.entropy == pytest.approx(entropy.mean(), rel=1e-5)
    assert found.kl == pytest.approx((np.log(3) - entropy).mean(), rel=1e-5)
    assert found.perplexity == pytest.approx(np.exp(entropy).mean(), rel=1e-5)
    assert (found.dead_classes, found.num_classes) == (1, 9)
    assert found.saturation == pytest.approx(1 / 3)
    assert found.temperature == pytest.approx(0.4)
    assert found.largest_logit == pytest.approx(np.log(0.995 / 1e-9), rel=1e-4)
    prior = np.log([0.6, 0.3, 0.1]).astype("float32")
    found = measure_latents(model, (x, x), priors={"code": prior}, shared_codes=["code"])["code"]
    assert found.kl == pytest.approx(np.sum(probs * (logits - prior), -1).mean(), rel=1e-5)
    usage = probs.mean(0)
    assert found.perplexity == pytest.approx(np.exp(-np.sum(usage * np.log(usage))), rel=1e-5)
    assert (found.dead_classes, found.num_classes) == (0, 3)


def test_masked_classes_have_no_part_in_the_divergence():
    with np.errstate(divide="ignore"):
        logits, prior = np.log(np.array([[[0.7, 0.3, 0.0]], [[0.5, 0.5, 0.0]]], "float32"))
    model = small(rao(), logits, lambda y, code: keras.ops.sum(code, axis=(1, 2)))
    x = np.ones([32, 4], "float32")
    for priors in (None, {"code": prior}):  # uniform, both of them, over the two that are possible
        found = measure_latents(model, (x, x), priors=priors)["code"]
        expected = np.log(2.0) + 0.7 * np.log(0.7) + 0.3 * np.log(0.3)
        assert found.kl == pytest.approx(expected, rel=1e-5)
        assert (found.dead_classes, found.num_classes) == (0, 2)


def test_closed_forms_of_binary_variables():
    odds = np.array([[-6.0, 0.0, 2.0]], "float32")
    model = small(
        layers.BernoulliLayer("bernoulli_gumbel_rao", 0.5, seed=0, name="code"),
        odds,
        lambda y, code: keras.ops.sum(code, axis=(1, 2)),
    )
    probs = 1 / (1 + np.exp(-odds.astype("float64")))
    entropy = -(probs * np.log(probs) + (1 - probs) * np.log1p(-probs))
    found = measure_latents(model, (np.ones([32, 4], "float32"),) * 2)["code"]
    assert found.entropy == pytest.approx(entropy.mean(), rel=1e-5)
    assert found.kl == pytest.approx(np.log(2) - entropy.mean(), rel=1e-5)
    assert (found.dead_classes, found.num_classes) == (1, 6)
    assert found.largest_logit == 6.0


def test_lines_of_the_gradient_against_draws_by_hand():
    logits = np.array([[0.5, -0.5, 0.0]], "float32")
    slope = tf.constant([1.0, 2.0, -1.0])
    layer = layers.StraightThroughGumbelSoftmaxLayer(0.5, seed=0, name="code")
    model = small(
        layer,
        logits,
        lambda y, code: keras.ops.sum(code[:, 0] * slope + code[:, 0] ** 2 * slope, -1),
    )
    x = np.ones([2048, 4], "float32")
    found = measure_latents(model, (x, x), batch_size=2048, num_batches=1, num_draws=8)["code"]
    draws = tf.Variable(tf.tile(logits, [200_000, 1]))
    with tf.GradientTape(persistent=True) as tape:
        sample = straight_through_gumbel_softmax(draws, temperature=0.5, seed=3)
        mean = tf.nn.softmax(draws)
        upstream = tf.stop_gradient(slope + 2.0 * sample * slope)
        value, straight = tf.reduce_sum(sample * upstream), tf.reduce_sum(mean * upstream)
    drawn, reference = (tape.gradient(v, draws).numpy() for v in (value, straight))
    center = drawn.mean(0)
    snr = np.linalg.norm(center) / np.sqrt(np.sum((drawn - center) ** 2) / len(drawn))
    assert found.gradient_snr == pytest.approx(snr, rel=0.05)
    gain = np.sqrt(np.sum(drawn**2) / np.sum(reference**2))
    assert found.gradient_gain == pytest.approx(gain, rel=0.05)
    # The loss is 2 slope . D on one-hots; its derivative for the logits in closed form.
    probs = np.exp(logits[0]) / np.exp(logits[0]).sum()
    exact = probs * (2 * slope.numpy() - probs @ (2 * slope.numpy()))
    truth = exact @ center / (center @ center)
    assert abs(found.gradient_truth - truth) < 5 * found.gradient_truth_error + 0.03
    assert found.gradient_truth_error < 0.15
    assert found.discrete_gap == 0.0


def test_gap_between_relaxed_and_discrete_loss():
    logits = np.array([[0.5, -0.5, 0.0]], "float32")
    layer = layers.GumbelSoftmaxLayer(2.0, seed=0, name="code")
    model = small(layer, logits, lambda y, code: keras.ops.sum(code[:, 0] ** 2, axis=-1))
    x = np.ones([2048, 4], "float32")
    found = measure_latents(model, (x, x), batch_size=2048)["code"]
    sample = gumbel_softmax(tf.tile(logits, [200_000, 1]), temperature=2.0, seed=3)
    assert found.discrete_gap == pytest.approx(1 - np.mean(np.sum(sample**2, -1)), abs=0.01)
    # Of the relaxation the gradient is right.
    assert abs(found.gradient_truth - 1.0) < 5 * found.gradient_truth_error + 0.02
    assert found.gradient_truth_error < 0.05


def test_a_gap_is_that_of_one_layer_rounded_alone():
    logits = np.array([[0.5, -0.5, 0.0]], "float32")
    inputs = keras.Input([4])
    given = Parameters(logits)(inputs)
    first, second = (layers.GumbelSoftmaxLayer(t, seed=0, name=f"code{t:g}") for t in (2.0, 5.0))
    model = keras.Model(inputs, first(given) + second(given))
    model.compile("sgd", lambda y, total: 10.0 * keras.ops.sum(total[:, 0] ** 2, axis=-1))
    x = np.ones([2048, 4], "float32")
    found = measure_latents(model, (x, x), batch_size=2048, num_batches=1)
    draws = [gumbel_softmax(tf.tile(logits, [100_000, 1]), temperature=t, seed=3) for t in (2, 5)]
    probs = np.exp(logits) / np.exp(logits).sum()
    for name, (own, other) in zip(("code2", "code5"), (draws, draws[::-1]), strict=True):
        square, mean, rest = np.mean(np.sum(own**2, -1)), np.mean(own, 0), np.mean(other, 0)
        gap = 10.0 * (1.0 - square + 2.0 * np.sum((probs - mean) * rest))
        assert found[name].discrete_gap == pytest.approx(gap, abs=0.15)


def test_a_scaled_loss_is_measured_as_any_other():
    found = []
    for optimizer in ("adam", keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())):
        model = autoencoder(rao())
        model.compile(optimizer, "mse")
        model.optimizer.build(model.trainable_variables)
        found.append(measure_latents(model, (X, X))["code"])
    for line in ("gradient_snr", "gradient_gain", "gradient_truth"):
        one, other = (getattr(statistics, line) for statistics in found)
        assert one == pytest.approx(other, rel=1e-3)


@pytest.mark.parametrize("mode", ["xla", "mixed_float16", "own_step"])
def test_weights_are_those_of_a_training_without_it(mode):
    def train(monitored):
        latents = [
            layers.GumbelRaoLayer(keras.optimizers.schedules.ExponentialDecay(1.0, 9, 0.9), seed=1),
            layers.BinaryConcreteLayer("learnable", seed=2),
        ]
        if mode == "mixed_float16":
            keras.config.set_dtype_policy(mode)
        try:
            model = autoencoder(*latents, dropout=True, jit_compile=mode == "xla")
            if mode == "own_step":
                model = OwnStep(model)
                model.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy")
        finally:
            keras.config.set_dtype_policy("float32")
        monitor = LatentMonitor((X, X), num_batches=1, num_draws=2) if monitored else None
        history = fit(model, monitor, DIGITS[:192], epochs=2, validation_data=(X, X))
        return weights(model), history["loss"], history["val_loss"]

    alone, loss, val_loss = train(False)
    watched, watched_loss, watched_val_loss = train(True)
    assert (loss, val_loss) == (watched_loss, watched_val_loss)
    for first, second in zip(alone, watched, strict=True):
        np.testing.assert_array_equal(first, second)


class OwnStep(keras.Model):
    """With a step of its own, whose loss no one else knows."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.steps = self.add_weight(name="steps", initializer="zeros", trainable=False)

    def call(self, inputs, training=False):
        return self.inner(inputs, training=training)

    def train_step(self, data):
        x, _ = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.abs(self(x, training=True) - x)) + sum(self.losses)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        self.steps.assign_add(1.0)
        return {"loss": loss}


def test_a_step_of_its_own_is_measured_as_one_that_is_compiled():
    inner = autoencoder(rao())
    own = OwnStep(inner)
    own.compile("adam")
    mean = measure_latents(own, (X, X))["code"]
    inner.compile("adam", lambda y, output: keras.ops.mean(keras.ops.abs(output - y)))
    compiled = measure_latents(inner, (X, X))["code"]
    assert np.isnan(mean.gradient_truth) and not np.isnan(compiled.gradient_truth)
    for line in ("entropy", "kl", "gradient_snr", "gradient_gain", "soft_outputs"):
        assert getattr(mean, line) == pytest.approx(getattr(compiled, line), rel=1e-4)
    assert own.steps.numpy() == 0.0
    given = measure_latents(
        own,
        (X, X),
        loss=lambda model, batch: tf.reduce_mean(tf.abs(model(batch[0], training=True) - X[:32])),
    )["code"]
    assert np.isfinite(given.gradient_truth)


class Nested(keras.Model):
    """Several inputs and outputs, a layer used twice, another of the same name further down."""

    def __init__(self):
        super().__init__()
        self.encoder = keras.Sequential([keras.layers.Dense(12), keras.layers.Reshape([3, 4])])
        self.latent = rao()
        self.inner = keras.Sequential([keras.layers.Reshape([4, 3]), rao()])
        self.decoder = keras.layers.Dense(64)

    def call(self, inputs, training=False):
        first = self.latent(self.encoder(inputs["a"]), training=training)
        second = self.latent(self.encoder(inputs["b"]), training=training)
        third = keras.ops.reshape(self.inner(first + second, training=training), [-1, 12])
        return {"one": self.decoder(third), "two": self.decoder(keras.layers.Flatten()(second))}


@pytest.mark.parametrize("source", ["arrays", "dataset", "pydataset"])
def test_several_inputs_outputs_and_sample_weights(source):
    x, y = {"a": X, "b": 1.0 - X}, {"one": X, "two": X}
    sample_weight = np.linspace(0.0, 1.0, len(X)).astype("float32")
    model = Nested()
    model.compile("adam", {"one": "mse", "two": "mae"}, metrics={"one": ["mse"]})
    data = (x, y, {"one": sample_weight, "two": sample_weight})
    if source == "arrays":
        model.fit(*data[:2], sample_weight=data[2], verbose=0)
    elif source == "dataset":
        data = tf.data.Dataset.from_tensor_slices(data).batch(16)
    else:

        class Batches(keras.utils.PyDataset):
            def __len__(self):
                return 4

            def __getitem__(self, index):
                return tf.nest.map_structure(lambda leaf: leaf[16 * index :][:16], (x, y))

        data = Batches()
    monitor = LatentMonitor(data, num_batches=1, batch_size=16, num_draws=2)
    monitor.set_model(model)
    logs = {}
    monitor.on_epoch_end(0, logs)
    assert list(monitor.statistics) == ["code", "code_1"]
    assert monitor.statistics["code"].num_classes == 2 * 3 * 4
    assert monitor.statistics["code_1"].num_classes == 4 * 3
    assert set(logs) == {f"{layer}_{line}" for layer in ("code", "code_1") for line in LINES}


def test_sample_weights_count():
    model = autoencoder(rao())
    nothing = measure_latents(model, (X, X, np.zeros(len(X), "float32")))["code"]
    assert np.isnan(nothing.gradient_gain)
    assert np.isfinite(measure_latents(model, (X, X))["code"].gradient_gain)


def test_logs_reach_other_callbacks_and_tensorboard(tmp_path):
    model = autoencoder(rao())
    writer = tf.summary.create_file_writer(str(tmp_path / "own"))
    monitor = LatentMonitor((X, X), num_batches=1, num_draws=2, every=2, writer=writer)
    stop = keras.callbacks.EarlyStopping("code_kl", mode="min", patience=0, start_from_epoch=3)
    others = [
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        stop,
    ]
    history = model.fit(X, X, epochs=6, verbose=0, callbacks=[monitor, *others]).history
    assert set(history) == {"loss", *(f"code_{line}" for line in LINES)}
    entropy = history["code_entropy"]
    assert entropy[0] == entropy[1] != entropy[2] == entropy[3]
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["code_entropy"]) for row in rows] == pytest.approx(entropy)
    written = {}
    (events,) = (tmp_path / "own").glob("events*")
    for event in tf.compat.v1.train.summary_iterator(str(events)):
        for value in event.summary.value:
            written[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    assert written["code/entropy", 2] == pytest.approx(entropy[2])


def test_inference_that_is_changed_between_epochs_is_seen():
    model = autoencoder(rao())
    monitor = LatentMonitor((X, X), num_batches=1, num_draws=2)
    fit(model, monitor, X, epochs=1)
    assert monitor.statistics["code"].soft_outputs == 0.0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.get_layer("code").inference = "probs"
        assert not caught  # What the monitor traces is no function of the user's.
        fit(model, monitor, X, epochs=1)
    assert monitor.statistics["code"].soft_outputs > 0.9


class InLoop(keras.Model):
    def __init__(self, latent):
        super().__init__()
        self.latent, self.other = latent, layers.StraightThroughLayer(seed=2, name="other")
        self.dense = keras.layers.Dense(64)
        self.hidden = tf.function(lambda logits: self.latent(logits, training=True))

    def call(self, inputs, training=False):
        return self.dense(self.other(self.hidden(inputs), training=training))


def test_layers_out_of_sight_are_named():
    model = InLoop(rao())
    model.compile("sgd", "mse")
    monitor = LatentMonitor((X, X), num_batches=1, num_draws=2)
    with pytest.warns(UserWarning, match="nothing of code"):
        fit(model, monitor, X, epochs=1)
    assert list(monitor.statistics) == ["other"]


def test_errors_say_what_to_do():
    plain = keras.Sequential([keras.Input([64]), keras.layers.Dense(64)])
    plain.compile("sgd", "mse")
    with pytest.raises(ValueError, match="No discrete layer was seen"):
        fit(plain, LatentMonitor((X, X)), X)
    model = autoencoder(rao())
    with pytest.raises(TypeError, match="received: 'generator'"):
        measure_latents(model, (batch for batch in [X]))
    with pytest.raises(ValueError, match="`data` is empty"):
        measure_latents(model, (X[:0], X[:0]))
    with pytest.raises(ValueError, match="`num_draws` is too small"):
        measure_latents(model, (X, X), num_draws=1)
