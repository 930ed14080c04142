"""What the score-function estimators share: signals times gradients of log probabilities."""

from collections.abc import Sequence

import tensorflow as tf

from tfgumbel.expectations.program import Program, Run
from tfgumbel.internal import validation


def with_score(program: Program, run: Run, signal: tf.Tensor) -> tf.Tensor:
    """The objective of a run; in gradient, its own at fixed draws plus signal * grad log p(D).

    Args:
        program: Whose objective it is.
        run: Of hard samples.
        signal: Shape (num_samples, batch); taken as a constant.

    Returns:
        value: Shape (batch,).
    """
    score = tf.stop_gradient(signal) * without_value(run.log_prob())
    return program.objective.value(run.costs) + tf.reduce_sum(score, axis=0)


def without_value(tensor: tf.Tensor) -> tf.Tensor:
    """0, with the gradient of `tensor`."""
    return tensor - tf.stop_gradient(tensor)


def mean_of_others(values: tf.Tensor) -> tf.Tensor:
    """For each entry the mean of all the others: a baseline that no sample enters for itself.

    Entries are independent given the parameters, samples and examples alike. 0 for a single one.
    """
    count = tf.cast(tf.size(values), values.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(values) - values, count - 1.0)


def refuse_cascade(name: str, run: Run, tape: tf.GradientTape) -> None:
    """Raises ValueError if a draw of the run depended on an earlier one.

    Args:
        name: The estimator's.
        run: Recorded by the tape.
        tape: Persistent, and watching the run's samples.
    """
    for later in run.sites[1:]:
        earlier: Sequence[tf.Tensor] = run.samples[: later.index]
        if any(g is not None for g in tape.gradient(later.logits, earlier)):
            raise ValueError(
                validation.describe(
                    f"Estimator {name!r} cannot do a cascade.",
                    expected="draws that do not depend on one another",
                    received=f"draw {later.index} depends on an earlier one",
                    fix="'reinforce_loo', 'muprop', 'nvil' or any that acts on the sample can",
                )
            )
