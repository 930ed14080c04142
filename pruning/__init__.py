"""Learning sparse networks under an exact L0 budget, for any Keras 3 model: `tfgumbel.prune`."""

from pruning.api import prune
from pruning.finishing import keep_sparsity
from pruning.projection import L0Budget, project_onto_budget
from pruning.pruned_model import PrunedModel
from pruning.schedules import PruningSchedule
from pruning.targets import Target

__all__ = [
    "L0Budget",
    "PrunedModel",
    "PruningSchedule",
    "Target",
    "keep_sparsity",
    "project_onto_budget",
    "prune",
]
