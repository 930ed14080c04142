"""Enumeration: the exact expectation, by a sum over every outcome."""

import math

import tensorflow as tf

from tfgumbel.expectations.program import Program, Site, hard
from tfgumbel.internal import random, validation
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
    counts = [_shape(site) for site in program.run(hard, seed).sites]
    number = math.prod(outcomes**variables for outcomes, variables in counts)
    if number > max_outcomes:
        raise ValueError(
            validation.describe(
                "The outcomes are too many to enumerate.",
                expected=f"at most {max_outcomes} joint outcomes",
                received=" * ".join(f"{outcomes} ** {power}" for outcomes, power in counts),
                fix="take an estimator that samples, or raise `max_outcomes`",
            )
        )
    rows = program.num_samples * program.batch_size
    code = tf.repeat(tf.range(number), rows)
    places = [1]
    for outcomes, variables in counts:
        places.append(places[-1] * outcomes**variables)

    def answer(site: Site) -> tf.Tensor:
        outcomes, variables = counts[site.index]
        digits = (code // places[site.index])[:, tf.newaxis] // [
            outcomes**power for power in range(variables)
        ]
        one_hot = tf.one_hot(digits % outcomes, outcomes, dtype=site.logits.dtype)
        return tf.reshape(site.variable.from_one_hot(one_hot), tf.shape(site.logits))

    run = program.run(answer, random.fold_in(seed, 1), copies=number)
    probability = tf.ones([], run.costs.dtype)
    for site, outcome in zip(run.sites, run.samples, strict=True):
        chosen = tf.exp(site.log_prob(outcome))
        probability *= tf.reshape(tf.cast(chosen, run.costs.dtype), tf.shape(run.costs))
    # What is impossible may cost anything: taken out before the product, and so of its gradient.
    costs = tf.where(probability > 0, run.costs, tf.zeros_like(run.costs))
    return tf.reduce_sum(probability * costs, axis=0) / program.num_samples


def _shape(site: Site) -> tuple[int, int]:
    """Outcomes of one variable of a site, and the number of its variables."""
    shape = site.logits.shape
    outcomes = site.variable.num_outcomes(shape)
    variables = shape[1 : shape.rank - site.variable.event_rank]
    if outcomes is None or not variables.is_fully_defined():
        raise ValueError(
            validation.describe(
                f"The outcomes of draw {site.index} cannot be counted.",
                expected="a shape known when tracing, but for the batch",
                received=tuple(shape),
                fix="tf.ensure_shape(logits, [None, ...]) before drawing",
            )
        )
    return outcomes, math.prod(variables.as_list())
