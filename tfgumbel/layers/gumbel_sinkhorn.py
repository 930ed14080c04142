"""Permutations of n things, relaxed or exact."""

from typing import Any

import keras
import tensorflow as tf

from tfgumbel.distributions.permutations import GUMBEL_MATCHING, square_matrices
from tfgumbel.internal import validation
from tfgumbel.layers.base import DiscreteLayer, Inference, Temperature


@keras.saving.register_keras_serializable(package="tfgumbel")
class GumbelSinkhornLayer(DiscreteLayer):
    """Permutation matrices of scores with Gumbel noise, relaxed in training or exact.

    The face of `tfgumbel.gumbel_sinkhorn` and `tfgumbel.straight_through_gumbel_sinkhorn`. Outside
    training the permutations are exact, by linear assignment in Python: such a call runs in eager
    mode and in graphs, not under XLA (the layer tells Keras so), and an exported model runs in the
    process that made it alone.

    Args:
        temperature: Positive float, schedule or "learnable"; as in `DiscreteLayer`.
        estimator: "gumbel_sinkhorn", doubly stochastic matrices in training; or
            "straight_through_gumbel_sinkhorn", exact permutations with the gradient of those.
        num_iterations: The most passes over rows and columns.
        tolerance: Of the rows' sums, at which the passes end.
        noise_scale: Factor of the noise; 0 for none.
        inference: "sample", or "argmax" (the best assignment of the scores without noise), when
            not training; as in `DiscreteLayer`. "probs" has no closed form, and is refused.
        seed: Int, or None for a random one; as in `DiscreteLayer`.
        **kwargs: `initial_temperature`, where "learnable" starts, and the arguments of
            `keras.layers.Layer`.

    Call arguments:
        inputs: Scores, floating, shape (..., n, n).
        training: Whether to draw as the estimator does (True) or as `inference` says.

    Returns:
        sample: The shape of `inputs`, in the layer's compute dtype.

    Raises:
        TypeError, ValueError: as `DiscreteLayer`; ValueError for inputs that are not square.

    >>> import tensorflow as tf
    >>> layer = GumbelSinkhornLayer(seed=0)
    >>> tf.reduce_sum(layer(tf.zeros([2, 3, 3])), axis=-1).numpy().tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]

    References:
        Mena, Belanger, Linderman & Snoek, ICLR 2018.
    """

    kinds = (GUMBEL_MATCHING,)

    def __init__(
        self,
        temperature: Temperature = 1.0,
        estimator: str = "gumbel_sinkhorn",
        num_iterations: int = 100,
        tolerance: float = 1e-4,
        noise_scale: float = 1.0,
        inference: Inference = "sample",
        seed: int | None = None,
        **kwargs: Any,
    ):
        validation.one_of("inference", inference, ("sample", "argmax"))
        super().__init__(
            estimator,
            temperature=temperature,
            num_iterations=num_iterations,
            tolerance=tolerance,
            noise_scale=noise_scale,
            inference=inference,
            seed=seed,
            **kwargs,
        )
        self.supports_jit = False

    def _example(self) -> tf.Tensor:
        return tf.zeros([1, 2, 2])

    def build(self, input_shape: Any) -> None:
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> tf.Tensor:
        inputs = square_matrices("inputs", inputs)
        logits = tf.cast(inputs, validation.compute_dtype(inputs.dtype))
        return tf.cast(self._evaluate(logits, training), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "estimator": self.estimator}
