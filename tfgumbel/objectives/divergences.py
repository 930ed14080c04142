"""Closed-form Kullback-Leibler divergences between discrete distributions given by logits."""

from typing import Any

import tensorflow as tf

from tfgumbel.internal import validation


def categorical_kl(logits: Any, prior_logits: Any = None) -> tf.Tensor:
    """KL divergence of a categorical posterior from its prior, in nats.

    KL(q || p) = sum_c q_c (log q_c - log p_c), q = softmax(logits), p = softmax(prior_logits).
    One value for each variable: add up the variables yourself, or let `elbo` do it.

    A class with a logit of -inf has probability 0, adds 0 to the sum and gets a gradient of 0.
    Where the prior gives probability 0 to a class that the posterior can draw, it is inf.

    Args:
        logits: float tensor, shape (..., num_classes), unnormalised log-probabilities of q.
        prior_logits: float tensor that broadcasts to `logits`, unnormalised log-probabilities of p.
            Default: None, the uniform prior over all num_classes classes.

    Returns:
        divergence: dtype of `logits`, shape (...), in nats, >= 0 up to rounding.

    Raises:
        TypeError: if `logits` or `prior_logits` is not floating point.
        ValueError: if `logits` has no class axis.

    Example:
        >>> import tensorflow as tf
        >>> from tfgumbel.objectives import categorical_kl
        >>> categorical_kl(tf.math.log([[0.25, 0.75], [0.5, 0.5]])).numpy().round(4).tolist()
        [0.13079999387264252, 0.0]
    """
    logits = validation.floating_tensor("logits", logits)
    if logits.shape.rank == 0:
        raise ValueError(
            validation.describe(
                "`logits` has no class axis.",
                expected="shape (..., num_classes)",
                received=tuple(logits.shape),
                fix="use bernoulli_kl for log odds, one per binary variable",
            )
        )
    dtype = validation.compute_dtype(logits.dtype)
    log_q = tf.nn.log_softmax(tf.cast(logits, dtype))
    if prior_logits is None:
        log_p = -tf.math.log(tf.cast(tf.shape(logits)[-1], dtype))
    else:
        prior_logits = validation.floating_tensor("prior_logits", prior_logits)
        log_p = tf.nn.log_softmax(tf.cast(prior_logits, dtype))
    # The product 0 (log 0 - log p) should be 0 and is NaN: a class of probability 0 is taken
    # out before it, so that its gradient is taken out too.
    possible = log_q > -float("inf")
    log_ratio = tf.where(possible, log_q, 0.0) - tf.where(possible, log_p, 0.0)
    divergence = tf.reduce_sum(tf.where(possible, tf.exp(log_q), 0.0) * log_ratio, axis=-1)
    return tf.cast(divergence, logits.dtype)


def bernoulli_kl(logits: Any, prior_logits: Any = 0.0) -> tf.Tensor:
    """KL divergence of a Bernoulli posterior from its prior, in nats.

    KL(q || p) = q (log q - log p) + (1 - q) (log(1 - q) - log(1 - p)), with q = sigmoid(logits)
    and p = sigmoid(prior_logits); every logarithm is taken from the logit, so that large ones keep
    their digits. It equals `categorical_kl` of the two-class logits [0, logit].

    Args:
        logits: float tensor, any shape, log-odds of q.
        prior_logits: float tensor that broadcasts to `logits`, log-odds of p. Default: 0, the
            uniform prior.

    Returns:
        divergence: dtype and shape of `logits`, in nats, >= 0 up to rounding. At a logit of +-inf
            it is the limit, -log p or -log(1 - p).

    Raises:
        TypeError: if `logits` or `prior_logits` is not floating point.

    Example:
        >>> from tfgumbel.objectives import bernoulli_kl
        >>> float(bernoulli_kl(100.0))  # a sure outcome against a fair coin: log 2
        0.6931471824645996
    """
    logits = validation.floating_tensor("logits", logits)
    prior_logits = validation.floating_tensor("prior_logits", prior_logits)
    dtype = validation.compute_dtype(logits.dtype)
    logit, prior = tf.cast(logits, dtype), tf.cast(prior_logits, dtype)
    divergence = _outcome_term(logit, prior) + _outcome_term(-logit, -prior)
    return tf.cast(divergence, logits.dtype)


def _outcome_term(logit: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
    """q (log q - log p) for the outcome whose log-odds these are; 0 where q is 0."""
    possible = logit > -float("inf")
    finite = tf.where(possible, logit, 0.0)
    log_ratio = tf.math.log_sigmoid(finite) - tf.math.log_sigmoid(tf.where(possible, prior, 0.0))
    return tf.where(possible, tf.math.sigmoid(finite) * log_ratio, 0.0)
