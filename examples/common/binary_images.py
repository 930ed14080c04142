"""Binary images: scikit-learn's digits, embedded and offline, a TFDS data set, or Omniglot."""

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from examples.common import data_sets
from examples.common.files import RunError, reading

DATASETS = ("digits", "binarized_mnist", "mnist", "omniglot")


@dataclasses.dataclass(frozen=True)
class Splits:
    """Images of one data set, uint8, shape (count, num_pixels).

    Attributes:
        train: values 0 and 1; or, with `stochastic`, intensities 0 to 255, the probabilities of
            pixels that are drawn anew at every step.
        validation: values 0 and 1.
        test: values 0 and 1.
        stochastic: whether `train` holds intensities.
        image_shape: height and width.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    stochastic: bool
    image_shape: tuple[int, int]

    @property
    def pixel_means(self):
        """Mean of every pixel over the training images, in [0, 1]."""
        return self.train.mean(axis=0) / (255.0 if self.stochastic else 1.0)

    def binarize(self, images, seed):
        """Training images as they are stored, a tensor, as 0 and 1 in float32.

        `seed`, an int tensor of shape [2], draws the pixels where `stochastic`.
        """
        images = tf.cast(images, tf.float32)
        if not self.stochastic:
            return images
        return tf.cast(
            tf.random.stateless_uniform(tf.shape(images), seed, maxval=255.0) < images, tf.float32
        )


def load(dataset, *, data_dir=None, binarization="stochastic", seed=0):
    """Loads a data set, split and binarized.

    Validation and test images are binarized once, one Bernoulli draw for each pixel from `seed`, so
    that bounds of different models compare. `binarized_mnist` comes binarized (Salakhutdinov and
    Murray, 2008) with its own split; the others are split here, from the same seed.

    Args:
        dataset: one of DATASETS.
        data_dir: directory of TFDS data sets, None for TFDS's own; for "omniglot" that of
            omniglot28.npz.
        binarization: "stochastic", training pixels drawn anew at every step, or "fixed", once.
        seed: int, of the split and the draws.

    Returns:
        splits: `Splits`.
    """
    if dataset not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}. Received: {dataset!r}.")
    if binarization not in ("fixed", "stochastic"):
        raise ValueError(
            f'binarization must be "fixed" or "stochastic". Received: {binarization!r}.'
        )
    if dataset == "binarized_mnist":
        train, validation, test = (
            _tfds_images(dataset, split, data_dir) for split in ("train", "validation", "test")
        )
        return Splits(train, validation, test, stochastic=False, image_shape=(28, 28))
    rng = np.random.default_rng(seed)
    if dataset == "omniglot":
        train, test = _omniglot(data_dir)
        train, validation = np.split(rng.permutation(train), [len(train) * 17 // 18])
        shape = (28, 28)
    elif dataset == "mnist":
        train = _tfds_images(dataset, "train", data_dir)
        train, validation = np.split(rng.permutation(train), [50_000])
        test, shape = _tfds_images(dataset, "test", data_dir), (28, 28)
    else:
        from sklearn.datasets import load_digits

        images = rng.permutation(np.rint(load_digits().data * (255.0 / 16.0)).astype(np.uint8))
        train, validation, test = np.split(images, [1_197, 1_497])
        shape = (8, 8)
    validation, test = _draw(validation, rng), _draw(test, rng)
    if binarization == "fixed":
        return Splits(_draw(train, rng), validation, test, stochastic=False, image_shape=shape)
    return Splits(train, validation, test, stochastic=True, image_shape=shape)


def _draw(intensities, rng):
    return (rng.random(intensities.shape) < intensities / 255.0).astype(np.uint8)


def _tfds_images(name, split, data_dir):
    images = data_sets.load(name, split, data_dir)["image"]
    return images.reshape(len(images), -1)


def _omniglot(data_dir):
    """Training and test images of Lake et al.'s drawings, 28x28, from a file with the arrays
    `image`, uint8, 255 for ink, `train_index` and `test_index`."""
    path = pathlib.Path(data_dir or ".") / "omniglot28.npz"
    if not path.exists():
        raise RunError(
            "--data_dir must hold omniglot28.npz, with the arrays image, train_index and "
            f"test_index. Received: {data_dir}"
        )
    with reading(path, "make the file anew"), np.load(path, allow_pickle=False) as archive:
        images = archive["image"].reshape(len(archive["image"]), -1)
        return images[archive["train_index"]], images[archive["test_index"]]


def evenly_spaced(images, count):
    """`count` of the images, or (None) all; the first ones of a test set may be its easiest."""
    count = len(images) if count is None else min(count, len(images))
    return images[np.arange(count) * len(images) // count]
