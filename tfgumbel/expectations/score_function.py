"""Score-function estimators: functions of the loss and not of the sample alone.

`SCORE_FUNCTIONS` maps names to `method(f, logits, *, seed, num_samples, event, ...) -> values`,
values of shape (num_samples, *batch) that are those of f and carry the method's gradient. A new
method is one function and one `@score_function` line.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf

from tfgumbel.estimators import REGISTRY
from tfgumbel.expectations import events
from tfgumbel.expectations.baselines import RunningMean
from tfgumbel.internal import validation

Method = TypeVar("Method", bound=Callable[..., tf.Tensor])

SCORE_FUNCTIONS: dict[str, Callable[..., tf.Tensor]] = {}


def score_function(method: Method) -> Method:
    """Registers a score-function estimator under its own name."""
    name = method.__name__
    if name in SCORE_FUNCTIONS or name in REGISTRY:
        raise ValueError(
            validation.describe(
                "An estimator is registered twice.",
                expected="a new name",
                received=name,
                fix="rename the function",
            )
        )
    SCORE_FUNCTIONS[name] = method
    return method


@score_function
def reinforce(
    f: Callable[[tf.Tensor], tf.Tensor],
    logits: tf.Tensor,
    *,
    seed: tf.Tensor,
    num_samples: int,
    event: str,
) -> tf.Tensor:
    """REINFORCE: f(D) grad log p(D). Unbiased for any f, and of large variance.

    References: Williams, Machine Learning 8, 1992, eq. 5.
    """
    return _surrogate(f, logits, 0.0, seed=seed, num_samples=num_samples, event=event)


@score_function
def reinforce_baseline(
    f: Callable[[tf.Tensor], tf.Tensor],
    logits: tf.Tensor,
    *,
    seed: tf.Tensor,
    num_samples: int,
    event: str,
    baseline: RunningMean | tf.Tensor | float | None = None,
) -> tf.Tensor:
    """REINFORCE with a baseline: (f(D) - b) grad log p(D). Unbiased where b is independent of D.

    A `RunningMean` is read before this call's values enter it, hence independent of them.

    References: Williams, Machine Learning 8, 1992, eq. 5; Mnih & Gregor, ICML 2014, section 2.3.
    """
    if baseline is None:
        raise ValueError(
            validation.describe(
                "`baseline` is missing.",
                expected="a RunningMean, or a number or tensor that broadcasts with f's values",
                received=baseline,
                fix="make `baseline = tfgumbel.RunningMean()` once, outside the training step, and "
                "pass it to every call",
            )
        )
    if not isinstance(baseline, RunningMean):
        return _surrogate(f, logits, baseline, seed=seed, num_samples=num_samples, event=event)
    current = baseline.value
    values = _surrogate(f, logits, current, seed=seed, num_samples=num_samples, event=event)
    baseline.update(values)
    return values


def _surrogate(
    f: Callable[[tf.Tensor], tf.Tensor],
    logits: tf.Tensor,
    baseline: Any,
    *,
    seed: tf.Tensor,
    num_samples: int,
    event: str,
) -> tf.Tensor:
    """f(D) in value; in gradient, f's own at fixed D plus (f(D) - baseline) grad log p(D)."""
    shape = tf.concat([[num_samples], tf.shape(logits)], 0)
    outcome = tf.stop_gradient(events.sample(tf.broadcast_to(logits, shape), seed, event))
    outcome = tf.ensure_shape(outcome, [num_samples, *logits.shape])
    values = f(outcome)
    log_prob = events.log_prob(logits, outcome, event)
    check_values(values, log_prob.shape)
    variables = list(range(values.shape.rank, log_prob.shape.rank))
    log_prob = tf.cast(tf.reduce_sum(log_prob, variables), values.dtype)
    advantage = tf.stop_gradient(values - tf.cast(baseline, values.dtype))
    return values + advantage * (log_prob - tf.stop_gradient(log_prob))


def check_values(values: Any, axes: tf.TensorShape) -> None:
    """Checks that f's values have the samples' axis, then a first few of the logits' axes."""
    shape = getattr(values, "shape", None)
    if shape is None or shape.rank in (None, 0) or not axes[: shape.rank].is_compatible_with(shape):
        raise ValueError(
            validation.describe(
                "`f` returned values of the wrong shape.",
                expected=f"the first axes of {tuple(axes)}: one value for each sample, or for each "
                "sample and member of the batch",
                received=type(values).__name__ if shape is None else tuple(shape),
                fix="keep the first axis, of the samples, and sum over the variables' axes",
            )
        )
