"""Digits of which a few have labels: scikit-learn's, embedded and offline, or MNIST's."""

import dataclasses

import numpy as np

from examples.common import data_sets
from examples.common.files import RunError

DATASETS = ("digits", "mnist")
NUM_CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Data:
    """Images, uint8, shape (count, num_pixels), and classes, int32, shape (count,).

    Attributes:
        unlabelled: intensities 0 to 255, the probabilities of pixels drawn anew at every step.
        labelled: intensities of the images whose classes are known, as many of each class.
        classes: theirs.
        validation: a pair (pixels 0 or 1, classes).
        test: a pair (pixels 0 or 1, classes).
        image_shape: height and width.
    """

    unlabelled: np.ndarray
    labelled: np.ndarray
    classes: np.ndarray
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    image_shape: tuple[int, int]

    @property
    def pixel_means(self):
        """Mean of every pixel over the training images, in [0, 1]."""
        return self.unlabelled.mean(axis=0) / 255.0


def load(dataset, *, data_dir=None, num_labels=100, seed=0):
    """Loads digits; all training images are unlabelled, and `num_labels` of them have labels too.

    Splits, the choice of labelled images and the pixels of validation and test images (one draw for
    each intensity) are functions of `seed`.

    Args:
        dataset: "digits" (1,197 for training, 300, 300) or "mnist" (50,000, 10,000, 10,000).
        data_dir: directory of TFDS data sets, for "mnist"; None for TFDS's own.
        num_labels: int, a multiple of 10.
        seed: int.

    Raises:
        RunError: if there are not so many labels of each class.
    """
    if dataset not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}. Received: {dataset!r}.")
    rng = np.random.default_rng(seed)
    if dataset == "mnist":
        images, classes = _mnist("train", data_dir)
        test = _mnist("test", data_dir)
        order = rng.permutation(len(images))
        train, validation = np.split(order, [50_000])
        shape = (28, 28)
    else:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.rint(digits.data * (255.0 / 16.0)).astype(np.uint8)
        classes = digits.target.astype(np.int32)
        order = rng.permutation(len(images))
        train, validation, rest = np.split(order, [1_197, 1_497])
        test = images[rest], classes[rest]
        shape = (8, 8)
    each, left = divmod(num_labels, NUM_CLASSES)
    known = [train[classes[train] == one][:each] for one in range(NUM_CLASSES)]
    if left or not each or any(len(chosen) < each for chosen in known):
        most = NUM_CLASSES * min(int((classes[train] == one).sum()) for one in range(NUM_CLASSES))
        raise RunError(
            f"--num_labels must be a multiple of {NUM_CLASSES}, at most {most}. "
            f"Received: {num_labels}."
        )
    known = np.concatenate(known)
    return Data(
        unlabelled=images[train],
        labelled=images[known],
        classes=classes[known],
        validation=(_draw(images[validation], rng), classes[validation]),
        test=(_draw(test[0], rng), test[1]),
        image_shape=shape,
    )


def _draw(intensities, rng):
    return (rng.random(intensities.shape) < intensities / 255.0).astype(np.uint8)


def _mnist(split, data_dir):
    examples = data_sets.load("mnist", split, data_dir)
    images = examples["image"]
    return images.reshape(len(images), -1), examples["label"].astype(np.int32)
