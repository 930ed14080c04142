"""Learning sparse networks under an exact L0 budget, for any Keras 3 model: `tfgumbel.prune`."""

from pruning.api import prune
from pruning.budgets.projection import L0Budget, project_onto_budget
from pruning.groups.targets import Target
from pruning.pruned_model import PrunedModel
from pruning.results.export.export import export_sparse
from pruning.results.finish import keep_sparsity
from pruning.results.report import sparsity_report
from pruning.training.schedules import PruningSchedule

__all__ = [
    "L0Budget",
    "PrunedModel",
    "PruningSchedule",
    "Target",
    "export_sparse",
    "keep_sparsity",
    "project_onto_budget",
    "prune",
    "sparsity_report",
]
