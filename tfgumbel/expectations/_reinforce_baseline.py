"""REINFORCE with a baseline."""

from typing import Any

import tensorflow as tf

from tfgumbel.expectations._running_mean import RunningMean
from tfgumbel.expectations.program import Program, hard
from tfgumbel.expectations.score_function import mean_of_others, with_score
from tfgumbel.registry import LossEstimator, register


@register(
    LossEstimator,
    bias="unbiased where the baseline does not depend on the sample",
    use_when="reinforce with less variance, where costs have a common level",
    reference="Williams, Machine Learning 8, 1992, eq. 5; Mnih & Gregor, ICML 2014, section 2.3",
    multi_sample=True,
    any_distribution=True,
)
def reinforce_baseline(program: Program, *, seed: tf.Tensor, baseline: Any = None) -> tf.Tensor:
    """REINFORCE with a baseline: the signal of grad log p(D) is cost - baseline.

    Args:
        program: The program, run once.
        seed: Int tensor of shape [2].
        baseline: A `tfgumbel.RunningMean`, read before this call's costs enter it and hence
            independent of them; or a number or tensor that broadcasts with (num_samples, batch)
            and does not depend on the draws; None for the mean of all the other costs of the call.

    Returns:
        value: Shape (batch,).

    References: Williams, Machine Learning 8, 1992, eq. 5; Mnih & Gregor, ICML 2014, section 2.3.
    """
    run = program.run(hard, seed)
    seen = program.objective.seen(run.costs)
    if isinstance(baseline, RunningMean):
        level = tf.cast(baseline.value, seen.dtype)
        baseline.update(seen)
    else:
        level = mean_of_others(seen) if baseline is None else tf.cast(baseline, seen.dtype)
    return with_score(program, run, program.objective.signal(run.costs, level))
