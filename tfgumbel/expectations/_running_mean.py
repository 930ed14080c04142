"""The running mean of costs: a baseline that learns."""

from typing import Any

import keras
import tensorflow as tf

from tfgumbel.internal import validation


@keras.saving.register_keras_serializable(package="tfgumbel")
class RunningMean(keras.layers.Layer):
    """Exponential running mean of the values seen: the baseline of REINFORCE.

    A Keras layer with two weights: as an attribute of a model it is saved and restored with it;
    under `tf.distribute` each replica keeps its own. The mean is corrected for its start, so that
    it weights only values seen; before any it is 0. Values that are not finite are left out.

    Args:
        decay: Float in [0, 1), the weight of the past at each update. Default: 0.9.
        shape: Of the mean: the last axes of the values; the others are averaged over. Default:
            (), one number.
        **kwargs: Those of `keras.layers.Layer`.

    Raises:
        ValueError: if `decay` is out of range.

    >>> baseline = RunningMean(decay=0.5)
    >>> baseline.update(4.0)
    >>> baseline.update(1.0)
    >>> float(baseline.value)  # (4 / 2 + 1) / (1 / 2 + 1)
    2.0
    """

    def __init__(self, decay: float = 0.9, shape: tuple[int, ...] = (), **kwargs: Any):
        super().__init__(**kwargs)
        if not 0.0 <= decay < 1.0:
            raise ValueError(
                validation.describe(
                    "`decay` is out of range.",
                    expected="a number in [0, 1)",
                    received=decay,
                    fix="0.9 forgets all but the last ten updates or so",
                )
            )
        self.decay = float(decay)
        self.shape = tuple(shape)
        self._total, self._weight = (
            keras.Variable(
                "zeros",
                shape=self.shape,
                dtype="float32",
                trainable=False,
                autocast=False,
                synchronization="on_read",
                aggregation="mean",
                name=name,
            )
            for name in ("total", "weight")
        )
        self.built = True

    @property
    def value(self) -> tf.Tensor:
        """The mean so far, float32."""
        return tf.math.divide_no_nan(*self._state())

    def update(self, values: Any) -> None:
        """Takes in the mean of `values` over the axes before the last ones, of the mean's shape.

        Raises:
            ValueError: if the last axes of `values` are of another shape.
        """
        values = tf.cast(tf.stop_gradient(tf.convert_to_tensor(values)), tf.float32)
        kept = len(self.shape)
        rank = values.shape.rank
        if rank < kept or not values.shape[rank - kept :].is_compatible_with(self.shape):
            raise ValueError(
                validation.describe(
                    "The values do not fit the running mean.",
                    expected=f"shape (..., {', '.join(map(str, self.shape))})",
                    received=tuple(values.shape),
                    fix="make the mean with the shape of the values' last axes, or ()",
                )
            )
        mean = tf.reduce_mean(values, list(range(rank - kept)))
        total, weight = self._state()
        finite = tf.math.is_finite(mean)
        self._total.assign(tf.where(finite, self.decay * total + (1.0 - self.decay) * mean, total))
        self._weight.assign(tf.where(finite, self.decay * weight + (1.0 - self.decay), weight))

    def _state(self) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.convert_to_tensor(self._total), tf.convert_to_tensor(self._weight)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "decay": self.decay, "shape": list(self.shape)}
