"""What a budget is: it projects scores, and picks the groups that are kept."""

from typing import Any, Protocol

import tensorflow as tf


class Budget(Protocol):
    """A limit on the flat vector of scores, at any time of the schedule.

    `tightness`, a scalar in [0, 1], says how far it has come down: at 0 everything is kept, at 1
    the budget itself.

    Attributes:
        k: number of weights kept in all.
        segments: number of groups in each stretch of scores that share one scale.
        num_multipliers: how many numbers `project` takes and gives as `multiplier`.
    """

    k: int
    segments: tuple[int, ...]
    num_multipliers: int

    def project(
        self, scores: tf.Tensor, tightness: Any, multiplier: Any = None, jit_compile: bool = True
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the nearest feasible keep probabilities, and where to start the next search.

        Args:
            scores: float32, shape (num_groups,).
            tightness: scalar in [0, 1].
            multiplier: what the call before returned, shape (num_multipliers,); None for 0.
            jit_compile: whether to compile with XLA.
        """

    def top(self, scores: tf.Tensor, tightness: Any, ties: tf.Tensor | None = None) -> tf.Tensor:
        """The best feasible mask: 0/1, float32, shape (num_groups,).

        Equal scores go by the larger value of `ties`, then by the lower index.
        """
