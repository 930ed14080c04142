"""Images and labels: scikit-learn's digits, offline, or MNIST and its like through TFDS."""

from typing import NamedTuple

import numpy as np

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
    validation.one_of("dataset", dataset, DATASETS)
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
    import tensorflow_datasets as tfds

    arrays: list[np.ndarray] = []
    for split in ("train", "test"):
        images, labels = tfds.as_numpy(
            tfds.load(dataset, split=split, data_dir=data_dir, batch_size=-1, as_supervised=True)
        )
        arrays += [images.astype(np.float32) / 255.0, labels]
    return Data(*arrays)
