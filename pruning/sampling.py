"""Relaxed Bernoulli masks."""

import tensorflow as tf

from tfgumbel import _random


def relaxed_mask(s, seed, temperature, hard):
    return _relaxed(s, seed, temperature, hard)


@tf.function(jit_compile=True, autograph=False)
def _relaxed(s, seed, temperature, hard):
    @tf.custom_gradient
    def draw(s):
        logits = tf.math.log(s) - tf.math.log1p(-s)
        m = tf.sigmoid((logits + _random.logistic(tf.shape(s), seed)) / temperature)

        def gradient(upstream):
            return upstream * tf.math.divide_no_nan(m * (1.0 - m), temperature * s * (1.0 - s))

        return (tf.round(m) if hard else m), gradient

    return draw(s)
