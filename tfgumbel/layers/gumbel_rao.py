"""One-hot samples, differentiated by Gumbel-Rao."""

from typing import Any, Literal

import keras

from tfgumbel.layers.base import Inference, Temperature
from tfgumbel.layers.categorical import ClassAxisLayer


@keras.saving.register_keras_serializable(package="tfgumbel")
class GumbelRaoLayer(ClassAxisLayer):
    """One-hot samples, differentiated as straight-through Gumbel-Softmax averaged over its noise.

    The face of `tfgumbel.gumbel_rao`: the conditional expectation of the straight-through
    Gumbel-Softmax gradient given the sample, so the same mean with no more variance. Lower
    temperatures than there pay: less bias at a variance that no longer explodes.

    Args:
        temperature: Positive float, schedule or "learnable"; as in `DiscreteLayer`. With
            "exact", 0 is the cold limit.
        num_samples: "exact", the expectation itself by quadrature, or an int: the average of that
            many draws of the noise, made in the backward pass.
        noise: Of those draws: "stratified" or, as in the paper, "independent".
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
    >>> sample = GumbelRaoLayer(seed=0)(tf.zeros([2, 8]), training=True)
    >>> tf.reduce_sum(sample, axis=-1).numpy().tolist()
    [1.0, 1.0]
    """

    def __init__(
        self,
        temperature: Temperature = 0.5,
        num_samples: int | Literal["exact"] = "exact",
        noise: Literal["independent", "stratified"] = "stratified",
        axis: int = -1,
        inference: Inference = "sample",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            "gumbel_rao",
            temperature=temperature,
            num_samples=num_samples,
            noise=noise,
            axis=axis,
            inference=inference,
            seed=seed,
            **kwargs,
        )
