"""REINFORCE with the leave-one-out baseline."""

import tensorflow as tf

from tfgumbel.expectations.program import Program, hard
from tfgumbel.expectations.score_function import with_score
from tfgumbel.registry import LossEstimator, register


@register(
    LossEstimator,
    bias="unbiased",
    use_when="the first to try where costs are no smooth function of the sample; 2 samples or more",
    reference="Kool, van Hoof & Welling, ICLR workshop 2019, eq. 8; Salimans & Knowles 2014",
    multi_sample=True,
    any_distribution=True,
    min_samples=2,
)
def reinforce_loo(program: Program, *, seed: tf.Tensor) -> tf.Tensor:
    """REINFORCE with the mean of an example's other samples as the baseline of each.

    The signal of sample k is (c_k - mean_{j != k} c_j) / m. For a multi-sample bound it is
    L - log (1 / (m - 1)) Sum_{j != k} w_j.

    Args:
        program: The program, run once.
        seed: Int tensor of shape [2].

    Returns:
        value: Shape (batch,).

    Raises:
        ValueError: for a single sample.

    References: Kool, van Hoof & Welling, "Buy 4 REINFORCE samples, get a baseline for free!", ICLR
    workshop 2019, eq. 8.
    """
    run = program.run(hard, seed)
    return with_score(program, run, program.objective.leave_one_out(run.costs))
