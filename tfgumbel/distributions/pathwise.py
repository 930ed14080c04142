"""Pathwise samples of continuous distributions: TFP's, and their gradient where TFP's is NaN.

A Beta or Dirichlet sample is made of Gamma variables. Of a small concentration a they underflow: at
a = .1 one in 10^4 in float32, at .03 one in 14. Only the logarithm is left of them then, which TFP
draws, but whose gradient it takes as 0 / 0. From F(x) = x^a / Gamma(a + 1) (1 + O(x)), the
distribution function, the implicit gradient -(dF/da) / (x dF/dx) of log x is

    d log x / da = (digamma(a + 1) - log x) / a,

to within a share x of it.

Reference: M. Figurnov, S. Mohamed, A. Mnih (2018), "Implicit Reparameterization Gradients",
NeurIPS, eq. 5 and appendix B.
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.internal import random


def sample(distribution: Any, seed: tf.Tensor) -> tf.Tensor:
    """One sample of a reparameterized TFP distribution, with gradients to its parameters.

    Args:
        distribution: Of `tfp.distributions`.
        seed: int32 tensor, shape [2].
    """
    kind = type(distribution).__name__
    if kind == "Dirichlet":
        return tf.nn.softmax(log_gamma(distribution.concentration, seed))
    if kind == "Beta":
        shape = distribution.batch_shape_tensor()
        concentrations = distribution.concentration1, distribution.concentration0
        one, zero = (
            log_gamma(tf.broadcast_to(concentration, shape), random.fold_in(seed, index))
            for index, concentration in enumerate(concentrations)
        )
        return tf.sigmoid(one - zero)
    return distribution.sample(seed=seed)


def log_gamma(concentration: Any, seed: tf.Tensor) -> tf.Tensor:
    """The logarithm of a Gamma(concentration, 1) variable, with its implicit gradient.

    Args:
        concentration: Floating, > 0, any shape.
        seed: int32 tensor, shape [2].

    Returns:
        log_sample: Shape and dtype of `concentration`; finite where the variable underflows.
    """
    from tensorflow_probability import distributions as tfd

    @tf.custom_gradient
    def draw(concentration):
        rate = tf.ones([], concentration.dtype)
        log_sample = tfd.ExpGamma(concentration, rate).sample(seed=seed)

        def gradient(upstream):
            return upstream * _slope(concentration, log_sample)

        return log_sample, gradient

    return draw(tf.convert_to_tensor(concentration))


def _slope(concentration: tf.Tensor, log_sample: tf.Tensor) -> tf.Tensor:
    """The implicit derivative of log x in the concentration."""
    # Below, the share x that the closed form leaves out is less than rounding.
    smallest = math.log(np.finfo(log_sample.dtype.as_numpy_dtype).eps)
    x = tf.exp(tf.maximum(log_sample, smallest))
    slope = tf.raw_ops.RandomGammaGrad(alpha=concentration, sample=x) / x
    limit = (tf.math.digamma(concentration + 1.0) - log_sample) / concentration
    return tf.where(log_sample < smallest, limit, slope)
