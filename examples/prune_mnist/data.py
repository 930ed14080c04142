"""Images and labels: scikit-learn's digits, offline, or MNIST and its like through TFDS."""

from typing import NamedTuple

import numpy as np

from examples.common import data_sets

DATASETS = ("digits", "mnist", "fashion_mnist", "cifar10")


class Data(NamedTuple):
    """Images in [0, 1], float32, shape (n, height, width, channels), and integer labels (n,)."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def load(dataset: str = "digits", data_dir: str | None = None, validation: int = 0) -> Data:
    """Loads a data set whole into memory.

    Args:
        dataset: `"digits"` (1,797 8x8 images, 450 of them for the test), or one that TFDS
            prepares in `data_dir`.
        data_dir: where TFDS keeps its data sets; None for its own default.
        validation: if above 0, the last so many training images stand in for the test set, for
            choosing settings without looking at it.
    """
    if dataset not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}. Received: {dataset!r}.")
    data = _digits() if dataset == "digits" else _tfds(dataset, data_dir)
    if validation:
        images, labels = data.train_images, data.train_labels
        data = Data(
            images[:-validation], labels[:-validation], images[-validation:], labels[-validation:]
        )
    return data


def _digits() -> Data:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images[..., None] / 16.0).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[450:], order[:450]
    return Data(images[train], digits.target[train], images[test], digits.target[test])


def _tfds(dataset: str, data_dir: str | None) -> Data:
    arrays: list[np.ndarray] = []
    for split in ("train", "test"):
        examples = data_sets.load(dataset, split, data_dir)
        arrays += [examples["image"].astype(np.float32) / 255.0, examples["label"]]
    return Data(*arrays)
