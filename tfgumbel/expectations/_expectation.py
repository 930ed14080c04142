"""The expectation of a program's cost, differentiated by any estimator."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tfgumbel.expectations.estimate import estimate
from tfgumbel.expectations.program import Program


def expectation(
    program: Callable[..., Any],
    inputs: Any,
    *,
    estimator: str | tuple[str, Mapping[str, Any]] | Callable[..., tf.Tensor],
    seed: Any,
    num_samples: int = 1,
    temperature: Any = None,
    **options: Any,
) -> tf.Tensor:
    """Estimates E[cost] of a program of draws; the gradient is the estimator's.

    A program is written once, and any estimator trains it:

        def program(draw, x):                                   # x: (batch, ...)
            first = draw(encoder(x))                            # logits -> one-hot, same shape
            second = draw(tfd.Bernoulli(logits=hidden(first)))  # a cascade: depends on the first
            return cost(x, first, second)                       # (batch,)

    Value: the mean over the samples. Gradient, for all that the program closes over and for the
    inputs: the estimator's, see `tfgumbel.registry.REGISTRY`. One that acts on the sample
    ("gumbel_rao", ...) answers every `draw` with its function; one that acts on the loss
    ("reinforce", ...) with exact samples, and adds the gradient of their log probability.

    Draws from other distributions are not the estimator's affair where TFP reparameterises them:
    their gradient is pathwise. Where it does not (Poisson, ...) it is the score function's, with
    the mean of all other rows' costs as baseline under an estimator that acts on the sample; those
    that act on the loss do as ever, if log probabilities are all they need.

    Args:
        program: `program(draw, inputs) -> cost`. `draw(distribution)`, any number of times, takes
            a TFP `OneHotCategorical` or `Bernoulli`, or logits (batch, ..., num_classes), short for
            the first, or any other distribution of TFP. The cost has shape (batch,); integers and
            booleans count as numbers.
        inputs: Tensor or nest of tensors, the batch on the first axis. What can be computed once,
            an encoder's logits, is best computed outside and passed here.
        estimator: A name in `tfgumbel.registry.REGISTRY`; a pair (name, options), which can say
            ("gumbel_rao", {"num_samples": 10}); or a callable (logits, *, seed) -> sample.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draws.
            In a loop: `tfgumbel.fold_in(seed, step)`.
        num_samples: Samples of each example, an int >= 1, as one batch: a program sees the inputs
            repeated along the batch axis. Default: 1.
        temperature: Of estimators that have one; a missing one, or one too many, is an error.
        **options: Further arguments of the estimator, such as `baseline` of "reinforce_baseline".

    Returns:
        value: Shape (batch,), the mean over the samples, float32, or float64 where the cost is.

    Raises:
        TypeError: if `seed` is not made of integers, or an option is unknown.
        ValueError: if a name, a number or a shape is wrong, the estimator has no gradient, or it
            cannot draw from a distribution of the program.

    >>> import tensorflow as tf
    >>> import tfgumbel
    >>> cost = tf.constant([1.0, 2.0, 4.0])
    >>> logits = tf.Variable([[0.0, 0.0, 0.0]])
    >>> with tf.GradientTape() as tape:
    ...     value = tfgumbel.expectation(
    ...         lambda draw, logits: tf.linalg.matvec(draw(logits), cost), logits,
    ...         estimator="reinforce", num_samples=1000, seed=0)
    >>> gradient = tape.gradient(value, logits)[0]  # its mean is (cost - 7 / 3) / 3
    >>> bool(abs(value[0] - 7 / 3) < 0.2), bool(gradient[0] < 0.0 < gradient[2])
    (True, True)

    References: Schulman, Heess, Weber & Abbeel, "Gradient estimation using stochastic computation
    graphs", NeurIPS 2015; Paulus, Maddison & Krause, ICLR 2021, appendix B, for relaxed cascades.
    """
    return estimate(Program(program, inputs, num_samples), estimator, seed, temperature, options)
