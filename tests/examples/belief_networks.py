"""Belief networks in NumPy, float64: sums over every outcome, sharing nothing with the examples."""

import itertools

import numpy as np


def log_bernoulli(x, logits):
    return np.sum(x * logits - np.logaddexp(0.0, logits), axis=-1)


class Units:
    """Outcomes of one layer: their codes, and log probabilities given logits."""

    def __init__(self, kind, size, classes):
        if kind == "bernoulli":
            self.outcomes = np.array(list(itertools.product([0.0, 1.0], repeat=size)))
            self.codes = 2.0 * self.outcomes - 1.0
            self.log_prob = lambda logits, x: log_bernoulli(x, logits)
        else:
            eye, count = np.eye(classes), size // classes
            self.outcomes = np.array(
                [eye[list(c)].ravel() for c in itertools.product(range(classes), repeat=count)]
            )
            self.codes = (self.outcomes * classes - 1.0) / np.sqrt(classes - 1.0)
            self.log_prob = lambda logits, x: log_softmax(logits, classes, x)


def log_softmax(logits, classes, x):
    split = logits.reshape(*logits.shape[:-1], -1, classes)
    normal = split - np.log(np.exp(split).sum(axis=-1, keepdims=True))
    return np.sum(normal.reshape(logits.shape) * x, axis=-1)


def perceptron(sequential, x):
    """A keras.Sequential of Dense layers, tanh but for the last."""
    for index, layer in enumerate(sequential.layers):
        x = x @ layer.kernel.numpy() + layer.bias.numpy()
        x = np.tanh(x) if index < len(sequential.layers) - 1 else x
    return x


def paths(units):
    """Every joint outcome of some layers, as tuples of (outcome, code)."""
    each = [list(zip(one.outcomes, one.codes, strict=True)) for one in units]
    return itertools.product(*each)
