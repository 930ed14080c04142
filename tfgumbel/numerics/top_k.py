"""What the estimators of subsets share: arguments, noise around the threshold, k-hot vectors."""

from typing import Any

import tensorflow as tf

from tfgumbel.internal import random, validation


def checked(logits: Any, k: Any) -> tuple[tf.Tensor, int]:
    """Checks logits with the classes on the last axis, and the number of classes to draw.

    Executing eagerly, also checks that every row has k classes that are not masked; in a graph a
    row with fewer gives NaN.
    """
    logits = validation.categorical_logits(logits)
    k = validation.positive_integer("k", k)
    classes = logits.shape[-1] if logits.shape.rank is not None else None
    if classes is None:
        raise ValueError(
            validation.describe(
                "The number of classes is unknown.",
                expected="logits of shape (..., num_classes) whose last axis is known when tracing",
                received=logits.shape,
                fix="tf.ensure_shape(logits, [None, num_classes]) before drawing",
            )
        )
    if k > classes:
        raise ValueError(
            validation.describe(
                "`k` is larger than the number of classes.",
                expected=f"an integer from 1 to {classes}",
                received=k,
                fix="draw at most all classes",
            )
        )
    if tf.executing_eagerly():
        fewest = int(tf.reduce_min(count(logits))) if tf.size(logits) > 0 else k
        if fewest < k:
            raise ValueError(
                validation.describe(
                    "`logits` has a row with too few classes to draw.",
                    expected=f"at least k = {k} classes of every row unmasked",
                    received=f"a row with {fewest}",
                    fix="lower `k`, or mask fewer classes",
                )
            )
    return logits, k


def count(logits: tf.Tensor) -> tf.Tensor:
    """The number of classes that are not masked, int32, without the classes' axis."""
    return tf.math.count_nonzero(logits > float("-inf"), axis=-1, dtype=tf.int32)


def center(logits: tf.Tensor, k: int) -> tf.Tensor:
    """Casts to the compute dtype and shifts each row's k-th largest logit to 0.

    The classes near it are those that noise decides on: were the largest shifted to 0, a float32
    logit 1e4 below it would have steps of 1e-3. NaN where fewer than k classes are not masked.
    """
    logits = tf.cast(logits, validation.compute_dtype(logits.dtype))
    return logits - tf.stop_gradient(largest(logits, k)[..., -1:])


def largest(values: tf.Tensor, k: int) -> tf.Tensor:
    """The k largest values of each row, in falling order."""
    return tf.math.top_k(values, k).values


def perturb(centered: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Adds Gumbel noise to centered logits."""
    return centered + random.gumbel(tf.shape(centered), seed, centered.dtype)


def k_hot(indices: tf.Tensor, num_classes: int, dtype: tf.DType) -> tf.Tensor:
    """Vectors with ones at the last axis' indices: (..., k) becomes (..., num_classes)."""
    k = indices.shape[-1]
    flat = tf.reshape(indices, [-1, k])
    rows = tf.shape(flat)[0]
    places = flat + num_classes * tf.range(rows)[:, tf.newaxis]
    ones = tf.ones([rows * k], dtype)
    hot = tf.scatter_nd(tf.reshape(places, [-1, 1]), ones, [rows * num_classes])
    shape = tf.concat([tf.shape(indices)[:-1], [num_classes]], axis=0)
    return tf.ensure_shape(tf.reshape(hot, shape), indices.shape[:-1] + [num_classes])


def decide(scores: tf.Tensor, k: int, dtype: tf.DType) -> tf.Tensor:
    """The k-hot vector of each row's k largest scores; NaN for a row that holds NaN."""
    sample = k_hot(tf.math.top_k(scores, k).indices, scores.shape[-1], dtype)
    invalid = tf.reduce_any(tf.math.is_nan(scores), axis=-1, keepdims=True)
    return tf.where(invalid, tf.constant(float("nan"), dtype), sample)
