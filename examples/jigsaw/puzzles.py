"""Images cut into pieces and scrambled, and how well they are put together again.

A puzzle of g x g pieces is an array (g * g, height, width) of pieces in reading order.
"""

import dataclasses

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from examples.common import data_sets
from examples.common.files import RunError

DATASETS = ("digits", "mnist")
# Grids of the defaults: what divides 8, and the smaller of the paper's.
GRIDS = {"digits": (2, 4), "mnist": (2, 3)}


@dataclasses.dataclass(frozen=True)
class Images:
    """Images in [0, 1], uint8 of 0 to 255 as stored, shape (count, side, side)."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def load(dataset, data_dir=None):
    """The images of a data set: scikit-learn's digits, embedded, or MNIST by TFDS.

    Of MNIST the last 5,000 of the 60,000 training images are for validation; of the 1,797 digits,
    in a fixed order, 200 are, and 500 for the test.
    """
    if dataset not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}. Received: {dataset!r}.")
    if dataset == "mnist":
        whole, test = (data_sets.load("mnist", split, data_dir)["image"] for split in
                       ("train", "test"))  # fmt: skip
        train, validation = np.split(whole[..., 0], [55_000])
        return Images(train, validation, test[..., 0])
    images = np.rint(load_digits().images * (255.0 / 16.0)).astype(np.uint8)
    images = np.random.default_rng(0).permutation(images)
    return Images(*np.split(images, [1_097, 1_297]))


def crop(images, grid):
    """The middle of the images, as large as `grid` divides: of 28 x 28 for 3 x 3 pieces 27 x 27,
    without the last row and column."""
    side = images.shape[1]
    if not 2 <= grid <= side // 2:
        raise RunError(f"--grid must be from 2 to {side // 2} for these images. Received: {grid}.")
    kept = side // grid * grid
    first = (side - kept) // 2
    return images[:, first : first + kept, first : first + kept]


def cut(images, grid):
    """Images, shape (batch, side, side), to pieces, shape (batch, grid * grid, size, size)."""
    size = images.shape[1] // grid
    parts = tf.reshape(images, [-1, grid, size, grid, size])
    return tf.reshape(tf.transpose(parts, [0, 1, 3, 2, 4]), [-1, grid * grid, size, size])


def join(pieces):
    """Pieces to images; the inverse of `cut`."""
    number, size = pieces.shape[1], pieces.shape[2]
    grid = round(number**0.5)
    parts = tf.transpose(tf.reshape(pieces, [-1, grid, grid, size, size]), [0, 1, 3, 2, 4])
    return tf.reshape(parts, [-1, grid * size, grid * size])


def scramble(pieces, seed):
    """Pieces of every image in an order of their own; in a graph.

    Args:
        pieces: shape (batch, n, size, size).
        seed: int tensor of shape [2].

    Returns:
        scrambled: of that shape; its i-th piece is the order[i]-th of `pieces`.
        order: int32, shape (batch, n), permutations.
    """
    order = tf.argsort(tf.random.stateless_uniform(tf.shape(pieces)[:2], seed), axis=-1)
    return tf.gather(pieces, order, batch_dims=1), order


@dataclasses.dataclass(frozen=True)
class Scores:
    """How puzzles were solved, means over them.

    Attributes:
        wrong: share of the pieces that are in a wrong place. A place is right where its pixels are:
            pieces that look the same, such as black ones, may change places.
        any_wrong: share of the puzzles with such a piece.
        kendall_tau: of the order of the pieces, 1 for a solved puzzle; those that look the same
            count as in their own places where they can be.
        l1: absolute error of a pixel in [0, 1].
        l2: squared error of a pixel.
    """

    wrong: float
    any_wrong: float
    kendall_tau: float
    l1: float
    l2: float


def judge(places, pieces):
    """Compares solutions with the true puzzles.

    Args:
        places: int, shape (puzzles, n): which true piece was put into each place.
        pieces: true pieces, shape (puzzles, n, size, size), of 0 to 255.
    """
    flat = np.reshape(pieces, [*np.shape(pieces)[:2], -1]).astype(np.float32) / 255.0
    errors = np.take_along_axis(flat, places[:, :, np.newaxis], axis=1) - flat
    wrong = np.any(errors != 0.0, axis=-1)
    orders = np.array([relabel(*pair) for pair in zip(places, flat, strict=True)])
    return Scores(
        wrong=float(wrong.mean()),
        any_wrong=float(wrong.any(axis=1).mean()),
        kendall_tau=float(kendall_tau(orders).mean()),
        l1=float(np.abs(errors).mean()),
        l2=float((errors**2).mean()),
    )


def relabel(places, pieces):
    """The same solution with pieces that look the same told apart in its favour.

    Args:
        places: shape (n,): which piece was put into each place.
        pieces: shape (n, pixels).

    Returns:
        order: shape (n,), a permutation: a piece that lies in the place of one of its likes is that
            one; what is left of the likes fills its places from first to last.
    """
    _, look = np.unique(pieces, axis=0, return_inverse=True)
    look = look.reshape(-1)
    order = np.full(len(places), -1)
    own = look[places] == look
    order[own] = np.flatnonzero(own)
    for kind in np.unique(look[places[~own]]):
        left = np.setdiff1d(np.flatnonzero(look == kind), order)
        order[~own & (look[places] == kind)] = left
    return order


def kendall_tau(orders):
    """Of permutations, shape (..., n): 1 - 2 * inversions / pairs, shape (...)."""
    first, second = np.triu_indices(orders.shape[-1], 1)
    return np.mean(np.sign(orders[..., second] - orders[..., first]), axis=-1)
