"""Baselines that do not learn their masks: the largest weights, or random ones.

They run under the same budgets, structures and density schedule as the learned masks, so that a
comparison shows what learning the mask buys.

Reference: M. Zhu, S. Gupta (2017), "To prune, or not to prune", eq. 1 (the cubic schedule).
"""

from collections.abc import Sequence

import tensorflow as tf

from pruning.groups.structures import Grid
from tfgumbel.internal import random

METHODS = ("learned", "magnitude", "random")
# The masks of a baseline are chosen anew this many times over the schedule.
NUM_UPDATES = 200


def magnitudes(weights: Sequence[tf.Tensor], grids: Sequence[Grid]) -> tf.Tensor:
    """Mean absolute weight of every group, float32, shape (num_groups,)."""
    return tf.concat(
        [grid.reduce_mean_abs(weight) for weight, grid in zip(weights, grids, strict=True)], 0
    )


def priorities(
    method: str, weights: Sequence[tf.Tensor], grids: Sequence[Grid], seed: int
) -> tf.Tensor:
    """What a baseline ranks groups by: the highest are kept.

    Random priorities are the same at every step, so each mask contains the next.
    """
    if method == "magnitude":
        return magnitudes(weights, grids)
    return random.uniform([sum(grid.num_groups for grid in grids)], seed)
