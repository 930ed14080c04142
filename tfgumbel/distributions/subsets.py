"""Two kinds of subset of k classes, as the estimators and layers ask for them.

Both are k-hot vectors with the classes on the last axis; `k` is an option of the estimators. They
are different distributions of the same logits, equal for k = 1 alone.
"""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.abilities import Kind
from tfgumbel.internal import validation
from tfgumbel.numerics import conditional_bernoulli, top_k


class Subset(Kind):
    """What the kinds of subset share: the k largest logits are the most likely subset of both."""

    event_rank = 1
    parameters = ("k",)

    def check(self, logits: Any) -> tf.Tensor:
        return validation.categorical_logits(logits)

    def make(self, logits: tf.Tensor, **parameters: Any) -> Any:
        """The TFP distribution with these logits; its samples have their dtype."""
        from tfgumbel import distributions

        return getattr(distributions, self.distribution)(logits, **parameters)

    def make_relaxed(self, logits: tf.Tensor, temperature: Any, **parameters: Any) -> Any:
        """Refuses: the density of a sum of successive softmaxes is not known."""
        raise ValueError(
            validation.describe(
                "Relaxed subsets have no density that is known.",
                expected="an estimator of exact subsets",
                received="a relaxed one",
                fix="tfgumbel.distributions.PlackettLuceSubset(logits, k) is that of their "
                "rounded samples",
            )
        )

    def mode(self, logits: tf.Tensor, **parameters: Any) -> tf.Tensor:
        return top_k.decide(logits, parameters["k"], logits.dtype)


class PlackettLuceSubset(Subset):
    """Classes drawn one after the other without replacement, the order forgotten."""

    distribution = "PlackettLuceSubset"

    def mean(self, logits: tf.Tensor, **parameters: Any) -> tf.Tensor:
        return self.make(logits, **parameters).mean()


class ConditionalBernoulli(Subset):
    """Independent Bernoulli variables given that k of them are 1."""

    distribution = "ConditionalBernoulli"

    def mean(self, logits: tf.Tensor, **parameters: Any) -> tf.Tensor:
        wide = tf.cast(logits, validation.compute_dtype(logits.dtype))
        rows = tf.reshape(wide, [-1, wide.shape[-1]])
        mean = conditional_bernoulli.marginals(rows, parameters["k"])
        return tf.cast(tf.reshape(mean, tf.shape(logits)), logits.dtype)


PLACKETT_LUCE_SUBSET = PlackettLuceSubset()
CONDITIONAL_BERNOULLI = ConditionalBernoulli()
