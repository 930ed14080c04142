"""The rows of the table of all estimators: which, in which order, and what is chosen for each."""

import dataclasses
from typing import Any

from examples.common.estimator import NAMES, own_temperature
from examples.common.files import RunError
from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.registry import REGISTRY

# The temperatures tried, by estimator; others take theirs times the factors.
TEMPERATURES = {
    "straight_through": (0.7, 1.0, 1.4),
    "straight_through_gumbel_softmax": (0.4, 0.65, 1.0),
    "gumbel_softmax": (0.4, 0.65, 1.0),
    "gumbel_rao": (0.25, 0.4, 0.6),
    "reinmax": (1.0, 1.2, 1.5),
    "reinmax_rao": (0.4, 0.7, 1.0),
}
FACTORS = (0.5, 1.0, 2.0)
# Of those without a temperature, or with one that they learn: half and twice the others' rate.
RATE_FACTORS = (0.5, 1.0, 2.0)
LEARNS_TEMPERATURE = ("rebar", "relax")
# More than one way of running an estimator; the first is its name alone.
VARIANTS = {
    "gumbel_rao": {"gumbel_rao": {}, "gumbel_rao, K = 10": {"num_samples": 10}},
    "reinforce_loo": {
        "reinforce_loo, 2 samples": {"program_samples": 2},
        "reinforce_loo, 4 samples": {"program_samples": 4},
    },
}
# The same as another for a single layer and the mean of the samples, and so no row of its own.
SAME = {
    "vimco": "reinforce_loo",
    "ovis": "reinforce_loo",
    "decoupled_straight_through_gumbel_softmax": "straight_through_gumbel_softmax",
}
# The most telling first, should the time end before the list does; the others follow.
FIRST = (
    "straight_through",
    "straight_through_gumbel_softmax",
    "gumbel_rao",
    "gumbel_rao, K = 10",
    "reinmax",
    "reinmax_rao",
    "reinforce_loo, 2 samples",
    "muprop",
    "disarm",
    "rebar",
    "gumbel_softmax",
    "nvil",
    "darn",
    "relax",
    "zero_temperature_gumbel_rao",
    "reinforce_loo, 4 samples",
    "gapped_straight_through",
    "reinforce_baseline",
    "arm",
    "reinforce",
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        label: its name in the table.
        changes: of the base settings, dict.
        field: the setting that is chosen on validation.
        choices: values of it, three.
    """

    label: str
    changes: dict[str, Any]
    field: str
    choices: tuple[float, ...]

    @property
    def folder(self):
        """Its label as a folder's name."""
        return self.label.replace(",", "").replace(" = ", "").replace(" ", "_")

    def settings(self, base, choice):
        """The settings of the row's run with one choice, others as in `base`."""
        return dataclasses.replace(base, **self.changes, **{self.field: choice})


def rows(base, check):
    """All rows for estimators that can train a model, and what the others lack.

    Args:
        base: `train.Settings`.
        check: callable (settings), raises a RunError where the estimator cannot train the model.

    Returns:
        rows: list of `Row`, in the order in which they are to run.
        reasons: dict, name of each estimator that is left out -> why.
    """
    found, reasons = [], {}
    for name in NAMES:
        if name in SAME:
            reasons[name] = f"the same as {SAME[name]} here"
            continue
        if ONE_HOT_CATEGORICAL not in REGISTRY[name].variables:
            reasons[name] = "for binary variables"
            continue
        try:
            check(dataclasses.replace(base, estimator=name))
        except RunError as error:
            reasons[name] = str(error).splitlines()[1].removeprefix(f"Estimator {name!r} ")
            continue
        field, choices = _choices(name, base)
        for label, changes in VARIANTS.get(name, {name: {}}).items():
            found.append(Row(label, {"estimator": name, **changes}, field, choices))
    order = {label: index for index, label in enumerate(FIRST)}
    return sorted(found, key=lambda row: order.get(row.label, len(order))), reasons


def _choices(name, base):
    own = own_temperature(name)
    if own is None or name in LEARNS_TEMPERATURE:
        rate = base.learning_rate
        return "learning_rate", tuple(float(f"{rate * factor:.2g}") for factor in RATE_FACTORS)
    return "temperature", TEMPERATURES.get(name, tuple(own * factor for factor in FACTORS))
