"""What the score-function estimators share: a signal times the gradient of the log probability."""

from typing import Any

import tensorflow as tf

from tfgumbel.expectations.program import Run


def with_score(run: Run, signal: Any) -> tf.Tensor:
    """The costs of a run; in gradient, their own at fixed draws plus signal * grad log p(D).

    Args:
        run: Of hard samples.
        signal: Broadcasts with (num_samples, batch); taken as a constant.

    Returns:
        costs: Shape (num_samples, batch).
    """
    log_prob = run.log_prob()
    signal = tf.stop_gradient(tf.cast(signal, run.costs.dtype))
    return run.costs + signal * (log_prob - tf.stop_gradient(log_prob))
