"""Batches whose rows depend on the seed and the step alone, for loops of one's own and `fit`."""

import tensorflow as tf

from examples.common.files import RunError


def rows(data, step, batch_size, seed):
    """A step's rows of the data: the epoch's permutation is an index shuffle, so none is stored.

    Args:
        data: nest of tensors, examples on the first axis.
        step: scalar int64 tensor, from 0.
        batch_size: int, at most the number of examples.
        seed: int.

    Returns:
        batch: nest of tensors; an epoch leaves out fewer examples than one batch.
    """
    count = len(tf.nest.flatten(data)[0])
    batches = count // batch_size
    position = step % batches * batch_size + tf.range(batch_size, dtype=tf.int64)
    key = tf.stack([tf.cast(seed, tf.int64), step // batches])
    index = tf.random.experimental.index_shuffle(position, key, count - 1)
    return tf.nest.map_structure(lambda one: tf.gather(one, index), data)


def check_size(batch_size, count):
    """Raises a RunError if a batch is larger than the `count` training examples."""
    if batch_size > count:
        raise RunError(
            f"--batch_size must be at most the {count:,} training examples. Received: {batch_size}."
        )


def noise_seed(step, seed):
    """A seed of a step's noise, int64 of shape [2]; of the seed and the step alone."""
    return tf.random.split(tf.stack([tf.cast(seed, tf.int64), step]), 1)[0]


def dataset(data, batch_size, seed, *, first_epoch, prepare):
    """The batches of an epoch and all that follow it, for `model.fit(steps_per_epoch=...)`.

    Keras shuffles by a generator that no backup holds; here a run that is resumed sees the batches
    that it would have seen.

    Args:
        data: nest of arrays, examples on the first axis.
        batch_size: int.
        seed: int.
        first_epoch: int, epochs that are done.
        prepare: callable (batch, seed) -> what `fit` takes, in a graph; `seed` as `noise_seed`.

    Returns:
        dataset: endless tf.data.Dataset.
        steps_per_epoch: int.
    """
    data = tf.nest.map_structure(tf.constant, data)
    steps = len(tf.nest.flatten(data)[0]) // batch_size

    def batch(step):
        return prepare(rows(data, step, batch_size, seed), noise_seed(step, seed))

    numbers = tf.data.Dataset.range(first_epoch * steps, tf.int64.max)
    return numbers.map(batch).prefetch(2), steps
