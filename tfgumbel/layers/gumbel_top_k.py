"""Subsets of k classes, by any estimator's name."""

from typing import Any

import keras
import tensorflow as tf

from tfgumbel.distributions.subsets import CONDITIONAL_BERNOULLI, PLACKETT_LUCE_SUBSET
from tfgumbel.internal import validation
from tfgumbel.layers.base import Inference, Temperature
from tfgumbel.layers.categorical import ClassAxisLayer


@keras.saving.register_keras_serializable(package="tfgumbel")
class GumbelTopKLayer(ClassAxisLayer):
    """Samples of k of the classes, k-hot, by any estimator of subsets in the registry.

    Two distributions of the same logits: with "straight_through_subset", "relaxed_subset" and
    "gumbel_top_k" classes are drawn one after the other without replacement (Gumbel top-k); with
    "simple_subset" a subset's probability is proportional to exp(sum of its logits), and samples
    and gradients are exact. What is returned and how it is differentiated is the estimator's
    affair: see `tfgumbel.<estimator>`.

    Args:
        k: Number of classes drawn, an int from 1 to the number of classes.
        estimator: A name in `tfgumbel.registry.REGISTRY` for subsets.
        temperature: Positive float, schedule or "learnable"; as in `DiscreteLayer`.
        axis: The axis of the classes.
        inference: "sample", "argmax" (the k largest logits) or "probs" (the probability that each
            class is drawn) when not training; as in `DiscreteLayer`. "probs" costs much more for
            the estimators of Gumbel top-k, whose marginals are an integral.
        seed: Int, or None for a random one; as in `DiscreteLayer`.
        **kwargs: The estimator's options, `initial_temperature`, `empty_rows` (of rows with fewer
            than k classes that are not masked), and the arguments of `keras.layers.Layer`.

    Call arguments:
        inputs, class_mask, training: as in `CategoricalLayer`.

    Returns:
        sample: k-hot, or relaxed, the shape of `inputs`, in the layer's compute dtype.

    Raises:
        TypeError, ValueError: as `DiscreteLayer`; ValueError when built if k is larger than the
            number of classes.

    >>> import tensorflow as tf
    >>> layer = GumbelTopKLayer(3, estimator="simple_subset", seed=0)
    >>> tf.reduce_sum(layer(tf.zeros([2, 8]), training=True), axis=-1).numpy().tolist()
    [3.0, 3.0]

    References:
        Kool, van Hoof & Welling, ICML 2019; Xie & Ermon, IJCAI 2019; Ahmed et al., ICLR 2023.
    """

    kinds = (PLACKETT_LUCE_SUBSET, CONDITIONAL_BERNOULLI)

    def __init__(
        self,
        k: int,
        estimator: str = "straight_through_subset",
        temperature: Temperature = 0.5,
        axis: int = -1,
        inference: Inference = "sample",
        seed: int | None = None,
        **kwargs: Any,
    ):
        self._fewest = validation.positive_integer("k", k)
        super().__init__(
            estimator,
            k=self._fewest,
            temperature=temperature,
            axis=axis,
            inference=inference,
            seed=seed,
            **kwargs,
        )

    @property
    def k(self) -> int:
        """The number of classes drawn."""
        return self._fewest

    def _example(self) -> tf.Tensor:
        return tf.zeros([1, self._fewest])

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        classes = input_shape[self.axis]
        if classes is None or classes < self.k:
            raise ValueError(
                validation.describe(
                    f"Layer {self.name!r} cannot draw {self.k} classes from these inputs.",
                    expected=f"a known number of classes, at least k = {self.k}",
                    received=f"{classes} on axis {self.axis} of shape {tuple(input_shape)}",
                    fix="change `k`, `axis`, or the shape of the inputs",
                )
            )

    def distribution(self, inputs: Any, class_mask: Any = None) -> Any:
        """The distribution that the layer draws from in training.

        Args:
            inputs: Logits, as in a call.
            class_mask: As in a call.

        Returns:
            distribution: A `tfgumbel.distributions.ConditionalBernoulli` for "simple_subset", else
            a `PlackettLuceSubset`; the classes on the last axis, float32 or float64.

        Raises:
            ValueError: for "relaxed_subset", whose density is not known.
        """
        return super().distribution(inputs, class_mask)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "estimator": self.estimator}
