"""Layers of stochastic units, and the maps from the sample of one to the logits of the next."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


@dataclasses.dataclass(frozen=True)
class BernoulliUnits:
    """A layer of binary units."""

    units: int

    @property
    def num_logits(self):
        """Logits that one example has, and numbers in the code."""
        return self.units

    def distribution(self, logits):
        """Logits of shape (rows, num_logits), or (num_logits,), as what `draw` takes."""
        return tfd.Bernoulli(logits=logits)

    def code(self, sample):
        """What the next map sees: -1 and 1; linear in the sample, so relaxed ones fit too."""
        return 2.0 * sample - 1.0


@dataclasses.dataclass(frozen=True)
class CategoricalUnits:
    """A layer of `variables` units of `classes` each."""

    variables: int
    classes: int

    @property
    def num_logits(self):
        """Logits that one example has, and numbers in the code."""
        return self.variables * self.classes

    def distribution(self, logits):
        """Logits of shape (rows, num_logits), or (num_logits,), as what `draw` takes."""
        shape = [self.variables, self.classes]
        shape = shape if logits.shape.rank == 1 else [-1, *shape]
        return tfd.OneHotCategorical(logits=tf.reshape(logits, shape))

    def code(self, sample):
        """What the next map sees: mean 0 and variance 1 under equal odds, as -1 and 1 have."""
        scaled = (sample * self.classes - 1.0) / np.sqrt(self.classes - 1.0)
        return tf.reshape(scaled, [-1, self.num_logits])


def make_units(variables, size, classes):
    """A layer that gives `size` logits.

    Args:
        variables: "bernoulli" or "categorical".
        size: Units; of categorical ones their number times `classes`.
        classes: Of each categorical unit.
    """
    if variables == "bernoulli":
        return BernoulliUnits(size)
    if size % classes:
        raise ValueError(f"layers must be multiples of classes={classes}. Received: {size}.")
    return CategoricalUnits(size // classes, classes)


def conditional(num_inputs, num_outputs, *, hidden_units=(), seed, output_means=None):
    """The map from a code to the next layer's logits.

    Args:
        num_inputs: Numbers of the code.
        num_outputs: Logits.
        hidden_units: Widths of deterministic tanh layers between; none: it is linear.
        seed: Of the weights, Glorot and Bengio's uniform ones.
        output_means: Array (num_outputs,) or None: probabilities that the biases start from.
    """
    layers = [keras.Input([num_inputs])]
    for index, units in enumerate((*hidden_units, num_outputs)):
        last = index == len(hidden_units)
        initializer = keras.initializers.GlorotUniform(seed=seed + index)
        layers.append(
            keras.layers.Dense(units, None if last else "tanh", kernel_initializer=initializer)
        )
    made = keras.Sequential(layers)
    if output_means is not None:
        likely = np.clip(np.asarray(output_means), 0.01, 0.99)
        made.layers[-1].bias.assign(np.log(likely / (1.0 - likely)))
    return made


def bernoulli_log_likelihood(pixels, logits):
    """Sum over the last axis of log Bernoulli(x; sigmoid(logit)) = x logit - softplus(logit)."""
    return tf.reduce_sum(pixels * logits - tf.nn.softplus(logits), axis=-1)
