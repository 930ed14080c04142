"""Learning sparse networks under an exact L0 budget, for any Keras 3 model: `tfgumbel.prune`.

The rooms, in the order in which data walks through them: `groups` (which weights, and what goes
together), `budgets` (how much), `methods` (how groups are ranked), `masks` (scores, and what is
drawn from them), `training`, `results`.
"""

from pruning.api import prune
from pruning.budgets.constraint import L0Budget
from pruning.budgets.projection import project_onto_budget
from pruning.groups.targets import Target
from pruning.pruned_model import PrunedModel
from pruning.results.export.export import export_sparse
from pruning.results.report import SparsityReport, sparsity_report
from pruning.results.zeros import keep_sparsity
from pruning.training.callbacks import ScoreHistory
from pruning.training.schedules import PruningSchedule

__all__ = [
    "L0Budget",
    "PrunedModel",
    "PruningSchedule",
    "ScoreHistory",
    "SparsityReport",
    "Target",
    "export_sparse",
    "keep_sparsity",
    "project_onto_budget",
    "prune",
    "sparsity_report",
]
