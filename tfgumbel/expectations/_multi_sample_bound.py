"""The multi-sample bound of a program, differentiated by any estimator that knows it."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfgumbel.expectations.estimate import Estimator, estimate
from tfgumbel.expectations.objectives import LogMeanExp
from tfgumbel.expectations.program import Program


def multi_sample_bound(
    program: Callable[..., Any],
    inputs: Any,
    *,
    num_samples: int,
    estimator: Estimator,
    seed: Any,
    temperature: Any = None,
    **options: Any,
) -> tf.Tensor:
    """Estimates the bound log (1/m) Sum_k w_k of a program that returns log weights.

    The importance-weighted bound on log p(x) for training: the gradient is the estimator's. With a
    relaxed one and `draw.log_prob` it is Maddison et al.'s relaxed bound, with "vimco" Mnih &
    Rezende's. For weights at hand see `tfgumbel.objectives.multi_sample_bound`, for evaluation
    with thousands of samples `tfgumbel.objectives.importance_weighted_bound`.

    Args:
        program: `program(draw, inputs) -> log_weights`, shape (batch,): log p(x, D) - log q(D | x)
            of what was drawn, in nats; otherwise as in `tfgumbel.expectation`.
        inputs: Tensor or nest of tensors, the batch on the first axis.
        num_samples: m, an int >= 1.
        estimator: As in `tfgumbel.expectation`; of those that act on the loss, one whose entry in
            `tfgumbel.registry.REGISTRY` says `multi_sample`.
        seed: Int, pair of ints, or integer tensor of shape [2].
        temperature: Of estimators that have one.
        **options: Further arguments of the estimator.

    Returns:
        bound: Shape (batch,), in nats, float32 or float64. Negate it for a loss.

    Raises:
        TypeError, ValueError: as `tfgumbel.expectation`; and if the estimator does not know
            multi-sample bounds.

    >>> import tensorflow as tf
    >>> import tfgumbel
    >>> def log_weights(draw, logits):
    ...     sample = draw(logits)
    ...     log_joint = tf.linalg.matvec(sample, tf.math.log([0.1, 0.3]))
    ...     return log_joint - draw.log_prob(logits, sample)
    >>> bound = tfgumbel.multi_sample_bound(
    ...     log_weights, tf.zeros([1, 2]), num_samples=1000, estimator="vimco", seed=0)
    >>> bool(abs(bound[0] - tf.math.log(0.4)) < 0.05)
    True

    References: Burda, Grosse & Salakhutdinov, ICLR 2016, eq. 8; Mnih & Rezende, ICML 2016, eq. 3;
    Maddison, Mnih & Teh, ICLR 2017, eq. 20.
    """
    bound = Program(program, inputs, num_samples, LogMeanExp())
    return estimate(bound, estimator, seed, temperature, options)
