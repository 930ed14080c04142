"""One-hot samples, differentiated as probabilities."""

from typing import Any

import keras

from tfgumbel.layers.base import Inference, Temperature
from tfgumbel.layers.categorical import ClassAxisLayer


@keras.saving.register_keras_serializable(package="tfgumbel")
class StraightThroughLayer(ClassAxisLayer):
    """One-hot samples, differentiated as the probabilities softmax(inputs / temperature).

    The face of `tfgumbel.straight_through`: the cheapest baseline. The temperature is that of the
    backward pass; annealing it steepens the slope.

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
        sample: One-hot, the shape of `inputs`, in the layer's compute dtype.

    >>> import tensorflow as tf
    >>> sample = StraightThroughLayer(seed=0)(tf.zeros([2, 8]), training=True)
    >>> tf.reduce_sum(sample, axis=-1).numpy().tolist()
    [1.0, 1.0]
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
            "straight_through",
            temperature=temperature,
            axis=axis,
            inference=inference,
            seed=seed,
            **kwargs,
        )
