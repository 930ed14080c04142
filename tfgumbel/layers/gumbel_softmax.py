"""Relaxed one-hot samples."""

from typing import Any

import keras

from tfgumbel.layers.base import Inference, Temperature
from tfgumbel.layers.categorical import ClassAxisLayer


@keras.saving.register_keras_serializable(package="tfgumbel")
class GumbelSoftmaxLayer(ClassAxisLayer):
    """Relaxed one-hot samples in training, discrete ones outside it.

    The face of `tfgumbel.gumbel_softmax`. In training the output is softmax((inputs + G) /
    temperature), a point inside the simplex, differentiated as such; with inference="sample" it is
    the one-hot at its largest entry, the discrete variable that the relaxation stands for.

    Args:
        temperature: Positive float, schedule or "learnable"; as in `DiscreteLayer`.
        axis: The axis of the classes.
        inference: "sample", "argmax" or "probs" when not training; as in `DiscreteLayer`.
        seed: Int, or None for a random one; as in `DiscreteLayer`.
        **kwargs: `initial_temperature`, where "learnable" starts, and the arguments of
            `keras.layers.Layer`.

    Call arguments:
        inputs, class_mask, training: as in `CategoricalLayer`.

    Returns:
        sample: On the simplex in training, one-hot with "sample" and "argmax".

    >>> import tensorflow as tf
    >>> layer = GumbelSoftmaxLayer(temperature=0.5, seed=0)
    >>> relaxed = layer(tf.zeros([2, 8]), training=True)
    >>> float(tf.reduce_max(relaxed)) < 1.0
    True
    >>> sorted(set(layer(tf.zeros([2, 8])).numpy().ravel().tolist()))
    [0.0, 1.0]
    """

    def __init__(
        self,
        temperature: Temperature = 1.0,
        axis: int = -1,
        inference: Inference = "sample",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            "gumbel_softmax",
            temperature=temperature,
            axis=axis,
            inference=inference,
            seed=seed,
            **kwargs,
        )
