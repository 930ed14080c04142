"""Categorical variables: classes on an axis, class masks, any estimator by name."""

from typing import Any, ClassVar, Literal, TypeAlias, get_args

import keras
import tensorflow as tf

from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL, Kind
from tfgumbel.internal import validation
from tfgumbel.layers.base import DiscreteLayer, Inference, Temperature
from tfgumbel.numerics import top_k

EmptyRows: TypeAlias = Literal["error", "zeros"]


class ClassAxisLayer(DiscreteLayer):
    """What the layers of categorical variables share; not to be used itself.

    Args:
        estimator: A name in `tfgumbel.registry.REGISTRY` for one-hot categorical variables.
        axis: The axis of the classes, an int.
        empty_rows: What a row with every class masked gives: "error", which raises in eager mode
            and gives NaN in a graph; or "zeros", a sample of 0 and a gradient of 0, for padding.
        **kwargs: As in `DiscreteLayer`.

    Call arguments:
        inputs: Logits, floating, any shape with the classes on `axis`. A Keras mask of the leading
            axes is handed on unchanged.
        class_mask: Boolean, broadcastable to `inputs`; False classes are never drawn and their
            logits get a gradient of exactly 0. For a row of False alone see `empty_rows`.
        training: Whether to draw as the estimator does (True) or as `inference` says.

    Returns:
        sample: The shape of `inputs`, in the layer's compute dtype.

    Raises:
        ValueError: when built, if the inputs have no axis `axis`.
    """

    kinds: ClassVar[tuple[Kind, ...]] = (ONE_HOT_CATEGORICAL,)
    _fewest = 1  # Classes that a row needs.

    def __init__(
        self, estimator: str, *, axis: int = -1, empty_rows: EmptyRows = "error", **kwargs: Any
    ):
        super().__init__(estimator, **kwargs)
        self.empty_rows = validation.one_of("empty_rows", empty_rows, get_args(EmptyRows))
        if isinstance(axis, bool) or not isinstance(axis, int):
            raise TypeError(
                validation.describe(
                    "`axis` is invalid.", expected="an int", received=axis, fix="pass one axis"
                )
            )
        self.axis = axis

    def build(self, input_shape: Any) -> None:
        rank = len(input_shape)
        if not -rank <= self.axis < rank:
            raise ValueError(
                validation.describe(
                    f"The inputs of layer {self.name!r} have no axis {self.axis}.",
                    expected=f"an axis from {-rank} to {rank - 1}" if rank else "a class axis",
                    received=f"shape {tuple(input_shape)}",
                    fix="change `axis`, or the shape of the inputs",
                )
            )
        self.input_spec = keras.layers.InputSpec(
            ndim=rank, axes={self.axis: input_shape[self.axis]}
        )
        self.built = True

    def call(self, inputs: Any, class_mask: Any = None, training: bool = False) -> tf.Tensor:
        logits = self._prepare(inputs, class_mask)
        if self.empty_rows == "zeros":
            filled = top_k.count(logits)[..., tf.newaxis] >= self._fewest
            sample = self._evaluate(tf.where(filled, logits, 0.0), training)
            sample = tf.where(filled, sample, 0.0)
        else:
            sample = self._evaluate(logits, training)
        return tf.cast(_swap(sample, -1, self.axis), self.compute_dtype)

    def _prepare(self, inputs: Any, class_mask: Any) -> tf.Tensor:
        """Logits with the classes on the last axis, masked ones at -inf, in the compute dtype."""
        inputs = validation.floating_tensor("inputs", inputs)
        logits = tf.cast(inputs, validation.compute_dtype(inputs.dtype))
        if class_mask is not None:
            logits = tf.where(_checked_mask(class_mask, logits), logits, float("-inf"))
        return _swap(logits, self.axis, -1)

    def distribution(self, inputs: Any, class_mask: Any = None) -> Any:
        """The TFP distribution that the layer draws from in training.

        Its densities, entropies and divergences are TFP's, for instance
        `tfp.distributions.kl_divergence(layer.distribution(logits), prior)`.

        Args:
            inputs: Logits, as in a call.
            class_mask: As in a call.

        Returns:
            distribution: A `OneHotCategorical`, or where samples are relaxed the
            `RelaxedOneHotCategorical` at the current temperature; the classes on the last axis,
            the batch shape that of the other axes; float32 or float64.
        """
        return self._distribution(self._prepare(inputs, class_mask))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis, "empty_rows": self.empty_rows}


@keras.saving.register_keras_serializable(package="tfgumbel")
class CategoricalLayer(ClassAxisLayer):
    """Samples of categorical variables by any estimator of the registry, options and all.

    The named layers (`GumbelRaoLayer` and the rest) are this one with the estimator chosen. What it
    returns and how it is differentiated is the estimator's affair: see `tfgumbel.<estimator>`.

    Args:
        estimator: A name in `tfgumbel.registry.REGISTRY` for one-hot categorical variables.
        temperature: Positive float, schedule or "learnable"; as in `DiscreteLayer`.
        axis: The axis of the classes.
        inference: "sample", "argmax" or "probs"; as in `DiscreteLayer`.
        seed: Int, or None for a random one; as in `DiscreteLayer`.
        **kwargs: The estimator's options, `initial_temperature`, and the arguments of
            `keras.layers.Layer`.

    Raises:
        TypeError, ValueError: as `DiscreteLayer`.

    >>> import tensorflow as tf
    >>> layer = CategoricalLayer("gumbel_softmax", temperature=0.5, seed=0)
    >>> sample = layer(tf.zeros([2, 8]), training=True)
    >>> tuple(sample.shape), bool(tf.reduce_all(tf.abs(tf.reduce_sum(sample, -1) - 1) < 1e-6))
    ((2, 8), True)
    """

    def __init__(
        self,
        estimator: str,
        temperature: Temperature = 1.0,
        axis: int = -1,
        inference: Inference = "sample",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            estimator, temperature=temperature, axis=axis, inference=inference, seed=seed, **kwargs
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "estimator": self.estimator}


def _checked_mask(class_mask: Any, inputs: tf.Tensor) -> tf.Tensor:
    class_mask = tf.convert_to_tensor(class_mask)
    if class_mask.dtype != tf.bool:
        raise TypeError(
            validation.describe(
                "`class_mask` is not boolean.",
                expected="dtype bool, True for classes that may be drawn",
                received=class_mask.dtype.name,
                fix="cast it: tf.cast(class_mask, tf.bool)",
            )
        )
    try:
        shape = tf.broadcast_static_shape(class_mask.shape, inputs.shape)
    except ValueError:
        shape = None
    if shape is None or not shape.is_compatible_with(inputs.shape):
        raise ValueError(
            validation.describe(
                "`class_mask` does not broadcast to the inputs.",
                expected=f"axes of 1, or those of the inputs' shape {tuple(inputs.shape)}",
                received=tuple(class_mask.shape),
                fix="give it the classes on the same axis as the inputs have them",
            )
        )
    return class_mask


def _swap(tensor: tf.Tensor, source: int, destination: int) -> tf.Tensor:
    return keras.ops.moveaxis(tensor, source, destination) if source != destination else tensor
