"""The baseline of baselines: a random choice of groups."""

from pruning.methods.method import Method
from tfgumbel.internal import random


class Random(Method):
    """Ranks groups by numbers that are the same at every step, so each mask contains the next."""

    def scores(self, moment):
        return random.uniform([self.groups.num_groups], self.seed)
