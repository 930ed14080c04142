"""The auto-encoders of three kinds of latents: densities, divergences, options, runs, command."""

import dataclasses
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from examples.common import binary_images
from examples.common.files import RunError
from examples.gaussian_vae import model as vae
from examples.gaussian_vae import pictures, train

REPOSITORY = pathlib.Path(train.__file__).resolve().parents[2]
SETTINGS = train.Settings(hidden=16, epochs=2, batch_size=300, eval_samples=3, eval_images=20)


@pytest.fixture(scope="module")
def splits():
    return binary_images.load("digits")


def make(kind, splits, **options):
    return vae.build(dataclasses.replace(SETTINGS, latent=kind, **options), splits.pixel_means)


@pytest.mark.parametrize("kind", vae.KINDS)
def test_the_mean_weight_is_the_likelihood_of_the_image(kind, splits):
    """E over q of p(x, z) / q(z | x) is E over p of p(x | z), whatever q is; of 8 pixels here, so
    that samples of the prior suffice."""
    model = make(kind, splits)
    decoder = model.get_layer("decoder").layers[-1]
    small = tf.constant(np.arange(64) < 8, tf.float32)
    decoder.kernel.assign(3.0 * decoder.kernel * small)  # the other pixels ignore the code
    decoder.bias.assign(tf.where(small > 0, decoder.bias, -20.0))
    if kind == "gaussian":  # scales of softplus(1) = 1.3, or the weights have no variance
        bias = model.get_layer("encoder").layers[-2].bias
        bias.assign(tf.repeat([0.0, 1.0], 20))
    image = (splits.test[:1] * small.numpy()).astype(np.float32)
    count = 20_000
    weights = tf.exp(vae.log_weights(model, kind, image, count, tf.constant([0, 1])))[:, 0].numpy()
    codes = vae.prior(kind).sample(count, seed=[0, 2])
    logits = vae.decode(model, codes).numpy()
    plain = np.exp(np.sum(image * logits - np.logaddexp(0.0, logits), axis=-1))
    error = np.hypot(weights.std(), plain.std()) / np.sqrt(count)
    assert abs(weights.mean() - plain.mean()) < 5 * error
    assert error < 0.07 * plain.mean()


@pytest.mark.parametrize("kind", vae.KINDS)
def test_the_loss_is_the_bound_with_its_weight_and_its_free_bits(kind, splits):
    images = splits.test[:7].astype(np.float32)
    each = vae.divergences(make(kind, splits), kind, images).numpy()
    assert each.shape == (7, vae.KINDS[kind].variables) and np.all(each > 0.0)
    mean = each.mean(axis=0)
    for free_bits in (0.0, float(np.median(mean))):
        model = make(kind, splits, free_bits=free_bits)
        layer = model.get_layer("code")
        layer.kl_weight = 0.25
        model(images, training=True)
        (loss,) = model.losses
        expected = 0.25 * np.maximum(mean, free_bits).sum()
        np.testing.assert_allclose(loss, expected, rtol=1e-4)
        metric = next(one for one in layer.metrics if one.name == "code_kl")
        np.testing.assert_allclose(metric.result(), mean.sum(), rtol=1e-4)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.free_bits == free_bits and float(again.kl_weight) == 0.25


def test_the_weight_of_the_divergence_rises_with_the_optimizers_steps(splits):
    model = make("gaussian", splits)
    layer, seen = model.get_layer("code"), []
    model.compile(keras.optimizers.SGD(0.0), train.reconstruction)
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(1)  # as after a backup

    class See(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(float(layer.kl_weight))

    images = splits.test[:4].astype(np.float32)
    model.fit(
        images, images, batch_size=1, verbose=0, callbacks=[train.KLWarmUp(layer, 3), See()]
    )  # fmt: skip
    np.testing.assert_allclose(seen, [1 / 3, 2 / 3, 1.0, 1.0], rtol=1e-6)


def test_a_stopped_run_ends_as_a_whole_one(tmp_path, splits, monkeypatch):
    settings = dataclasses.replace(SETTINGS, kl_warmup=1, free_bits=0.02)
    model, whole = train.train(settings, tmp_path / "whole", splits)
    assert whole["test_images"] == 20 and whole["kl"] > 0.0
    assert whole["test_bound"] < whole["elbo"] + 1.0

    class Stop(train.ValidationBound):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "ValidationBound", Stop)
        with pytest.raises(KeyboardInterrupt):
            train.train(settings, tmp_path / "stopped", splits)
    _, resumed = train.train(settings, tmp_path / "stopped", splits)
    assert {**whole, "settings": None} == {**resumed, "settings": None}
    read, again = train.train(settings, tmp_path / "stopped", splits)
    assert again["kl_of_variables"] == whole["kl_of_variables"]
    image = splits.test[:1].astype(np.float32)
    np.testing.assert_allclose(
        vae.posterior(read, "gaussian", image).loc,
        vae.posterior(model, "gaussian", image).loc,
        rtol=1e-5,
    )
    with pytest.raises(RunError, match="other settings"):
        train.train(dataclasses.replace(settings, free_bits=0.1), tmp_path / "stopped", splits)
    with pytest.raises(RunError, match="--kl_warmup must be less"):
        train.train(dataclasses.replace(settings, kl_warmup=2), tmp_path / "none", splits)


@pytest.mark.parametrize("kind", vae.KINDS)
def test_a_traversal_moves_one_latent_through_its_values(kind, splits):
    values, _ = pictures.path(kind)
    if kind == "gaussian":
        assert np.all(np.diff(values) > 0) and abs(values[4]) < 1e-6
    else:
        np.testing.assert_allclose(values.sum(axis=-1), 1.0, rtol=1e-6)
        assert {int(row.argmax()) for row in values if row.max() == 1.0} == set(
            range(vae.KINDS[kind].code[-1])
        )
    model, image = make(kind, splits), splits.test[0]
    pixels, chosen = pictures.traverse(model, kind, image, rows=2)
    q = vae.posterior(model, kind, image[np.newaxis].astype(np.float32))
    code = (q.mode() if kind == "discrete" else q.mean()).numpy()
    code[0, chosen[1]] = values[3]
    np.testing.assert_allclose(
        pixels[1, 3], tf.sigmoid(vae.decode(model, tf.constant(code, tf.float32)))[0], rtol=1e-4
    )
    assert pixels[0].var(axis=0).sum() > pixels[1].var(axis=0).sum() > 0.0


def test_the_command_prints_a_table_and_saves_pictures(tmp_path):
    command = [sys.executable, "-m", "examples.gaussian_vae.main", f"--run_dir={tmp_path}"]
    small = ["--epochs=2", "--batch_size=512", "--eval_images=10", "--eval_samples=2", "--hidden=8"]
    done = subprocess.run(
        [*command, *small, "--latent=gaussian", "--latent=discrete", "--kl_warmup=0,1"],
        cwd=REPOSITORY, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "of 20" in done.stdout and "discrete" in done.stdout
    for name in ("samples.png", "traversal.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    assert list(tmp_path.glob("discrete/train/events*"))
