"""A network that learns to sort, by Gumbel-Sinkhorn, from sorted lists alone.

Each number is scored for each place by one small network (Mena et al. 2018, section 5.1); the
scores of a list make a matrix, its relaxed permutation puts the numbers into places, and the loss
is the squared distance to the sorted list. No permutation is shown to it.
"""

import dataclasses
import itertools
import pathlib

import keras
import numpy as np
import tensorflow as tf

import tfgumbel
from examples.common import fitting
from examples.common.files import read_json, write_json
from examples.common.permutations import PermutationSettings, make_layer
from examples.common.runs import claim

STEPS_PER_EPOCH = 50


@dataclasses.dataclass(frozen=True)
class Settings(PermutationSettings):
    """What decides a result; see the flags in main.py."""

    count: int = 10
    hidden: int = 32
    batch_size: int = 10
    epochs: int = 10
    learning_rate: float = 0.01
    num_test: int = 500


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a trained network sorts lists that it has not seen.

    Attributes:
        wrong: Share of the numbers that are put in a wrong place.
        any_wrong: Share of the lists with a number in a wrong place.
        numbers: One list, shape (count,).
        matrix: Its relaxed permutation without noise, rows numbers and columns places.
    """

    wrong: float
    any_wrong: float
    numbers: np.ndarray
    matrix: np.ndarray


class Sorter(keras.Model):
    """Lists of numbers, shape (batch, count), to lists in order.

    Args:
        settings: `Settings`.
    """

    def __init__(self, settings):
        super().__init__()
        self.hidden = keras.layers.Dense(settings.hidden, activation="relu")
        self.scores = keras.layers.Dense(settings.count)
        self.permute = make_layer(settings)

    def score(self, numbers):
        """Of each number (row) for each place (column), shape (batch, count, count)."""
        return self.scores(self.hidden(numbers[..., tf.newaxis]))

    def call(self, numbers, training=False):
        matrix = self.permute(self.score(numbers), training=training)
        return tf.einsum("bip,bi->bp", matrix, numbers)


def lists(number, count, seed):
    """Lists of uniform numbers, shape (number, count), and the same in order."""
    numbers = np.random.default_rng(seed).uniform(size=(number, count)).astype(np.float32)
    return numbers, np.sort(numbers, axis=-1)


def build(settings):
    """The model, built and compiled."""
    keras.utils.set_random_seed(settings.seed)
    model = Sorter(settings)
    # Its graph is smaller than XLA's start-up is worth, and matching cannot be compiled.
    model.compile(keras.optimizers.Adam(settings.learning_rate), "mse", jit_compile=False)
    model(np.zeros([1, settings.count], np.float32))
    return model


def train(settings, folder):
    """Trains, or goes on training, in a folder of its own, and returns the outcome.

    Every epoch has lists of its own, drawn from its number.

    Args:
        settings: `Settings`.
        folder: Of this run alone.

    Returns:
        outcome: `Outcome`, read from the folder where the run is complete.
    """
    folder = claim(pathlib.Path(folder), dataclasses.asdict(settings))
    path = folder / "result.json"
    if path.exists():
        found = read_json(path, f"delete the folder {folder}")
        arrays = {name: np.array(found.pop(name)) for name in ("numbers", "matrix")}
        return Outcome(**found, **arrays)
    model = build(settings)
    number = STEPS_PER_EPOCH * settings.batch_size

    def data(epochs_done):
        def batches():
            for epoch in itertools.count(epochs_done):
                numbers, ordered = lists(number, settings.count, (settings.seed, 1, epoch))
                for start in range(0, number, settings.batch_size):
                    part = slice(start, start + settings.batch_size)
                    yield numbers[part], ordered[part]

        shape = tf.TensorSpec([settings.batch_size, settings.count])
        return {
            "x": tf.data.Dataset.from_generator(batches, output_signature=(shape, shape)),
            "steps_per_epoch": STEPS_PER_EPOCH,
            "shuffle": False,
        }

    name = f"{settings.count} numbers"
    backup = fitting.fit(model, data, folder, epochs=settings.epochs, name=name)
    outcome = evaluate(model, settings)
    write_json(path, {key: _plain(value) for key, value in dataclasses.asdict(outcome).items()})
    backup.remove()
    return outcome


def evaluate(model, settings):
    """Sorts lists of another seed than training's by the best assignment of their scores."""
    numbers, ordered = lists(settings.num_test, settings.count, (settings.seed, 2))
    got = np.concatenate([model(part).numpy() for part in np.array_split(numbers, 10)])
    mistakes = got != ordered
    scores = model.score(numbers[:1])[0] / settings.temperature
    matrix = tfgumbel.sinkhorn(scores, num_iterations=1000).numpy()
    return Outcome(float(mistakes.mean()), float(mistakes.any(1).mean()), numbers[0], matrix)


def describe(settings):
    """A run's folder name."""
    return f"{settings.count}-{settings.estimator}-seed{settings.seed}"


def _plain(value):
    return value.tolist() if isinstance(value, np.ndarray) else value
