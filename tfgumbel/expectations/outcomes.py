"""The joint outcomes of a program's draws, numbered from 0."""

import dataclasses
import math
from collections.abc import Sequence

import tensorflow as tf

from tfgumbel.expectations.program import Program, Site
from tfgumbel.internal import random, validation


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """What one row of a program can draw: in mixed radix, the first draw changing fastest.

    Attributes:
        counts: Of each draw, the outcomes of one of its variables and the number of them.
    """

    counts: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, sites: Sequence[Site], max_outcomes: int) -> "Outcomes":
        """Those of a run's draws.

        Raises:
            ValueError: if there are more than `max_outcomes`, or a shape is unknown when tracing.
        """
        outcomes = cls(tuple(_count(site) for site in sites))
        if outcomes.number > max_outcomes:
            raise ValueError(
                validation.describe(
                    "The outcomes are too many to enumerate.",
                    expected=f"at most {max_outcomes} joint outcomes",
                    received=" * ".join(f"{base} ** {power}" for base, power in outcomes.counts),
                    fix="take fewer variables or classes, or an estimator that samples; or raise "
                    "`max_outcomes`",
                )
            )
        return outcomes

    @property
    def number(self) -> int:
        """How many there are."""
        return math.prod(base**power for base, power in self.counts)

    def _place(self, index: int) -> int:
        return math.prod(base**power for base, power in self.counts[:index])

    def sample(self, site: Site, codes: tf.Tensor) -> tf.Tensor:
        """What a draw gives in the outcomes of these numbers, int32 (rows,)."""
        base, power = self.counts[site.index]
        digits = (codes // self._place(site.index))[:, tf.newaxis] // [
            base**place for place in range(power)
        ]
        one_hot = tf.one_hot(digits % base, base, dtype=site.logits.dtype)
        return tf.reshape(site.variable.from_one_hot(one_hot), tf.shape(site.logits))

    def codes(self, sites: Sequence[Site], samples: Sequence[tf.Tensor]) -> tf.Tensor:
        """The numbers, int32 (rows,), of what was drawn; relaxed samples count as rounded."""
        total: tf.Tensor = tf.constant(0, tf.int32)
        for site, sample in zip(sites, samples, strict=True):
            base, power = self.counts[site.index]
            digits = tf.reshape(site.variable.index(sample), [-1, power])
            places = [self._place(site.index) * base**place for place in range(power)]
            total += tf.reduce_sum(digits * places, axis=-1)
        return total


def weighted_costs(
    program: Program, outcomes: Outcomes, numbers: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """Costs in some outcomes times the probabilities of these, differentiable in both.

    Args:
        program: Run once, with all rows repeated for each outcome.
        outcomes: Its own.
        numbers: Of the outcomes, int32, shape (copies,).
        seed: Int tensor of shape [2]; of no effect.

    Returns:
        costs: Shape (copies * num_samples, batch); 0 where an outcome is impossible.
    """
    rows = program.num_samples * program.batch_size
    codes = tf.repeat(numbers, rows)
    run = program.run(
        lambda site: outcomes.sample(site, codes), random.fold_in(seed, 1), numbers.shape[0]
    )
    probability = tf.ones_like(run.costs)
    for site, outcome in zip(run.sites, run.samples, strict=True):
        chosen = tf.exp(site.log_prob(outcome))
        probability *= tf.reshape(tf.cast(chosen, run.costs.dtype), tf.shape(run.costs))
    # What is impossible may cost anything: taken out before the product, and so of its gradient.
    return probability * tf.where(probability > 0, run.costs, tf.zeros_like(run.costs))


def _count(site: Site) -> tuple[int, int]:
    """Outcomes of one variable of a site, and the number of its variables."""
    shape = site.logits.shape
    base = site.variable.num_outcomes(shape)
    variables = shape[1 : shape.rank - site.variable.event_rank]
    if base is None or not variables.is_fully_defined():
        raise ValueError(
            validation.describe(
                f"The outcomes of draw {site.index} cannot be counted.",
                expected="a shape known when tracing, but for the batch",
                received=tuple(shape),
                fix="tf.ensure_shape(logits, [None, ...]) before drawing",
            )
        )
    return base, math.prod(variables.as_list())
