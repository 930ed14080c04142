"""Relaxed Bernoulli masks: the Concrete distribution on (0, 1).

    m = sigmoid((log(s / (1 - s)) + eps) / temperature),  eps logistic noise,

which tends to Bernoulli(s) as the temperature tends to 0, and rounds to it exactly at any.

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


def mask_at(scores: tf.Tensor, noise: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
    """The relaxed mask of given uniform noise, dtype of `temperature`."""
    s = held(scores, temperature.dtype)
    # logit(s) + logit(noise) as one logarithm; the ratio stays within 1e-14 and 1e14.
    log_odds = tf.math.log((s * noise) / ((1.0 - s) * (1.0 - noise)))
    # exp overflows to infinity far below 0, where 1 / infinity = 0 is right.
    return 1.0 / (1.0 + tf.exp(-log_odds / temperature))


def held(scores: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """The scores within [1e-6, 1 - 1e-6]."""
    return tf.clip_by_value(tf.cast(scores, dtype), MARGIN, 1.0 - MARGIN)
