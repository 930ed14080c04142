"""Training by `model.fit` and callbacks, and the bounds of what was trained."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

import tfgumbel
from examples.common import batches, binary_images, fitting
from examples.common.belief_networks import bernoulli_log_likelihood
from examples.common.files import RunError, read_json, reading, whole_file, write_json
from examples.common.runs import claim
from examples.gaussian_vae import model as vae
from tfgumbel.objectives import importance_weighted_bound

ACTIVE = 0.01  # nats of a variable, from which on it says something of the images
VALIDATION_IMAGES = 2_000


@dataclasses.dataclass(frozen=True)
class Settings:
    """What decides a result; see the flags in main.py."""

    latent: str = "gaussian"
    kl_warmup: int = 0
    free_bits: float = 0.0
    dataset: str = "digits"
    data_dir: str | None = None
    binarization: str = "stochastic"
    hidden: int = 300
    temperature: float = 0.5
    epochs: int = 20
    batch_size: int = 100
    learning_rate: float = 2e-3
    eval_samples: int = 100
    eval_images: int | None = None
    seed: int = 0


class KLWarmUp(keras.callbacks.Callback):
    """Raises the weight of a layer's divergence from 0 to 1, in a straight line.

    The step is the optimizer's, which a backup holds, so a resumed run goes on where it was.

    Args:
        layer: with a `kl_weight`.
        steps: of the rise.
    """

    def __init__(self, layer, steps):
        super().__init__()
        self._layer = layer
        self._weight = keras.optimizers.schedules.PolynomialDecay(0.0, steps, 1.0)

    def on_train_batch_begin(self, batch, logs=None):
        self._layer.kl_weight = float(self._weight(self.model.optimizer.iterations))


class ValidationBound(keras.callbacks.Callback):
    """Logs `val_bound`: the bound itself, without the loss's weight and free bits."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_bound"] = logs["val_reconstruction"] + logs["val_code_kl"]


@keras.saving.register_keras_serializable(package="tfgumbel_examples")
def reconstruction(images, logits):
    """-log p(x | z) of every image, in nats."""
    return -bernoulli_log_likelihood(images, logits)


def load_images(settings):
    """`binary_images.Splits` of the settings."""
    return binary_images.load(
        settings.dataset,
        data_dir=settings.data_dir,
        binarization=settings.binarization,
        seed=settings.seed,
    )


def fit(model, settings, splits, folder):
    """Trains a model, or goes on; returns its backup."""

    def prepare(images, seed):
        images = splits.binarize(images, seed)
        return images, images  # the inputs, and what is to be reconstructed

    def data(epochs_done):
        dataset, steps = batches.dataset(
            splits.train,
            settings.batch_size,
            settings.seed,
            first_epoch=epochs_done,
            prepare=prepare,
        )
        validation = splits.validation[:VALIDATION_IMAGES].astype(np.float32)
        return {
            "x": dataset,
            "steps_per_epoch": steps,
            "shuffle": False,
            "validation_data": (validation, validation),
            "validation_batch_size": 500,
        }

    steps_per_epoch = len(splits.train) // settings.batch_size
    rate = keras.optimizers.schedules.CosineDecay(
        settings.learning_rate, settings.epochs * steps_per_epoch
    )
    # `reconstruction` is the loss but for the divergence, which the latents' layer adds.
    model.compile(keras.optimizers.Adam(rate), reconstruction, metrics=[reconstruction])
    callbacks = [ValidationBound()]
    if settings.kl_warmup:
        layer = model.get_layer("code")
        callbacks.append(KLWarmUp(layer, settings.kl_warmup * steps_per_epoch))
    if settings.latent == "discrete":
        some = splits.validation[:64].astype(np.float32)
        callbacks.append(tfgumbel.diagnostics.LatentMonitor((some, some), batch_size=32))
    callbacks.append(keras.callbacks.TensorBoard(folder, write_graph=False))
    return fitting.fit(
        model, data, folder, epochs=settings.epochs, name=settings.latent, callbacks=callbacks
    )


def train(settings, folder, splits=None):
    """Trains, or goes on training, in a folder of its own, and measures; leaves model.keras.

    Args:
        settings: `Settings`.
        folder: of this run alone.
        splits: `binary_images.Splits`; None to load them.

    Returns:
        model: keras.Model, trained.
        result: dict, see `measure`; read from the folder where the run is complete.
    """
    if settings.kl_warmup >= settings.epochs:
        raise RunError(
            f"--kl_warmup must be less than --epochs={settings.epochs}, so that the whole "
            f"divergence is charged in the end. Received: {settings.kl_warmup}."
        )
    splits = splits or load_images(settings)
    batches.check_size(settings.batch_size, len(splits.train))
    plain = dataclasses.asdict(settings)
    # The test's size too, unlike `decisive`: a result that is there is taken as it is.
    folder = claim(folder, {name: value for name, value in plain.items() if name != "data_dir"})
    path, saved = folder / "result.json", folder / "model.keras"
    remedy = f"delete the folder {folder}"
    if path.exists():
        result = read_json(path, remedy)
        with reading(saved, remedy):
            return keras.saving.load_model(saved, compile=False), result
    model = vae.build(settings, splits.pixel_means)
    backup = fit(model, settings, splits, folder)
    result = measure(model, settings, splits)
    with whole_file(saved) as temporary:
        model.save(temporary)
    write_json(path, {"settings": plain, **result})
    backup.remove()
    return model, result


def measure(model, settings, splits):
    """Bounds on -log p(x) of the test images, in nats, and what the code carries.

    Returns:
        result: dict of test_bound, with `eval_samples` importance samples; elbo, with one and the
            divergence in closed form; kl, that divergence; active, the variables whose divergence
            is above `ACTIVE` on average; validation_bound, as elbo on validation images.
    """
    images = splits.test
    if settings.eval_images is not None:
        spaced = np.linspace(0, len(images) - 1, min(settings.eval_images, len(images)))
        images = images[spaced.astype(int)]
    images = images.astype(np.float32)
    kind = settings.latent

    @tf.function(reduce_retracing=True)
    def log_weights(x, num_samples, seed):
        return vae.log_weights(model, kind, x, num_samples, seed)

    bounds = importance_weighted_bound(
        log_weights,
        images,
        num_samples=settings.eval_samples,
        seed=settings.seed,
        batch_size=50,
        samples_per_call=100,
    )
    kl = np.concatenate(
        [vae.divergences(model, kind, part) for part in np.array_split(images, 10)]
    ).mean(axis=0)
    found = {}
    for name, some in (("elbo", images), ("validation_bound", splits.validation)):
        some = some.astype(np.float32)
        scores = model.evaluate(some, some, batch_size=500, verbose=0, return_dict=True)
        found[name] = scores["reconstruction"] + scores["code_kl"]
    return {
        "test_bound": -float(np.mean(bounds)),
        "test_images": len(images),
        **found,
        "kl": float(kl.sum()),
        "kl_of_variables": kl.tolist(),
        "active": int(np.sum(kl > ACTIVE)),
    }
