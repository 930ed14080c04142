"""Baselines of score-function estimators: what the value is compared with."""

import tensorflow as tf

from tfgumbel.internal import validation


class RunningMean(tf.Module):
    """Exponential running mean of the values seen: the baseline of REINFORCE.

    Two variables, kept by `tf.train.Checkpoint` and, under `tf.distribute`, by each replica. The
    mean is corrected for its start, so that it weights only values seen; before any it is 0.

    Args:
        decay: Float in [0, 1), the weight of the past at each update. Default: 0.9.
        shape: Of the mean: the last axes of the values; the others are averaged over. Default:
            (), one number.

    Raises:
        ValueError: if `decay` is out of range.

    >>> baseline = RunningMean(decay=0.5)
    >>> baseline.update(4.0)
    >>> baseline.update(1.0)
    >>> float(baseline.value)  # (4 / 2 + 1) / (1 / 2 + 1)
    2.0
    """

    def __init__(self, decay: float = 0.9, shape: tuple[int, ...] = ()):
        super().__init__(name="running_mean")
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
        self._total, self._weight = (
            tf.Variable(
                tf.zeros(size, tf.float32),
                trainable=False,
                name=name,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.MEAN,
            )
            for name, size in (("total", shape), ("weight", ()))
        )

    @property
    def value(self) -> tf.Tensor:
        """The mean so far, float32."""
        return tf.math.divide_no_nan(self._total.read_value(), self._weight.read_value())

    def update(self, values: tf.Tensor) -> None:
        """Takes in the mean of `values` over the axes before the last ones, of the mean's shape."""
        values = tf.cast(tf.stop_gradient(values), tf.float32)
        mean = tf.reduce_mean(values, list(range(values.shape.rank - self._total.shape.rank)))
        self._total.assign(self.decay * self._total + (1.0 - self.decay) * mean)
        self._weight.assign(self.decay * self._weight + (1.0 - self.decay))
