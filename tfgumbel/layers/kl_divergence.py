"""KL(q || p) among a Keras model's losses and metrics, of continuous and of discrete latents."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args

import keras
import tensorflow as tf

from tfgumbel.internal import validation
from tfgumbel.objectives.divergences import bernoulli_kl, categorical_kl

DiscreteDistribution: TypeAlias = Literal["OneHotCategorical", "Bernoulli"]

_DIVERGENCES: dict[str, Callable[..., tf.Tensor]] = {
    "OneHotCategorical": categorical_kl,
    "Bernoulli": bernoulli_kl,
}


class ChargingLayer(keras.layers.Layer):
    """A layer with a divergence: a metric, and at a weight a loss.

    Args:
        kl_weight: Weight, >= 0, of the divergence in the losses; None for the metric alone. It is a
            weight of the layer, so a callback can warm it up.
        free_bits: Nats, >= 0, up to which the divergence of each variable, a mean over the batch,
            costs the same: the loss has the larger of the two, the metric the divergence.
        measured: Whether there is a divergence at all.
        **kwargs: The arguments of `keras.layers.Layer`.
    """

    def __init__(self, kl_weight: float | None, free_bits: float, measured: bool, **kwargs: Any):
        super().__init__(**kwargs)
        self.free_bits = validation.finite_number("free_bits", free_bits)
        self.supports_masking = True
        self._kl_weight: Any = None
        if kl_weight is not None:
            initial = validation.finite_number("kl_weight", kl_weight)
            self._kl_weight = self.add_weight(
                name="kl_weight",
                shape=(),
                initializer=lambda shape, dtype: tf.constant(initial, dtype),
                dtype="float32",
                trainable=False,
                autocast=False,
            )
        self._kl_metric = keras.metrics.Mean(name=f"{self.name}_kl") if measured else None

    @property
    def kl_weight(self) -> Any:
        """The divergence's weight in the losses, a scalar tensor; None for none."""
        return None if self._kl_weight is None else tf.convert_to_tensor(self._kl_weight)

    @kl_weight.setter
    def kl_weight(self, value: Any) -> None:
        if self._kl_weight is None:
            raise ValueError(
                validation.describe(
                    f"Layer {self.name!r} has no divergence among its losses.",
                    expected="a layer constructed with a kl_weight",
                    received=value,
                    fix="construct it with kl_weight=0.0, to be raised later",
                )
            )
        self._kl_weight.assign(validation.finite_number("kl_weight", float(value)))

    def _charge(self, divergence: tf.Tensor) -> None:
        """Takes the divergence of every variable, shape (batch, ...), in nats."""
        per_variable = tf.reduce_mean(divergence, axis=0)
        if self._kl_metric is not None:
            self._kl_metric.update_state(tf.reduce_sum(per_variable))
        if self._kl_weight is not None:
            charged = tf.maximum(per_variable, tf.cast(self.free_bits, per_variable.dtype))
            self.add_loss(tf.cast(self.kl_weight, charged.dtype) * tf.reduce_sum(charged))

    def get_config(self) -> dict[str, Any]:
        weight = None if self._kl_weight is None else float(self.kl_weight)
        return {**super().get_config(), "kl_weight": weight, "free_bits": self.free_bits}


@keras.saving.register_keras_serializable(package="tfgumbel")
class KLDivergenceLayer(ChargingLayer):
    """Hands logits on to a discrete layer, and charges their KL(q || p): a discrete VAE by `fit`.

    The divergence, in closed form (`tfgumbel.objectives`), a sum over the variables, a mean over
    the batch, in nats, goes into the metric `<name>_kl` and, times `kl_weight`, into the losses.

    Args:
        distribution: "OneHotCategorical", whose classes are on the last axis; or "Bernoulli".
        prior_logits: Numbers, or nested lists of them, that broadcast to the logits of one example.
            None: equal odds.
        kl_weight: Weight, >= 0, of the divergence in the losses; None for the metric alone. It is a
            weight of the layer, so a callback can warm it up: `layer.kl_weight = 0.1`.
        free_bits: Nats, >= 0, up to which the divergence of each variable, a mean over the batch,
            costs the same: the loss has the larger of the two, the metric the divergence.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Logits, floating, shape (batch, ..., num_classes), or (batch, ...) of Bernoullis.

    Returns:
        logits: The inputs as they are.

    Raises:
        ValueError: if there is no such distribution, or a number is wrong.

    >>> import tensorflow as tf
    >>> layer = KLDivergenceLayer(kl_weight=0.5, name="code")
    >>> logits = layer(tf.math.log([[0.25, 0.75], [0.5, 0.5]]))
    >>> round(float(layer.metrics[0].result()), 4), round(float(layer.losses[0]), 4)
    (0.0654, 0.0327)

    References:
        Jang, Gu & Poole, ICLR 2017, section 4.2; Kingma, Salimans, Jozefowicz, Chen, Sutskever &
        Welling, NeurIPS 2016, eq. 15 (free bits).
    """

    def __init__(
        self,
        distribution: DiscreteDistribution = "OneHotCategorical",
        prior_logits: Any = None,
        kl_weight: float | None = 1.0,
        free_bits: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(kl_weight, free_bits, measured=True, **kwargs)
        self.distribution = validation.one_of(
            "distribution", distribution, get_args(DiscreteDistribution)
        )
        self.prior_logits = prior_logits

    def call(self, inputs: Any) -> tf.Tensor:
        logits = validation.floating_tensor("inputs", inputs)
        wide = tf.cast(logits, validation.compute_dtype(logits.dtype))
        prior = () if self.prior_logits is None else (tf.constant(self.prior_logits, wide.dtype),)
        self._charge(_DIVERGENCES[self.distribution](wide, *prior))
        return logits

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {"distribution": self.distribution, "prior_logits": self.prior_logits}
        return {**super().get_config(), **own}
