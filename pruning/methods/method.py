"""What a pruning method is: it ranks groups by their weights, gradients and what it remembers."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import tensorflow as tf

from pruning.budgets.budget import Budget
from pruning.groups.groups import Groups


class Moment(NamedTuple):
    """What a method may look at.

    Attributes:
        scores: the current ones, float32, shape (num_groups,).
        weights: tensors of the pruned variables.
        memory: what the method remembers, by its own names.
        step: number of updates before this one, int64 scalar.
        progress: share of the schedule that is over, float32 scalar.
    """

    scores: tf.Tensor
    weights: Sequence[tf.Tensor]
    memory: Mapping[str, tf.Tensor]
    step: tf.Tensor
    progress: tf.Tensor


class Method:
    """Ranks groups; a subclass is one file here and one line of `methods.METHODS`.

    Args:
        groups: the `Groups` that are ranked.
        budget: the `Budget` that holds them.
        seed: an int, for what is random.
        learning_rate: of scores that are learned.
    """

    # Whether scores are keep probabilities, and masks drawn at random (`masks.RelaxedMasks`); else
    # they are the mask itself, of the groups of highest rank (`masks.RankedMasks`).
    relaxed: ClassVar[bool] = False
    # What every score is before the first step.
    initial_score: ClassVar[float] = 1.0
    # Whether the method learns from the gradients of the loss to the scores.
    uses_gradients: ClassVar[bool] = False

    def __init__(self, groups: Groups, budget: Budget, *, seed: int, learning_rate: float):
        self.groups, self.budget = groups, budget
        self.seed, self.learning_rate = seed, learning_rate

    def memory(self) -> dict[str, int]:
        """Names and lengths of the float32 vectors that are kept between steps, 0 at first."""
        return {}

    def observe(self, gradient: tf.Tensor, moment: Moment) -> dict[str, tf.Tensor]:
        """What is remembered after a step with this gradient of the scores."""
        return {}

    def scores(self, moment: Moment) -> tf.Tensor:
        """The scores of the groups: higher ones are kept, shape (num_groups,).

        Of a `relaxed` method these are what the budget projects; of any other, ranks: any numbers.
        """
        raise NotImplementedError
