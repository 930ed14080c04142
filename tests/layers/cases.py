"""Every layer of the package, so that each test runs over all of them."""

import tensorflow as tf

from tfgumbel import layers
from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.registry import sample_estimators

ESTIMATORS = sample_estimators()

NAMED = {
    layers.GumbelSoftmaxLayer: "gumbel_softmax",
    layers.StraightThroughLayer: "straight_through",
    layers.StraightThroughGumbelSoftmaxLayer: "straight_through_gumbel_softmax",
    layers.GumbelRaoLayer: "gumbel_rao",
    layers.ReinMaxLayer: "reinmax",
    layers.GappedStraightThroughLayer: "gapped_straight_through",
    layers.BinaryConcreteLayer: "binary_concrete",
    layers.HardConcreteLayer: "hard_concrete",
}


def named(estimator):
    """The general layer of an estimator of the registry."""
    categorical = ESTIMATORS[estimator].variable is ONE_HOT_CATEGORICAL
    return layers.CategoricalLayer if categorical else layers.BernoulliLayer


def make(case, **arguments):
    """Makes the layer of a case: a class, or the name of an estimator."""
    return named(case)(case, **arguments) if isinstance(case, str) else case(**arguments)


def entry(case):
    """The registry's entry behind a case."""
    return ESTIMATORS[case if isinstance(case, str) else NAMED[case]]


CASES = [*NAMED, *(name for name in ESTIMATORS if name not in NAMED.values())]


def case_id(case):
    return case if isinstance(case, str) else case.__name__


def logits(shape=(6, 5), seed=0, scale=2.0, dtype=tf.float32):
    return tf.cast(scale * tf.random.stateless_normal(shape, [seed, 7]), dtype)


def gradient(function, inputs, upstream):
    """The value at `inputs`, and the derivative of its product with `upstream`."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = function(inputs)
        loss = tf.reduce_sum(tf.cast(value, tf.float32) * upstream)
    return value, tape.gradient(loss, inputs)
