"""Enumeration: the exact expectation, by a sum over every outcome."""

import tensorflow as tf

from tfgumbel.expectations.outcomes import Outcomes, weighted_costs
from tfgumbel.expectations.program import Program, hard
from tfgumbel.registry import LossEstimator, register

MAX_OUTCOMES = 2**12


@register(
    LossEstimator,
    bias="exact, without variance",
    use_when="few outcomes: the yardstick of all others, and marginalization where affordable",
    reference="Jang, Gu & Poole, ICLR 2017, section 4.3 (marginalization)",
)
def enumeration(
    program: Program, *, seed: tf.Tensor, max_outcomes: int = MAX_OUTCOMES
) -> tf.Tensor:
    """Sums the cost over every joint outcome of a program's draws, weighted by its probability.

    The program is run once to see where it draws, and once with each outcome, as one batch:
    memory grows with their number. Cascades come by themselves; every draw must be over the same
    number of outcomes whatever was drawn before.

    Args:
        program: The program, run twice.
        seed: Int tensor of shape [2]; of no effect.
        max_outcomes: The largest number of joint outcomes to accept.

    Returns:
        value: Shape (batch,), exact; num_samples has no effect.

    Raises:
        ValueError: if there are more outcomes, or a number of classes is unknown when tracing.
    """
    outcomes = Outcomes.of(program.run(hard, seed).sites, max_outcomes)
    costs = weighted_costs(program, outcomes, tf.range(outcomes.number), seed)
    return tf.reduce_sum(costs, axis=0) / program.num_samples
