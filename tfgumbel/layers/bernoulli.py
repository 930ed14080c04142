"""Binary variables, one logit each and no class axis, by any estimator's name."""

from typing import Any

import keras
import tensorflow as tf

from tfgumbel.distributions.abilities import BERNOULLI
from tfgumbel.internal import validation
from tfgumbel.layers.base import DiscreteLayer, Inference, Temperature


class SingleLogitLayer(DiscreteLayer):
    """What the layers of binary variables share; not to be used itself.

    Args:
        estimator: A name in `tfgumbel.registry.REGISTRY` for Bernoulli variables.
        **kwargs: As in `DiscreteLayer`.

    Call arguments:
        inputs: Log odds, floating, any shape. A Keras mask is handed on unchanged.
        training: Whether to draw as the estimator does (True) or as `inference` says.

    Returns:
        sample: The shape of `inputs`, in the layer's compute dtype.
    """

    kinds = (BERNOULLI,)

    def call(self, inputs: Any, training: bool = False) -> tf.Tensor:
        return tf.cast(self._evaluate(self._prepare(inputs), training), self.compute_dtype)

    def _prepare(self, inputs: Any) -> tf.Tensor:
        inputs = validation.floating_tensor("inputs", inputs)
        return tf.cast(inputs, validation.compute_dtype(inputs.dtype))

    def build(self, input_shape: Any) -> None:
        self.built = True

    def distribution(self, inputs: Any) -> Any:
        """The TFP distribution that the layer draws from in training.

        Its densities, entropies and divergences are TFP's, for instance
        `layer.distribution(logits).entropy()`.

        Args:
            inputs: Log odds, as in a call.

        Returns:
            distribution: A `Bernoulli`; where samples are relaxed a `RelaxedBernoulli` or a
            `tfgumbel.distributions.HardConcrete` at the current temperature. Batch shape that of
            the inputs; float32 or float64.
        """
        return self._distribution(self._prepare(inputs))


@keras.saving.register_keras_serializable(package="tfgumbel")
class BernoulliLayer(SingleLogitLayer):
    """Samples of binary variables by any estimator of the registry, options and all.

    Args:
        estimator: A name in `tfgumbel.registry.REGISTRY` for Bernoulli variables.
        temperature: Positive float, schedule or "learnable"; as in `DiscreteLayer`.
        inference: "sample", "argmax" or "probs"; as in `DiscreteLayer`.
        seed: Int, or None for a random one; as in `DiscreteLayer`.
        **kwargs: The estimator's options, `initial_temperature`, and the arguments of
            `keras.layers.Layer`.

    Raises:
        TypeError, ValueError: as `DiscreteLayer`.

    >>> import tensorflow as tf
    >>> layer = BernoulliLayer("bernoulli_straight_through", seed=0)
    >>> sample = layer(tf.zeros([2, 8]), training=True)
    >>> sorted(set(sample.numpy().ravel().tolist()))
    [0.0, 1.0]
    """

    def __init__(
        self,
        estimator: str,
        temperature: Temperature = 1.0,
        inference: Inference = "sample",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            estimator, temperature=temperature, inference=inference, seed=seed, **kwargs
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "estimator": self.estimator}
