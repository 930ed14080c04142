"""Gates between 0 and 1 that can close, and the penalty that closes them."""

from typing import Any

import keras
import tensorflow as tf

from tfgumbel.estimators._hard_concrete import hard_concrete_expected_l0
from tfgumbel.internal import validation
from tfgumbel.layers.base import Inference, Temperature
from tfgumbel.layers.bernoulli import SingleLogitLayer


@keras.saving.register_keras_serializable(package="tfgumbel")
class HardConcreteLayer(SingleLogitLayer):
    """Gates in [0, 1] that are exactly 0 or 1 with positive probability.

    The face of `tfgumbel.hard_concrete`. Outside training the default is "probs", here the paper's
    deterministic gate, clip(lower + (upper - lower) sigmoid(inputs), 0, 1): it is exactly 0 for a
    gate that learned to close, and a gated network is meant to be used without noise. "argmax"
    gives 1 where that gate is above 1/2, else 0; "sample" draws as in training.

    Args:
        temperature: Positive float, schedule or "learnable"; as in `DiscreteLayer`. The default is
            the paper's.
        l0_penalty: Weight, >= 0, of the penalty added to the losses: the expected number of gates
            that are not 0, summed over all axes but the first and averaged over the first, the
            batch. Logits that are parameters, without a batch, go in as `logits[None]`.
        lower: Left end of the stretched interval, < 0.
        upper: Right end of the stretched interval, > 1.
        inference: "sample", "argmax" or "probs" when not training, as above.
        seed: Int, or None for a random one; as in `DiscreteLayer`.
        **kwargs: `initial_temperature`, where "learnable" starts, and the arguments of
            `keras.layers.Layer`.

    Call arguments:
        inputs, training: as in `BernoulliLayer`.

    Returns:
        gate: In [0, 1], the shape of `inputs`, in the layer's compute dtype.

    >>> import tensorflow as tf
    >>> layer = HardConcreteLayer(l0_penalty=0.1, seed=0)
    >>> layer(tf.constant([[-10.0, 0.0, 10.0]])).numpy().tolist()
    [[0.0, 0.5, 1.0]]
    >>> round(float(layer.losses[0]), 3)
    0.183

    References:
        Louizos, Welling & Kingma, ICLR 2018, eq. 10 to 13.
    """

    def __init__(
        self,
        temperature: Temperature = 2.0 / 3.0,
        l0_penalty: float = 0.0,
        lower: float = -0.1,
        upper: float = 1.1,
        inference: Inference = "probs",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            "hard_concrete",
            temperature=temperature,
            lower=lower,
            upper=upper,
            inference=inference,
            seed=seed,
            **kwargs,
        )
        self.l0_penalty = validation.finite_number("l0_penalty", l0_penalty)
        self.lower = lower
        self.upper = upper

    def call(self, inputs: Any, training: bool = False) -> tf.Tensor:
        gate = super().call(inputs, training=training)
        if self.l0_penalty:
            is_open = hard_concrete_expected_l0(
                tf.cast(inputs, validation.compute_dtype(inputs.dtype)),
                temperature=self.temperature,
                lower=self.lower,
                upper=self.upper,
            )
            batch_size = tf.cast(tf.shape(is_open)[0], is_open.dtype)
            self.add_loss(self.l0_penalty * tf.reduce_sum(is_open) / batch_size)
        return gate

    def _probs(self, logits: tf.Tensor) -> tf.Tensor:
        stretched = self.lower + (self.upper - self.lower) * tf.sigmoid(logits)
        return tf.clip_by_value(stretched, 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "l0_penalty": self.l0_penalty}
