"""The baseline: the largest weights are kept.

Reference: M. Zhu, S. Gupta (2017), "To prune, or not to prune".
"""

from pruning.methods.method import Method


class Magnitude(Method):
    """Ranks groups by their mean absolute weight."""

    def scores(self, moment):
        return self.groups.mean_abs(moment.weights)
