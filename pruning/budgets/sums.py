"""Sums of long vectors, in an order that compilers vectorise and that rounds less."""

import tensorflow as tf

RUN, BLOCK = 16, 4096  # entries of a run, and of the runs that are added side by side


def runs(x: tf.Tensor) -> tf.Tensor:
    """The sums of all runs of a vector whose length is a multiple of `BLOCK`."""
    return tf.reduce_sum(tf.reshape(x, [-1, RUN, BLOCK // RUN]), axis=1)


def total(x: tf.Tensor) -> tf.Tensor:
    """The sum of a vector of static length: by runs, then what is left."""
    whole = x.shape[0] // BLOCK * BLOCK
    return tf.reduce_sum(runs(x[:whole])) + tf.reduce_sum(x[whole:])


def mean(x: tf.Tensor) -> tf.Tensor:
    """The mean of a vector of static length."""
    return total(x) / x.shape[0]
