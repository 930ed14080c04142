"""NVIL: a baseline network, centring and, if wanted, scaling."""

from typing import Any

import keras
import tensorflow as tf

from tfgumbel.expectations._running_mean import RunningMean
from tfgumbel.expectations.program import Program, hard
from tfgumbel.expectations.score_function import mean_of_others, with_score
from tfgumbel.registry import LossEstimator, register


@keras.saving.register_keras_serializable(package="tfgumbel")
class NVILBaseline(keras.layers.Layer):
    """Predicts costs from the program's inputs, and keeps their running mean and variance.

    A Keras layer: make one in a model's constructor and pass it to every call,
    `expectation(..., estimator="nvil", baseline=self.baseline)`. Its squared error is in `losses`,
    which never ride on the value.

    Args:
        hidden: Units of the network's one hidden layer.
        decay: The weight of the past in the running moments, in [0, 1).
        **kwargs: Those of `keras.layers.Layer`.
    """

    def __init__(self, hidden: int = 100, decay: float = 0.8, **kwargs: Any):
        super().__init__(**kwargs)
        self.hidden = hidden
        self._network = keras.Sequential(
            [
                keras.layers.Dense(hidden, activation="tanh", dtype="float32"),
                keras.layers.Dense(1, kernel_initializer="zeros", dtype="float32"),
            ]
        )
        self._mean = RunningMean(decay)
        self._square = RunningMean(decay)

    @property
    def decay(self) -> float:
        """The weight of the past in the running moments."""
        return self._mean.decay

    def build(self, features_shape: Any, *_: Any) -> None:
        """Makes the network's weights; a model that is loaded from a file does so in its `build`.

        Args:
            features_shape: (None, number of floating inputs that one example has).
        """
        self._network.build(features_shape)
        self.built = True

    def call(self, features: tf.Tensor, costs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the baseline of each cost and the scale, and takes the costs in.

        Args:
            features: Shape (batch, size).
            costs: Shape (..., batch).
        """
        costs = tf.stop_gradient(tf.cast(costs, tf.float32))
        prediction = self._network(tf.stop_gradient(features))[:, 0]
        mean = self._mean.value
        scale = tf.maximum(1.0, tf.sqrt(tf.maximum(self._square.value - mean**2, 0.0)))
        self.add_loss(tf.reduce_mean((costs - mean - prediction) ** 2) / scale**2)
        self._mean.update(costs)
        self._square.update(costs**2)
        return mean + prediction, scale

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "hidden": self.hidden, "decay": self.decay}


@register(
    LossEstimator,
    bias="unbiased",
    use_when="reinforce in a training run, with one sample; cascades too",
    reference="Mnih & Gregor, ICML 2014, section 2.3 and algorithm 1",
    multi_sample=True,
    any_distribution=True,
)
def nvil(
    program: Program,
    *,
    seed: tf.Tensor,
    baseline: NVILBaseline | None = None,
    normalize: bool = False,
) -> tf.Tensor:
    """NVIL: the signal is cost - baseline(inputs) - running mean.

    The paper also divides it by max(1, running deviation), `normalize`: a step size that adapts,
    right where all that reaches a weight is this signal. Where more does, it weighs the two anew:
    beside an exact divergence, say, by whatever the costs vary, which in the discrete VAE of the
    examples ends in posterior collapse. So here it is an option.

    Args:
        program: The program, run once.
        seed: Int tensor of shape [2].
        baseline: A `tfgumbel.expectations.NVILBaseline`, made once, of which everything is read
            before this call's costs enter it; None for the mean of the call's other costs, and
            their standard deviation.
        normalize: Whether to divide by the deviation; the gradient is then unbiased but for that.

    Returns:
        value: Shape (batch,).

    References: Mnih & Gregor, "Neural variational inference and learning in belief networks", ICML
    2014, section 2.3.
    """
    run = program.run(hard, seed)
    seen = program.objective.seen(run.costs)
    if baseline is None:
        level = mean_of_others(seen)
        spread = mean_of_others(seen**2) - level**2
        scale = tf.maximum(tf.sqrt(tf.maximum(spread, 0.0)), 1.0)
    else:
        level, scale = baseline(program.features(), seen)
        level, scale = tf.cast(level, seen.dtype), tf.cast(scale, seen.dtype)
    signal = program.objective.signal(run.costs, tf.stop_gradient(level))
    return with_score(program, run, signal / tf.stop_gradient(scale) if normalize else signal)
