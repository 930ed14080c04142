"""Argument checks, and the one form every error of this package takes.

An error says what was wrong, what was expected, what was received and how to mend it. Values are
checked where Python can see them: numbers always, tensors when executing eagerly. (Assertion ops
vanish under XLA, so a traced function checks static shapes and dtypes only.)
"""

import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf


def describe(problem: str, *, expected: str, received: Any, fix: str) -> str:
    """Formats an error message.

    >>> print(describe("`rate` is negative.", expected="a number >= 0", received=-1,
    ...                fix="pass its magnitude"))
    `rate` is negative.
      expected: a number >= 0
      received: -1
      fix: pass its magnitude
    """
    return f"{problem}\n  expected: {expected}\n  received: {received!r}\n  fix: {fix}"


def compute_dtype(dtype: tf.DType) -> tf.DType:
    """The dtype to compute in: float64 for float64, float32 for everything narrower."""
    return tf.float64 if dtype == tf.float64 else tf.float32


def floating_tensor(name: str, value: Any) -> tf.Tensor:
    """Converts `value` to a floating-point tensor, or raises TypeError."""
    tensor = tf.convert_to_tensor(value)
    if not tensor.dtype.is_floating:
        raise TypeError(
            describe(
                f"`{name}` is not floating point.",
                expected="float16, bfloat16, float32 or float64",
                received=tensor.dtype.name,
                fix=f"cast it: tf.cast({name}, tf.float32)",
            )
        )
    return tensor


def categorical_logits(logits: Any) -> tf.Tensor:
    """Checks unnormalised log probabilities with the classes on the last axis.

    Executing eagerly, also checks that every row has a class to draw: its largest logit finite.
    """
    logits = floating_tensor("logits", logits)
    if logits.shape.rank == 0:
        raise ValueError(
            describe(
                "`logits` has no class axis.",
                expected="shape (..., num_classes)",
                received=tuple(logits.shape),
                fix="use the bernoulli estimators for single logits, or stack the classes last",
            )
        )
    if logits.shape.rank is not None and logits.shape[-1] == 0:
        raise ValueError(
            describe(
                "`logits` has no classes.",
                expected="shape (..., num_classes) with num_classes >= 1",
                received=tuple(logits.shape),
                fix="check the axis the classes are on; it must be the last",
            )
        )
    if tf.executing_eagerly():
        largest = tf.reduce_max(logits, axis=-1)
        if not bool(tf.reduce_all(tf.math.is_finite(largest))):
            raise ValueError(
                describe(
                    "`logits` has a row with no class to draw, or one with +inf or NaN.",
                    expected="a finite largest logit in every row; -inf marks a masked class",
                    received=f"largest logits {largest.numpy().ravel()[:8].tolist()}",
                    fix="leave at least one class of every row unmasked",
                )
            )
    return logits


def bernoulli_logits(logits: Any) -> tf.Tensor:
    """Checks log odds, one per binary variable; executing eagerly, refuses NaN."""
    logits = floating_tensor("logits", logits)
    if tf.executing_eagerly() and bool(tf.reduce_any(tf.math.is_nan(logits))):
        raise ValueError(
            describe(
                "`logits` holds NaN.",
                expected="log odds; -inf and +inf are certain outcomes",
                received="NaN",
                fix="look for the operation that produced it",
            )
        )
    return logits


def temperature_tensor(
    temperature: Any,
    dtype: tf.DType,
    *,
    name: str = "temperature",
    allow_zero: bool = False,
    shape: tf.TensorShape | None = None,
) -> tf.Tensor:
    """Converts a temperature (number, tensor or variable) to a tensor of `dtype`.

    Args:
        temperature: To convert.
        dtype: Of the result.
        name: Of the argument, for errors.
        allow_zero: Whether 0 is one.
        shape: Static shape of the variables that a temperature of rank 1 or more broadcasts with;
            None for scalars alone.
    """
    expected = f"finite, {'>=' if allow_zero else '>'} 0, " + (
        "a scalar" if shape is None else f"a scalar or broadcasting with {tuple(shape)}"
    )
    fix = "0 has a meaning only for zero_temperature_gumbel_rao and exact Gumbel-Rao; try 0.5"

    def fail(received: Any) -> ValueError:
        return ValueError(
            describe(f"`{name}` is invalid.", expected=expected, received=received, fix=fix)
        )

    if temperature is None or isinstance(temperature, str | bool):
        raise fail(temperature)
    if not isinstance(temperature, numbers.Real):
        temperature = tf.convert_to_tensor(temperature)
        if not (temperature.dtype.is_floating or temperature.dtype.is_integer):
            raise fail(temperature.dtype.name)
        if not _broadcasts(temperature.shape, tf.TensorShape([]) if shape is None else shape):
            raise fail(f"shape {tuple(temperature.shape)}")
    if isinstance(temperature, numbers.Real) or tf.executing_eagerly():
        values = np.asarray(temperature, np.float64).ravel()
        wrong = values[~((values > 0.0) & (values < np.inf) | (allow_zero & (values == 0.0)))]
        if wrong.size:
            raise fail(wrong[0].item())
    if tf.is_tensor(temperature):
        return tf.cast(temperature, dtype)
    return tf.constant(float(temperature), dtype)


def _broadcasts(shape: tf.TensorShape, to: tf.TensorShape) -> bool:
    """Whether a tensor of static `shape` broadcasts without making `to` any larger."""
    try:
        return tf.broadcast_static_shape(shape, to).is_compatible_with(to)
    except ValueError:
        return False


def positive_integer(name: str, value: Any) -> int:
    """Returns `value` as an int >= 1, or raises."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(
            describe(
                f"`{name}` is invalid.",
                expected="an integer >= 1",
                received=value,
                fix="pass a Python int",
            )
        )
    return int(value)


def integer(name: str, value: Any) -> int:
    """Returns `value` as an int, or raises."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError(
            describe(
                f"`{name}` is invalid.",
                expected="an integer",
                received=value,
                fix="pass a Python int",
            )
        )
    return int(value)


def finite_number(name: str, value: Any, *, positive: bool = False) -> float:
    """Returns `value` as a finite float >= 0 (> 0 if `positive`), or raises."""
    number = float(value) if isinstance(value, numbers.Real) else -1.0
    if isinstance(value, bool) or not 0.0 <= number < float("inf") or (positive and number == 0.0):
        raise ValueError(
            describe(
                f"`{name}` is invalid.",
                expected=f"a finite number {'>' if positive else '>='} 0",
                received=value,
                fix="pass a Python float",
            )
        )
    return number


def one_of(name: str, value: Any, choices: Iterable[Any]) -> Any:
    """Returns `value` if it is among `choices`, or raises naming them."""
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(
            describe(
                f"`{name}` is unknown.",
                expected="one of " + ", ".join(map(repr, choices)),
                received=value,
                fix="check the spelling against that list",
            )
        )
    return value


def stretched_interval(lower: float, upper: float) -> None:
    """Raises ValueError unless the interval reaches beyond [0, 1] on both sides."""
    if not (-float("inf") < lower < 0.0 and 1.0 < upper < float("inf")):
        raise ValueError(
            describe(
                "`lower` and `upper` do not stretch the unit interval.",
                expected="lower < 0 and upper > 1, finite",
                received=(lower, upper),
                fix="try -0.1 and 1.1",
            )
        )
