"""Learning sparse networks under an exact L0 budget, for any Keras 3 model: `tfgumbel.prune`."""

from pruning.api import prune
from pruning.export import export_sparse
from pruning.finishing import keep_sparsity
from pruning.plots import ScoreHistory
from pruning.projection import L0Budget, project_onto_budget
from pruning.pruned_model import PrunedModel
from pruning.report import sparsity_report
from pruning.schedules import PruningSchedule
from pruning.targets import Target

__all__ = [
    "L0Budget",
    "PrunedModel",
    "PruningSchedule",
    "ScoreHistory",
    "Target",
    "export_sparse",
    "keep_sparsity",
    "project_onto_budget",
    "prune",
    "sparsity_report",
]
