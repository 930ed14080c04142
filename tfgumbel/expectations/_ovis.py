"""OVIS: the control variate of least variance for multi-sample bounds, in its two limits."""

import tensorflow as tf

from tfgumbel.expectations.program import Program, hard
from tfgumbel.expectations.score_function import with_score
from tfgumbel.internal import validation
from tfgumbel.registry import LossEstimator, register


@register(
    LossEstimator,
    bias="unbiased at gamma 0; biased above, by the share of single samples in the bound",
    use_when="multi-sample bounds of many samples; for the mean of the samples it is reinforce_loo",
    reference="Lievin, Dittadi, Christensen & Winther, NeurIPS 2020, eq. 17",
    multi_sample=True,
    any_distribution=True,
    min_samples=2,
)
def ovis(program: Program, *, seed: tf.Tensor, gamma: float = 1.0) -> tf.Tensor:
    """OVIS: sample k's signal is the bound less that without it, and less or more its share.

    With L = log (1/m) Sum_k w_k, L(-k) = log (1/(m-1)) Sum_{j != k} w_j and v_k = w_k / Sum_j w_j,
    the signal of sample k, to which the gradient of L itself at fixed draws is added, is

        L - L(-k) + gamma v_k - (1 - gamma) log(1 - 1/m)

    gamma 0 is for bounds that few samples make: there L(-k) stands for w_k = 0, and the gradient is
    unbiased. gamma 1 is for those that many make: the mean then misses that of - gamma v_k grad
    log q(D_k), which vanishes with the shares. In log weights that hold -log q(D_k), that cancels
    the last part of L's own gradient for the parameters of q, whose signal-to-noise ratio would
    fall as m grows.

    Args:
        program: The program, run once; its costs are log weights.
        seed: Int tensor of shape [2].
        gamma: A float in [0, 1]. Default: 1, many effective samples.

    Returns:
        value: Shape (batch,).

    Raises:
        ValueError: for a single sample, or if gamma is out of range.

    References: Lievin et al., "Optimal variance control of the score-function gradient estimator
    for importance-weighted bounds", NeurIPS 2020, eq. 17.
    """
    if not 0.0 <= gamma <= 1.0:
        raise ValueError(
            validation.describe(
                "`gamma` is out of range.",
                expected="a number in [0, 1]",
                received=gamma,
                fix="0 where few samples make the bound, 1 where many do",
            )
        )
    run = program.run(hard, seed)
    return with_score(program, run, program.objective.asymptotic_leave_one_out(run.costs, gamma))
