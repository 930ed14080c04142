"""The truth: expectations and their gradients by a sum over every outcome, in float64."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.expectations import events
from tfgumbel.internal import validation

MAX_OUTCOMES = 2**16

# Outcomes handed to f at a time.
CHUNK = 4096


def exact_expectation(
    f: Callable[[tf.Tensor], tf.Tensor],
    logits: Any,
    *,
    event: str = "categorical",
    max_outcomes: int = MAX_OUTCOMES,
) -> tuple[float, np.ndarray]:
    """Returns E[f(D)] and its gradient for the logits, summed over every outcome of D.

    The value is sum_d p(d) f(d), the gradient sum_d p(d) (f(d) - E[f]) grad log p(d). f is called
    in the logits' dtype; the sums are in float64.

    Args:
        f: Maps outcomes (num, *logits.shape) to values (num,).
        logits: Shape (..., num_classes), every leading axis holding independent variables, or (...)
            if `event` is "bernoulli". -inf masks a class.
        event: "categorical" or "bernoulli".
        max_outcomes: The largest number of joint outcomes to accept.

    Returns:
        value: E[f(D)].
        gradient: float64 array, the shape of `logits`.

    Raises:
        ValueError: if outcomes are more than `max_outcomes`, or f's values are of another shape.

    >>> import tensorflow as tf
    >>> value, gradient = exact_expectation(lambda d: d[:, 1], tf.constant([0.0, 0.0]))
    >>> value, gradient.tolist()
    (0.5, [-0.25, 0.25])
    """
    logits = events.check_logits(logits, event)
    probs = probabilities(logits, event)
    num_outcomes = count_outcomes(logits.shape, event, max_outcomes)
    codes = np.arange(num_outcomes)
    values, log_joint = np.empty(num_outcomes), np.zeros(num_outcomes)
    with np.errstate(divide="ignore"):
        log_probs = np.log(probs)
    for start in range(0, num_outcomes, CHUNK):
        part = slice(start, start + CHUNK)
        chosen = outcomes(codes[part], probs.shape)
        log_joint[part] = np.where(chosen, log_probs, 0.0).reshape(len(chosen), -1).sum(1)
        values[part] = _evaluate(f, chosen[..., 1] if event == "bernoulli" else chosen, logits)
    joint = np.exp(log_joint)
    values[joint == 0] = 0.0  # whatever f makes of the impossible
    value = float(joint @ values)
    weights = joint * (values - value)
    gradient = np.zeros(probs.shape)
    for start in range(0, num_outcomes, CHUNK):
        part = slice(start, start + CHUNK)
        gradient += np.tensordot(weights[part], outcomes(codes[part], probs.shape) - probs, 1)
    return value, gradient[..., 1] if event == "bernoulli" else gradient


def probabilities(logits: tf.Tensor, event: str) -> np.ndarray:
    """Float64 probabilities with the classes last; a Bernoulli variable has the classes 0 and 1."""
    wide = np.asarray(tf.cast(logits, tf.float64))
    if event == "bernoulli":
        positive = np.asarray(tf.sigmoid(wide))
        return np.stack([np.asarray(tf.sigmoid(-wide)), positive], axis=-1)
    shifted = np.exp(wide - wide.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def count_outcomes(shape: Any, event: str, max_outcomes: int) -> int:
    """The number of joint outcomes of logits of `shape`, or an error where it is too large."""
    shape = tuple(shape)
    variables, classes = (shape, 2) if event == "bernoulli" else (shape[:-1], shape[-1])
    number = classes ** math.prod(variables)
    if number > max_outcomes:
        raise ValueError(
            validation.describe(
                "The outcomes are too many to enumerate.",
                expected=f"at most {max_outcomes} joint outcomes",
                received=f"{classes} ** {math.prod(variables)}, from logits of shape {shape}",
                fix="compare on fewer variables or classes, or raise `max_outcomes`",
            )
        )
    return number


def outcomes(codes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """One-hot outcomes (len(codes), *shape) of codes, the last variable changing fastest."""
    bases = (shape[-1],) * math.prod(shape[:-1])
    digits = np.stack(np.unravel_index(codes, bases), axis=-1)
    return (digits[..., None] == np.arange(shape[-1])).reshape(len(codes), *shape)


def outcome_codes(sample: tf.Tensor, event: str) -> tf.Tensor:
    """The codes, int32 (num,), of samples (num, *logits.shape); relaxed ones count as rounded."""
    if event == "bernoulli":
        digits, base = tf.cast(sample > 0.5, tf.int32), 2
    else:
        digits, base = tf.argmax(sample, axis=-1, output_type=tf.int32), sample.shape[-1]
    digits = tf.reshape(digits, [sample.shape[0], -1])
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
