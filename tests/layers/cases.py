"""Every layer of the package, so that each test runs over all of them."""

import tensorflow as tf

from tfgumbel import layers
from tfgumbel.distributions.abilities import BERNOULLI, ONE_HOT_CATEGORICAL
from tfgumbel.registry import sample_estimators

# Permutations, of matrices, have tests of their own.
ESTIMATORS = {
    name: entry for name, entry in sample_estimators().items() if entry.variable.event_rank < 2
}

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
    general = {ONE_HOT_CATEGORICAL: layers.CategoricalLayer, BERNOULLI: layers.BernoulliLayer}
    return general.get(ESTIMATORS[estimator].variable, layers.GumbelTopKLayer)


def make(case, **arguments):
    """Makes the layer of a case: a class, or the name of an estimator."""
    if not isinstance(case, str):
        return case(**arguments)
    return named(case)(estimator=case, **size(case), **arguments)


def size(case):
    """Of subsets: what their estimators and layers need besides."""
    return {name: 2 for name in entry(case).variable.parameters}


def total(case):
    """The number of classes in a sample."""
    return size(case).get("k", 1)


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
