"""Relaxed binary samples."""

from typing import Any

import keras

from tfgumbel.layers.base import Inference, Temperature
from tfgumbel.layers.bernoulli import SingleLogitLayer


@keras.saving.register_keras_serializable(package="tfgumbel")
class BinaryConcreteLayer(SingleLogitLayer):
    """Relaxed binary samples in training, zeros and ones outside it.

    The face of `tfgumbel.binary_concrete`. In training the output is sigmoid((inputs + L) /
    temperature), L logistic noise, differentiated as such; with inference="sample" it is that
    rounded, the binary variable that the relaxation stands for.

    Args:
        temperature: Positive float, schedule or "learnable"; as in `DiscreteLayer`. The default is
            Maddison et al.'s choice for binary variables.
        inference: "sample", "argmax" or "probs" when not training; as in `DiscreteLayer`.
        seed: Int, or None for a random one; as in `DiscreteLayer`.
        **kwargs: `initial_temperature`, where "learnable" starts, and the arguments of
            `keras.layers.Layer`.

    Call arguments:
        inputs, training: as in `BernoulliLayer`.

    Returns:
        sample: Between 0 and 1 in training, either with "sample" and "argmax".

    >>> import tensorflow as tf
    >>> layer = BinaryConcreteLayer(seed=0)
    >>> relaxed = layer(tf.zeros([2, 8]), training=True)
    >>> 0.0 < float(tf.reduce_min(relaxed)) and float(tf.reduce_max(relaxed)) < 1.0
    True
    >>> sorted(set(layer(tf.zeros([2, 8])).numpy().ravel().tolist()))
    [0.0, 1.0]

    References:
        Maddison, Mnih & Teh, ICLR 2017, appendix B.
    """

    def __init__(
        self,
        temperature: Temperature = 2.0 / 3.0,
        inference: Inference = "sample",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            "binary_concrete", temperature=temperature, inference=inference, seed=seed, **kwargs
        )
