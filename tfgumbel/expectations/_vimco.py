"""VIMCO: leave-one-out for multi-sample bounds."""

import tensorflow as tf

from tfgumbel.expectations.program import Program, hard
from tfgumbel.expectations.score_function import with_score
from tfgumbel.registry import LossEstimator, register


@register(
    LossEstimator,
    bias="unbiased",
    use_when="multi-sample bounds; for the mean of the samples it is reinforce_loo",
    reference="Mnih & Rezende, ICML 2016, eq. 9 and 10",
    multi_sample=True,
    any_distribution=True,
    min_samples=2,
)
def vimco(program: Program, *, seed: tf.Tensor) -> tf.Tensor:
    """VIMCO: sample k's signal is the bound less that with w_k replaced by the others' mean.

    L = log (1/m) Sum_k w_k; the signal is L - L_(-k), where L_(-k) has the geometric mean of the
    other weights in w_k's place. The gradient of L itself at fixed draws is added.

    Args:
        program: The program, run once; its costs are log weights.
        seed: Int tensor of shape [2].

    Returns:
        value: Shape (batch,).

    Raises:
        ValueError: for a single sample; there, it would be NVIL without its baseline.

    References: Mnih & Rezende, "Variational inference for Monte Carlo objectives", ICML 2016, eq. 9
    and 10.
    """
    run = program.run(hard, seed)
    return with_score(program, run, program.objective.geometric_leave_one_out(run.costs))
