"""What the samples of one example are made into: their mean, or a multi-sample bound.

A score-function estimator adds Sum_k signal_k grad log p(D_k) to the objective's own gradient at
fixed draws. An objective knows which signals are right for it.
"""

import abc
import math

import tensorflow as tf


class Objective(abc.ABC):
    """A function of the costs of one example's samples, shape (num_samples, batch) -> (batch,)."""

    @abc.abstractmethod
    def value(self, costs: tf.Tensor) -> tf.Tensor:
        """The objective, shape (batch,)."""

    @abc.abstractmethod
    def signal(self, costs: tf.Tensor, baseline: tf.Tensor | float) -> tf.Tensor:
        """What each sample is to blame for, less a baseline: shape (num_samples, batch)."""

    @abc.abstractmethod
    def leave_one_out(self, costs: tf.Tensor) -> tf.Tensor:
        """The same, less the objective without the sample: shape (num_samples, batch)."""

    @abc.abstractmethod
    def geometric_leave_one_out(self, costs: tf.Tensor) -> tf.Tensor:
        """The same, less the objective with the mean of the others' costs in its place."""

    @abc.abstractmethod
    def asymptotic_leave_one_out(self, costs: tf.Tensor, gamma: float) -> tf.Tensor:
        """`leave_one_out`, with what is left to an own share at few (0) or many (1) samples."""

    @abc.abstractmethod
    def seen(self, costs: tf.Tensor) -> tf.Tensor:
        """What a baseline should predict: broadcasts with (num_samples, batch)."""


class Mean(Objective):
    """(1/m) Sum_k c_k: the expectation. A sample answers for its own cost alone."""

    def value(self, costs: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(costs, axis=0)

    def signal(self, costs: tf.Tensor, baseline: tf.Tensor | float) -> tf.Tensor:
        return (costs - baseline) / costs.shape[0]

    def leave_one_out(self, costs: tf.Tensor) -> tf.Tensor:
        others = (tf.reduce_sum(costs, axis=0) - costs) / (costs.shape[0] - 1)
        return (costs - others) / costs.shape[0]

    def geometric_leave_one_out(self, costs: tf.Tensor) -> tf.Tensor:
        return self.leave_one_out(costs)

    def asymptotic_leave_one_out(self, costs: tf.Tensor, gamma: float) -> tf.Tensor:
        return self.leave_one_out(costs)

    def seen(self, costs: tf.Tensor) -> tf.Tensor:
        return costs


class LogMeanExp(Objective):
    """log (1/m) Sum_k exp(c_k), the costs being log weights: the multi-sample bound."""

    def value(self, costs: tf.Tensor) -> tf.Tensor:
        return tf.reduce_logsumexp(costs, axis=0) - math.log(costs.shape[0])

    def signal(self, costs: tf.Tensor, baseline: tf.Tensor | float) -> tf.Tensor:
        return tf.broadcast_to(self.value(costs), tf.shape(costs)) - baseline

    def leave_one_out(self, costs: tf.Tensor) -> tf.Tensor:
        count = costs.shape[0]
        others = self._without(costs, tf.fill(tf.shape(costs), tf.cast(-math.inf, costs.dtype)))
        return self.value(costs) - (others - math.log(count - 1))

    def geometric_leave_one_out(self, costs: tf.Tensor) -> tf.Tensor:
        count = costs.shape[0]
        mean = (tf.reduce_sum(costs, axis=0) - costs) / (count - 1)
        return self.value(costs) - (self._without(costs, mean) - math.log(count))

    def asymptotic_leave_one_out(self, costs: tf.Tensor, gamma: float) -> tf.Tensor:
        share = gamma * tf.nn.softmax(costs, axis=0)
        return self.leave_one_out(costs) + share - (1.0 - gamma) * math.log1p(-1 / costs.shape[0])

    def seen(self, costs: tf.Tensor) -> tf.Tensor:
        return self.value(costs)

    @staticmethod
    def _without(costs: tf.Tensor, replacement: tf.Tensor) -> tf.Tensor:
        """log Sum_j exp(c_j) with c_k replaced, for each k: m^2 terms, no difference."""
        count = costs.shape[0]
        own = tf.eye(count, dtype=tf.bool)[..., tf.newaxis]
        replaced = tf.where(own, replacement[:, tf.newaxis], costs[tf.newaxis])
        return tf.reduce_logsumexp(replaced, axis=1)
