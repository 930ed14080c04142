"""The parent of two nodes (Tai et al. 2015, as a binary tree), for many pairs at once."""

import math

import tensorflow as tf


def cell(gates, c_left, c_right):
    """Parents of pairs: their gates, shape (..., 5 units), and c of the children -> [c, h]."""
    write, keep_left, keep_right, update, read = tf.split(gates, 5, axis=-1)
    kept = c_left * tf.sigmoid(keep_left + 1.0) + c_right * tf.sigmoid(keep_right + 1.0)
    c = kept + tf.tanh(update) * tf.sigmoid(write)
    return tf.concat([c, tf.sigmoid(read) * tf.tanh(c)], axis=-1)


def product(values, matrix):
    """Product over the last axis as one of two matrices: `@` would repeat one for each sentence."""
    flat = tf.reshape(values, [-1, values.shape[-1]]) @ matrix
    return tf.reshape(flat, tf.concat([tf.shape(values)[:-1], tf.shape(flat)[-1:]], 0))


def candidate_logits(scores, left):
    """Logits of the candidates, and which of the places hold one, both of shape (batch, places).

    Args:
        scores: shape (batch, places); those behind the candidates are of no account.
        left: int32, shape (batch,), how many candidates a sentence has. One place is left to a
            sentence that has none: what is drawn there is of no account.
    """
    real = tf.range(scores.shape[1]) < tf.expand_dims(tf.maximum(left, 1), 1)
    return tf.where(real, scores, -math.inf), real
