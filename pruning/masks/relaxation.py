"""Relaxed Bernoulli masks: the Concrete distribution on (0, 1).

    m = sigmoid((log(s / (1 - s)) + noise_scale * eps) / temperature),  eps logistic noise,

which tends to Bernoulli(P) as the temperature tends to 0, and rounds to it exactly at any, with

    P = s^a / (s^a + (1 - s)^a),  a = 1 / noise_scale.

At a noise scale of 1, P = s. Less noise leaves the likelier mask of every score likelier still, and
to chance those close to 1/2.

Reference: C. J. Maddison, A. Mnih, Y. W. Teh (2017), "The Concrete Distribution", ICLR, appendix B
(Binary Concrete); X. Zhou, W. Zhang, H. Xu, T. Zhang (2021), "Effective Sparsification of Neural
Networks with Global Sparsity Constraint", CVPR, section 3.
"""

import tensorflow as tf

from tfgumbel.internal import random

# Scores are held this far from 0 and 1, where the log odds are infinite.
MARGIN = 1e-6


def mask_noise(
    scores: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor, jit_compile: bool
) -> tf.Tensor:
    """The uniform noise of a relaxed mask, shape of `scores`, dtype of `temperature`.

    `jit_compile` says whether XLA compiles the caller, and may be given the faster generator.
    """
    algorithm = random.COMPILED_ALGORITHM if jit_compile else random.ALGORITHM
    return random.uniform(tf.shape(scores), seed, temperature.dtype, algorithm)


def mask_at(
    scores: tf.Tensor, noise: tf.Tensor, temperature: tf.Tensor, noise_scale: float = 1.0
) -> tf.Tensor:
    """The relaxed mask of given uniform noise, dtype of `temperature`."""
    s = held(scores, temperature.dtype)
    if noise_scale != 1.0:
        log_odds = tf.math.log(s / (1.0 - s)) + noise_scale * tf.math.log(noise / (1.0 - noise))
        return 1.0 / (1.0 + tf.exp(-log_odds / temperature))
    # logit(s) + logit(noise) as one logarithm; the ratio stays within 1e-14 and 1e14.
    log_odds = tf.math.log((s * noise) / ((1.0 - s) * (1.0 - noise)))
    # exp overflows to infinity far below 0, where 1 / infinity = 0 is right.
    return 1.0 / (1.0 + tf.exp(-log_odds / temperature))


def probability(scores: tf.Tensor, noise_scale: float = 1.0) -> tf.Tensor:
    """The probability P that a mask rounds to 1, shape and dtype of `scores`."""
    if noise_scale == 1.0:
        return scores
    s = held(scores, scores.dtype)
    return tf.sigmoid(tf.math.log(s / (1.0 - s)) / noise_scale)


def held(scores: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """The scores within [1e-6, 1 - 1e-6]."""
    return tf.clip_by_value(tf.cast(scores, dtype), MARGIN, 1.0 - MARGIN)
