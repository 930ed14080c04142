"""One-hot samples, differentiated to second order."""

from typing import Any

import keras

from tfgumbel.layers.base import Inference, Temperature
from tfgumbel.layers.categorical import ClassAxisLayer


@keras.saving.register_keras_serializable(package="tfgumbel")
class ReinMaxLayer(ClassAxisLayer):
    """One-hot samples, differentiated to second order (ReinMax).

    The face of `tfgumbel.reinmax`: exact where the loss is quadratic in the sample, at temperature
    1, which leaves nothing to tune.

    Args:
        temperature: Positive float, schedule; as in `DiscreteLayer`.
        axis: The axis of the classes.
        inference: "sample", "argmax" or "probs" when not training; as in `DiscreteLayer`.
        seed: Int, or None for a random one; as in `DiscreteLayer`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs, class_mask, training: as in `CategoricalLayer`.

    Returns:
        sample: One-hot, the shape of `inputs`, in the layer's compute dtype.

    >>> import tensorflow as tf
    >>> sample = ReinMaxLayer(seed=0)(tf.zeros([2, 8]), training=True)
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
            "reinmax",
            temperature=temperature,
            axis=axis,
            inference=inference,
            seed=seed,
            **kwargs,
        )
