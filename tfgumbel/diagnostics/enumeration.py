"""The truth: expectations and their gradients by a sum over every outcome, in float64."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.distributions import abilities
from tfgumbel.distributions.abilities import Variable
from tfgumbel.internal import validation

MAX_OUTCOMES = 2**16

# Outcomes handed to f at a time.
CHUNK = 4096


def exact_expectation(
    f: Callable[[tf.Tensor], tf.Tensor], logits: Any, *, max_outcomes: int = MAX_OUTCOMES
) -> tuple[float, np.ndarray]:
    """Returns E[f(D)] and its gradient for the logits, summed over every outcome of D.

    The value is sum_d p(d) f(d), the gradient sum_d p(d) (f(d) - E[f]) grad log p(d). f is called
    in the logits' dtype; the sums are in float64.

    Args:
        f: Maps outcomes (num, *logits.shape) to values (num,).
        logits: Shape (..., num_classes), every leading axis holding independent variables, -inf
            masking a class; or a TFP `OneHotCategorical` or `Bernoulli`, with its own logits.
        max_outcomes: The largest number of joint outcomes to accept.

    Returns:
        value: E[f(D)].
        gradient: float64 array, the shape of the logits.

    Raises:
        ValueError: if outcomes are more than `max_outcomes`, or f's values are of another shape.

    >>> import tensorflow as tf
    >>> value, gradient = exact_expectation(lambda d: d[:, 1], tf.constant([0.0, 0.0]))
    >>> value, gradient.tolist()
    (0.5, [-0.25, 0.25])
    """
    variable, logits = abilities.resolve(logits)
    num_outcomes = count_outcomes(variable, logits.shape, max_outcomes)
    probs = np.asarray(variable.probabilities(tf.cast(logits, tf.float64)))
    codes = np.arange(num_outcomes)
    values, log_joint = np.empty(num_outcomes), np.zeros(num_outcomes)
    with np.errstate(divide="ignore"):
        log_probs = np.log(probs)
    for start in range(0, num_outcomes, CHUNK):
        part = slice(start, start + CHUNK)
        chosen = outcomes(codes[part], probs.shape)
        log_joint[part] = np.where(chosen, log_probs, 0.0).reshape(len(chosen), -1).sum(1)
        values[part] = _evaluate(f, variable.from_one_hot(chosen), logits)
    joint = np.exp(log_joint)
    values[joint == 0] = 0.0  # whatever f makes of the impossible
    value = float(joint @ values)
    weights = joint * (values - value)
    gradient = np.zeros(probs.shape)
    for start in range(0, num_outcomes, CHUNK):
        part = slice(start, start + CHUNK)
        gradient += np.tensordot(weights[part], outcomes(codes[part], probs.shape) - probs, 1)
    return value, variable.from_one_hot(gradient)


def count_outcomes(variable: Variable, shape: Any, max_outcomes: int) -> int:
    """The number of joint outcomes of logits of `shape`, or an error where it is too large."""
    shape = tuple(shape)
    each = variable.num_outcomes(shape)
    count = math.prod(shape[: len(shape) - variable.event_rank])
    number = each**count
    if number > max_outcomes:
        raise ValueError(
            validation.describe(
                "The outcomes are too many to enumerate.",
                expected=f"at most {max_outcomes} joint outcomes",
                received=f"{each} ** {count}, from logits of shape {shape}",
                fix="compare on fewer variables or classes, or raise `max_outcomes`",
            )
        )
    return number


def outcomes(codes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """One-hot outcomes (len(codes), *shape) of codes, the last variable changing fastest."""
    bases = (shape[-1],) * math.prod(shape[:-1])
    digits = np.stack(np.unravel_index(codes, bases), axis=-1)
    return (digits[..., None] == np.arange(shape[-1])).reshape(len(codes), *shape)


def outcome_codes(variable: Variable, sample: tf.Tensor) -> tf.Tensor:
    """The codes, int32 (num,), of samples (num, *logits.shape); relaxed ones count as rounded."""
    base = variable.num_outcomes(sample.shape)
    digits = tf.reshape(variable.index(sample), [sample.shape[0], -1])
    place = base ** np.arange(digits.shape[1])[::-1]
    return tf.linalg.matvec(digits, tf.constant(place, tf.int32))


def _evaluate(f: Callable[[tf.Tensor], tf.Tensor], chosen: np.ndarray, logits: tf.Tensor) -> Any:
    values = tf.convert_to_tensor(f(tf.cast(chosen, logits.dtype)))
    if values.shape != (len(chosen),):
        raise ValueError(
            validation.describe(
                "`f` returned values of the wrong shape.",
                expected=f"one value for each of {len(chosen)} outcomes",
                received=tuple(values.shape),
                fix="keep the first axis and sum over the others",
            )
        )
    return np.asarray(tf.cast(values, tf.float64))
