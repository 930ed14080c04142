"""REINFORCE, the score-function estimator."""

import tensorflow as tf

from tfgumbel.expectations.program import Program, hard
from tfgumbel.expectations.score_function import with_score
from tfgumbel.registry import LossEstimator, register


@register(
    LossEstimator,
    bias="unbiased",
    use_when="costs of any kind, few variables, many samples: the variance is large",
    reference="Williams, Machine Learning 8, 1992, eq. 5",
    multi_sample=True,
    any_distribution=True,
)
def reinforce(program: Program, *, seed: tf.Tensor) -> tf.Tensor:
    """REINFORCE: the gradient of the cost at fixed draws, plus cost * grad log p(D).

    Unbiased for any cost, one that depends on the parameters directly included.

    Args:
        program: The program, run once.
        seed: Int tensor of shape [2].

    Returns:
        value: Shape (batch,).

    References: Williams, Machine Learning 8, 1992, eq. 5.
    """
    run = program.run(hard, seed)
    return with_score(program, run, program.objective.signal(run.costs, 0.0))
