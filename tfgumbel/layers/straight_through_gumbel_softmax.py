"""One-hot samples, differentiated as relaxed ones."""

from typing import Any

import keras

from tfgumbel.layers.base import Inference, Temperature
from tfgumbel.layers.categorical import ClassAxisLayer


@keras.saving.register_keras_serializable(package="tfgumbel")
class StraightThroughGumbelSoftmaxLayer(ClassAxisLayer):
    """One-hot samples, differentiated as the relaxed sample of the same noise.

    The face of `tfgumbel.straight_through_gumbel_softmax`: a cheap default. `GumbelRaoLayer` has
    the same expected gradient and less variance.

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
    >>> sample = StraightThroughGumbelSoftmaxLayer(seed=0)(tf.zeros([2, 8]), training=True)
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
            "straight_through_gumbel_softmax",
            temperature=temperature,
            axis=axis,
            inference=inference,
            seed=seed,
            **kwargs,
        )
