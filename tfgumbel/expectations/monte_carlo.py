"""The expectation of a function of discrete variables, differentiated by any estimator."""

import inspect
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfgumbel.estimators import REGISTRY
from tfgumbel.expectations import events
from tfgumbel.expectations.score_function import SCORE_FUNCTIONS, check_values
from tfgumbel.internal import random, validation


def expectation(
    f: Callable[[tf.Tensor], tf.Tensor],
    logits: Any,
    *,
    estimator: str | Callable[..., tf.Tensor],
    seed: Any,
    num_samples: int = 1,
    temperature: Any = None,
    event: str = "categorical",
    **options: Any,
) -> tf.Tensor:
    """Estimates E[f(D)] from samples; the gradient is the estimator's.

    Value: the mean of f(D_k), k = 1 ... num_samples. Gradient for `logits`: that of "reinforce"
    f(D) grad log p(D), of "reinforce_baseline" (f(D) - b) grad log p(D), or else through f and the
    sample as the estimator defines. For whatever f closes over, that of the mean.

    Args:
        f: Maps samples of shape (num_samples, *logits.shape), the dtype of `logits`, to values:
            shape (num_samples,), or (num_samples, *batch) where batch is the first few axes of
            `logits`; f is then a function of the variables on the remaining axes together.
        logits: Unnormalised log probabilities, shape (..., num_classes), or log odds, shape (...),
            if `event` is "bernoulli"; floating.
        estimator: "reinforce", "reinforce_baseline", a name in `tfgumbel.estimators.REGISTRY`, or a
            callable (logits, *, seed) -> sample, such as
            functools.partial(tfgumbel.gumbel_rao, temperature=0.5, num_samples=10).
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draws.
        num_samples: Number of samples D_k, an int >= 1. Default: 1.
        temperature: Passed on to an estimator of the registry unless None.
        event: "categorical" or "bernoulli"; a registered estimator has its own.
        **options: Further arguments of the estimator: `baseline` of "reinforce_baseline", a
            `RunningMean` or a tensor.

    Returns:
        value: Shape (*batch), the dtype of f's values.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if a name, a number or the shape of f's values is wrong.

    >>> import tensorflow as tf
    >>> import tfgumbel
    >>> cost = tf.constant([1.0, 2.0, 4.0])
    >>> logits = tf.Variable([0.0, 0.0, 0.0])
    >>> with tf.GradientTape() as tape:
    ...     value = tfgumbel.expectation(
    ...         lambda sample: tf.linalg.matvec(sample, cost), logits,
    ...         estimator="reinforce", num_samples=1000, seed=0)
    >>> gradient = tape.gradient(value, logits)  # its mean is (cost - 7 / 3) / 3
    >>> bool(abs(value - 7 / 3) < 0.2), bool(gradient[0] < 0.0 < gradient[2])
    (True, True)
    """
    num_samples = validation.positive_integer("num_samples", num_samples)
    name = estimator if isinstance(estimator, str) else None
    if name is not None:
        validation.one_of("estimator", name, [*SCORE_FUNCTIONS, *REGISTRY])
        event = REGISTRY[name].event if name in REGISTRY else event
    logits = events.check_logits(logits, event)
    seed = random.normalize_seed(seed)
    if name in SCORE_FUNCTIONS:
        method = SCORE_FUNCTIONS[name]
        values = method(f, logits, seed=seed, num_samples=num_samples, event=event, **options)
        return tf.reduce_mean(values, axis=0)
    function = estimator if callable(estimator) else REGISTRY[estimator].function
    if temperature is not None and "temperature" in inspect.signature(function).parameters:
        options["temperature"] = temperature
    shape = tf.concat([[num_samples], tf.shape(logits)], 0)
    repeated = tf.ensure_shape(tf.broadcast_to(logits, shape), [num_samples, *logits.shape])
    sample = function(repeated, seed=seed, **options)
    values = f(sample)
    check_values(values, sample.shape[:-1] if event == "categorical" else sample.shape)
    return tf.reduce_mean(values, axis=0)
