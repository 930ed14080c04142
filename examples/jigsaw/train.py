"""A network that solves jigsaw puzzles of digits, shown nothing but the images they are cut from.

Each piece is scored for each place by one small network (Mena et al. 2018, section 5.2); the scores
of a puzzle make a matrix, its relaxed permutation mixes the pieces into places, and the loss is the
squared distance to the image. In the test a piece goes where the best assignment says.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from examples.common import batches, fitting
from examples.common.files import read_json, reading, whole_file, write_json
from examples.common.permutations import PermutationSettings, make_layer
from examples.common.runs import claim
from examples.common.settings import decisive
from examples.jigsaw import puzzles

SHOWN = 10  # puzzles of the picture


@dataclasses.dataclass(frozen=True)
class Settings(PermutationSettings):
    """What decides a result; see the flags in main.py."""

    grid: int = 2
    dataset: str = "digits"
    data_dir: str | None = None
    filters: int = 32
    hidden: int = 256
    batch_size: int = 64
    epochs: int = 8
    learning_rate: float = 1e-3


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        test, validation: `puzzles.Scores`.
        scrambled: those of the test puzzles as they come.
        shown: name to images, shape (SHOWN, side, side), of test puzzles: scrambled, soft,
            assembled, true.
    """

    test: puzzles.Scores
    validation: puzzles.Scores
    scrambled: puzzles.Scores
    shown: dict[str, np.ndarray]


class Solver(keras.Model):
    """Scrambled pieces, shape (batch, n, size, size), in [0, 1], to pieces in their places.

    Args:
        settings: `Settings`.
    """

    def __init__(self, settings):
        super().__init__()
        number = settings.grid**2
        self.network = keras.Sequential(
            [
                keras.layers.Conv2D(settings.filters, 3, padding="same", activation="relu"),
                keras.layers.MaxPooling2D(2, padding="same"),
                keras.layers.Flatten(),
                keras.layers.Dense(settings.hidden, activation="relu"),
                keras.layers.Dense(number),
            ]
        )
        self.permute = make_layer(settings)

    def score(self, pieces):
        """Of each piece (row) for each place (column), shape (batch, n, n)."""
        number, size = pieces.shape[1], pieces.shape[2]
        scores = self.network(tf.reshape(pieces, [-1, size, size, 1]))
        return tf.reshape(scores, [-1, number, number])

    def call(self, pieces, training=False):
        matrix = self.permute(self.score(pieces), training=training)
        return tf.einsum("bip,bixy->bpxy", matrix, pieces)


def build(settings, size, steps):
    """The model, built and compiled.

    Args:
        settings: `Settings`.
        size: pixels of a piece's side.
        steps: of the whole training, in which the rate falls to 0.
    """
    keras.utils.set_random_seed(settings.seed)
    model = Solver(settings)
    rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps)
    # Matching cannot be compiled.
    model.compile(keras.optimizers.Adam(rate), "mse", jit_compile=False)
    model(np.zeros([1, settings.grid**2, size, size], np.float32))
    return model


def train(settings, folder, images=None):
    """Trains, or goes on training, in a folder of its own, and returns the outcome.

    Args:
        settings: `Settings`.
        folder: of this run alone.
        images: `puzzles.Images`; None to load them.

    Returns:
        outcome: `Outcome`, read from the folder where the run is complete.
    """
    images = images or puzzles.load(settings.dataset, settings.data_dir)
    whole = puzzles.crop(images.train, settings.grid)
    batches.check_size(settings.batch_size, len(whole))
    folder = claim(folder, decisive(settings))
    path, pictured = folder / "result.json", folder / "shown.npz"
    if path.exists():
        return _read(path, pictured)
    steps = settings.epochs * (len(whole) // settings.batch_size)
    model = build(settings, whole.shape[1] // settings.grid, steps)

    def prepare(some, seed):
        pieces = puzzles.cut(tf.cast(some, tf.float32) / 255.0, settings.grid)
        return puzzles.scramble(pieces, seed)[0], pieces

    def data(epochs_done):
        dataset, steps_per_epoch = batches.dataset(
            whole, settings.batch_size, settings.seed, first_epoch=epochs_done, prepare=prepare
        )
        return {"x": dataset, "steps_per_epoch": steps_per_epoch, "shuffle": False}

    name = f"{settings.grid} x {settings.grid} pieces"
    backup = fitting.fit(model, data, folder, epochs=settings.epochs, name=name)
    outcome = evaluate(model, settings, images)
    with whole_file(pictured) as temporary:
        np.savez(temporary, **outcome.shown)
    scores = dataclasses.asdict(dataclasses.replace(outcome, shown={}))
    write_json(path, {name: value for name, value in scores.items() if name != "shown"})
    backup.remove()
    return outcome


def _read(path, pictured):
    remedy = f"delete the folder {path.parent}"
    found = read_json(path, remedy)
    with reading(pictured, remedy), np.load(pictured, allow_pickle=False) as archive:
        shown = dict(archive)
    return Outcome(**{name: puzzles.Scores(**found[name]) for name in found}, shown=shown)


def evaluate(model, settings, images):
    """Solves the validation and test puzzles, each image scrambled once, by the seed."""
    judged = {}
    for index, name in enumerate(("validation", "test")):
        pieces = puzzles.cut(puzzles.crop(getattr(images, name), settings.grid), settings.grid)
        scrambled, order = puzzles.scramble(pieces, [settings.seed, 2 + index])
        places = solve(model, scrambled, order.numpy())
        judged[name] = puzzles.judge(places, pieces.numpy())
    some = tf.cast(scrambled[:SHOWN], tf.float32) / 255.0
    shown = {
        "scrambled": some,
        "soft": model(some, training=True),
        "assembled": model(some),
        "true": tf.cast(pieces[:SHOWN], tf.float32) / 255.0,
    }
    return Outcome(
        **judged,
        scrambled=puzzles.judge(order.numpy(), pieces.numpy()),
        shown={name: puzzles.join(one).numpy() for name, one in shown.items()},
    )


def solve(model, scrambled, order, rows=1_000):
    """Which true piece goes into each place by the best assignment, shape (puzzles, n)."""
    places = []
    for first in range(0, len(order), rows):
        some = tf.cast(scrambled[first : first + rows], tf.float32) / 255.0
        # Of the scrambled pieces, rows; of the places, columns.
        chosen = tf.argmax(model.permute(model.score(some)), axis=1).numpy()
        places.append(np.take_along_axis(order[first : first + rows], chosen, axis=1))
    return np.concatenate(places)


def describe(settings):
    """A run's folder name."""
    name = f"{settings.dataset}-{settings.grid}x{settings.grid}"
    return f"{name}-{settings.estimator}-seed{settings.seed}"
