"""Lower bounds on log p(x): the ELBO and the importance-weighted bounds."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from rich.progress import Progress

from tfgumbel.internal import random, validation


def elbo(log_likelihood: Any, kl: Any, *, kl_weight: Any = 1.0) -> tf.Tensor:
    """Evidence lower bound of every example, in nats: log p(x | D) - kl_weight * KL(q || p).

    Negate it for a loss: it is differentiable in both arguments, so the posterior's logits
    get the estimator's gradient, through `log_likelihood`, and the exact one of the divergence.
    In a `train_step`, ``loss = -tf.reduce_mean(elbo(log_likelihood, kl))``; in `call`,
    ``self.add_loss(-tf.reduce_mean(elbo(log_likelihood, kl)))``.

    Args:
        log_likelihood: float tensor, shape (...), log p(x | D) of the sampled D, in nats.
        kl: float tensor, shape (..., *latents): `categorical_kl` or `bernoulli_kl` of every latent
            variable; the axes beyond those of `log_likelihood` are summed.
        kl_weight: float or scalar tensor, 1 for the bound itself; less while warming up, more for a
            beta-VAE. Default: 1.

    Returns:
        bound: dtype and shape of `log_likelihood`, in nats.

    Raises:
        ValueError: if `kl` has fewer axes than `log_likelihood`.

    Example:
        >>> import tensorflow as tf
        >>> from tfgumbel.objectives import elbo
        >>> elbo(tf.constant([-90.0, -80.0]), tf.ones([2, 30])).numpy().tolist()
        [-120.0, -110.0]

    References:
        Kingma and Welling, 2014, Auto-encoding variational Bayes, equation 3.
    """
    log_likelihood = tf.convert_to_tensor(log_likelihood)
    kl = tf.convert_to_tensor(kl)
    if kl.shape.rank < log_likelihood.shape.rank:
        raise ValueError(
            validation.describe(
                "`kl` has fewer axes than `log_likelihood`.",
                expected="the axes of log_likelihood, then those of the latents",
                received=f"kl {tuple(kl.shape)}, log_likelihood {tuple(log_likelihood.shape)}",
                fix="average neither over the batch before calling elbo",
            )
        )
    latents = list(range(log_likelihood.shape.rank, kl.shape.rank))
    divergence = tf.cast(tf.reduce_sum(kl, axis=latents), log_likelihood.dtype)
    return log_likelihood - tf.cast(kl_weight, log_likelihood.dtype) * divergence


def multi_sample_bound(log_weights: Any, *, axis: int = 0) -> tf.Tensor:
    """Importance-weighted bound from weights at hand: log (1/m) sum_i w_i, in nats.

    Its expectation over independent draws D_1 .. D_m from q(D | x), w_i = p(x, D_i) / q(D_i | x),
    lies between the ELBO (m = 1) and log p(x) (m -> infinity) and grows with m. It is
    differentiable: negate it for a loss that trains on m samples of every example.

    Args:
        log_weights: float tensor, log p(x, D_i) - log q(D_i | x), in nats; the samples on `axis`.
        axis: int, the axis of the m samples. Default: 0.

    Returns:
        bound: dtype of `log_weights`, its shape without `axis`.

    Example:
        >>> import tensorflow as tf
        >>> from tfgumbel.objectives import multi_sample_bound
        >>> round(float(multi_sample_bound(tf.math.log([0.1, 0.3]))), 4)  # log 0.2
        -1.6094

    References:
        Burda, Grosse and Salakhutdinov, 2016, Importance weighted autoencoders, equation 8.
    """
    log_weights = tf.convert_to_tensor(log_weights)
    num_samples = tf.cast(tf.shape(log_weights)[axis], log_weights.dtype)
    return tf.reduce_logsumexp(log_weights, axis=axis) - tf.math.log(num_samples)


def importance_weighted_bound(
    log_weights: Callable[[tf.Tensor, int, tf.Tensor], tf.Tensor],
    inputs: Any,
    *,
    num_samples: int,
    seed: Any,
    batch_size: int = 8,
    samples_per_call: int = 250,
    progress: bool = False,
) -> np.ndarray:
    """Importance-weighted bound of a whole data set, with as many samples as wanted.

    The estimate of log p(x) that papers report: for each example log (1/m) sum_i w_i with m =
    `num_samples`, as `multi_sample_bound`, but the weights are drawn `samples_per_call` at a time
    for `batch_size` examples and added up as they come. Memory is that of one call and does not
    grow with m or with the data. A bound in expectation, non-decreasing in m; for evaluation, not
    differentiated. For a loss use `multi_sample_bound`.

    Args:
        log_weights: callable (x, num_samples, seed) -> float tensor of shape (num_samples, batch),
            log p(x, D_i) - log q(D_i | x) of fresh draws D_i from q(D | x), in nats; `seed` is an
            int tensor of shape [2]. Make it a tf.function: it is called once for every piece.
        inputs: array, shape (num_examples, ...), the examples x.
        num_samples: int >= 1, the m of the bound.
        seed: int, pair of ints, or integer tensor of shape [2]; the same seed gives the same value.
        batch_size: int, examples of one call. Default: 8.
        samples_per_call: int, samples of each example in one call. One call should give the
            matrix products a few thousand rows, batch_size * samples_per_call. Default: 250.
        progress: bool, whether to show a progress bar. Default: False.

    Returns:
        bounds: float64 NumPy array, shape (num_examples,), in nats; their mean is the data set's.

    Raises:
        TypeError: if `seed` is not made of integers.
        ValueError: if a count is not a positive int, or `inputs` holds no example.

    Example:
        >>> import tensorflow as tf
        >>> from tfgumbel.objectives import importance_weighted_bound
        >>> def log_weights(x, num_samples, seed):
        ...     return tf.random.stateless_normal([num_samples, len(x)], seed) - 0.5  # E[w] = 1
        >>> bounds = importance_weighted_bound(log_weights, tf.zeros([3]), num_samples=9000, seed=1)
        >>> bounds.shape, bool(abs(bounds).max() < 0.1)
        ((3,), True)

    References:
        Burda, Grosse and Salakhutdinov, 2016, Importance weighted autoencoders, equation 8.
    """
    num_samples = validation.positive_integer("num_samples", num_samples)
    batch_size = validation.positive_integer("batch_size", batch_size)
    samples_per_call = validation.positive_integer("samples_per_call", samples_per_call)
    inputs = tf.convert_to_tensor(inputs)
    if inputs.shape.rank == 0 or inputs.shape[0] == 0:
        raise ValueError(
            validation.describe(
                "`inputs` holds no example.",
                expected="shape (num_examples, ...) with num_examples >= 1",
                received=tuple(inputs.shape),
                fix="put the examples on the first axis",
            )
        )
    seed = random.normalize_seed(seed)
    bounds = []
    with Progress(disable=not progress) as bar:
        task = bar.add_task(f"bound with {num_samples} samples", total=inputs.shape[0])
        for start in range(0, inputs.shape[0], batch_size):
            x = inputs[start : start + batch_size]
            batch_seed = random.fold_in(seed, start)
            total = np.full(x.shape[0], -np.inf)
            for done in range(0, num_samples, samples_per_call):
                count = min(samples_per_call, num_samples - done)
                weights = log_weights(x, count, random.fold_in(batch_seed, done))
                total = np.logaddexp(total, tf.reduce_logsumexp(weights, axis=0).numpy())
            bounds.append(total - math.log(num_samples))
            bar.advance(task, x.shape[0])
    return np.concatenate(bounds)
