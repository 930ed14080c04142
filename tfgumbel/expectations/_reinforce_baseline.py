"""REINFORCE with a baseline."""

from typing import Any

import tensorflow as tf

from tfgumbel.expectations._running_mean import RunningMean
from tfgumbel.expectations.program import Program, hard
from tfgumbel.expectations.score_function import with_score
from tfgumbel.internal import validation
from tfgumbel.registry import LossEstimator, register


@register(
    LossEstimator,
    bias="unbiased where the baseline does not depend on the sample",
    use_when="reinforce with less variance, where costs have a common level",
    reference="Williams, Machine Learning 8, 1992, eq. 5; Mnih & Gregor, ICML 2014, section 2.3",
)
def reinforce_baseline(program: Program, *, seed: tf.Tensor, baseline: Any = None) -> tf.Tensor:
    """REINFORCE with a baseline: the signal of grad log p(D) is cost - baseline.

    Args:
        program: The program, run once.
        seed: Int tensor of shape [2].
        baseline: A `tfgumbel.RunningMean`, read before this call's costs enter it and hence
            independent of them; or a number or tensor that broadcasts with (num_samples, batch)
            and does not depend on the draws.

    Returns:
        costs: Shape (num_samples, batch).

    Raises:
        ValueError: without a baseline.

    References: Williams, Machine Learning 8, 1992, eq. 5; Mnih & Gregor, ICML 2014, section 2.3.
    """
    if baseline is None:
        raise ValueError(
            validation.describe(
                "`baseline` is missing.",
                expected="a RunningMean, or a number or tensor that broadcasts with the costs",
                received=baseline,
                fix="make `baseline = tfgumbel.RunningMean()` once, outside the training step, and "
                "pass it to every call",
            )
        )
    run = program.run(hard, seed)
    learns = isinstance(baseline, RunningMean)
    costs = with_score(
        run, run.costs - tf.cast(baseline.value if learns else baseline, run.costs.dtype)
    )
    if learns:
        baseline.update(run.costs)
    return costs
