"""Data sets of TensorFlow Datasets, whole and as arrays."""

import pathlib
import sys

from examples.common.files import RunError


def load(name, split, data_dir=None):
    """Reads one split of a data set into memory, fetching it where it is missing.

    Args:
        name: of the data set, as TFDS knows it.
        split: of it, such as "train".
        data_dir: directory of TFDS data sets; None for TFDS's own.

    Returns:
        examples: dict of arrays, such as "image" and "label".
    """
    if data_dir is not None and not pathlib.Path(data_dir).is_dir():
        raise RunError(f"--data_dir must be a directory of TFDS data. Received: {data_dir}")
    import tensorflow_datasets as tfds

    if not sys.stdout.isatty():
        tfds.disable_progress_bar()
    return tfds.as_numpy(tfds.load(name, split=split, data_dir=data_dir, batch_size=-1))
