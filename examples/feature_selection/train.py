"""A selector chooses k pixels of each image, and a classifier sees these alone."""

import dataclasses
import pathlib

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import tfgumbel
from examples.common import fitting
from examples.common.files import read_json, write_json
from examples.common.runs import claim
from tfgumbel.distributions.subsets import CONDITIONAL_BERNOULLI, PLACKETT_LUCE_SUBSET
from tfgumbel.registry import gradient_estimators

SIDE = 8
NUM_PIXELS, NUM_CLASSES = SIDE * SIDE, 10
NUM_TRAIN = 1297
ESTIMATORS = tuple(
    name
    for kind in (CONDITIONAL_BERNOULLI, PLACKETT_LUCE_SUBSET)
    for name in gradient_estimators(kind)
)
# Not learned: the same number of pixels at random, and all of them.
BASELINES = ("random", "all")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What decides a result; see the flags in main.py."""

    estimator: str = "simple_subset"
    k: int = 4
    temperature: float = 0.5
    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 2e-3
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Data:
    """Images in [0, 1], shape (number, 64), and labels."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A trained selector.

    Attributes:
        accuracy: On the test images, in percent, each seen through its k most likely pixels.
        chosen: Those pixels, zeros and ones, shape (test images, 64).
    """

    accuracy: float
    chosen: np.ndarray


def load():
    """scikit-learn's digits in a fixed order; the last 500 are for the test."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.data))
    images = (digits.data[order] / 16.0).astype(np.float32)
    labels = digits.target[order].astype(np.int32)
    return Data(images[:NUM_TRAIN], labels[:NUM_TRAIN], images[NUM_TRAIN:], labels[NUM_TRAIN:])


class Selector(keras.layers.Layer):
    """Masks of the pixels that an image's classifier may see, shape (batch, 64).

    Args:
        settings: `Settings`.
    """

    def __init__(self, settings):
        super().__init__()
        self._kind = settings.estimator
        if self._kind in BASELINES:
            layer = tfgumbel.GumbelTopKLayer(settings.k, "gumbel_top_k", seed=settings.seed)
            self.draw = layer
            return
        self.hidden = keras.layers.Dense(100, activation="relu")
        self.scores = keras.layers.Dense(NUM_PIXELS)
        self.draw = tfgumbel.GumbelTopKLayer(
            settings.k,
            settings.estimator,
            temperature=settings.temperature,
            inference="argmax",
            seed=settings.seed,
        )

    def call(self, images, training=False):
        if self._kind == "all":
            return tf.ones_like(images)
        if self._kind == "random":
            return self.draw(tf.zeros_like(images), training=True)
        return self.draw(self.scores(self.hidden(images)), training=training)


def build(settings):
    """The whole model: the mask and the masked image go to the classifier."""
    keras.utils.set_random_seed(settings.seed)
    images = keras.Input([NUM_PIXELS])
    mask = Selector(settings)(images)
    seen = keras.layers.Concatenate()([mask * images, mask])
    hidden = keras.layers.Dense(200, activation="relu")(seen)
    model = keras.Model(images, keras.layers.Dense(NUM_CLASSES)(hidden))
    model.compile(
        keras.optimizers.Adam(settings.learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def train(settings, folder, data=None):
    """Trains, or goes on training, in a folder of its own, and returns the outcome.

    Args:
        settings: `Settings`.
        folder: Of this run alone.
        data: `Data`; None for all of it.

    Returns:
        outcome: `Outcome`, read from the folder where the run is complete.
    """
    data = load() if data is None else data
    folder = claim(pathlib.Path(folder), dataclasses.asdict(settings))
    path = folder / "result.json"
    if path.exists():
        found = read_json(path, f"delete the folder {folder}")
        return Outcome(found["accuracy"], np.array(found["chosen"], np.float32))
    model = build(settings)
    arrays = {"x": data.train_images, "y": data.train_labels, "batch_size": settings.batch_size}
    backup = fitting.fit(
        model, lambda done: arrays, folder, epochs=settings.epochs, name=settings.estimator
    )
    logits = model.predict(data.test_images, verbose=0)
    (selector,) = [layer for layer in model.layers if isinstance(layer, Selector)]
    chosen = selector(data.test_images).numpy()
    accuracy = 100.0 * float(np.mean(logits.argmax(1) == data.test_labels))
    write_json(path, {"accuracy": accuracy, "chosen": chosen.astype(int).tolist()})
    backup.remove()
    return Outcome(accuracy, chosen)


def describe(settings):
    """A run's folder name: all that tells it from its neighbours."""
    return f"{settings.estimator}-k{settings.k}-seed{settings.seed}"
