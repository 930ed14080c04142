"""The result of a comparison: a table in the terminal, columns and rows in code."""

import dataclasses
import io
import math
from typing import Any

import numpy as np
import rich.box
import rich.console
import rich.table


@dataclasses.dataclass(frozen=True)
class Row:
    """What was measured of one estimator; see `compare_estimators` for the definitions.

    Attributes:
        estimator: Its label.
        bias: |mean - truth|.
        bias_standard_error: Root mean square of |mean - truth| were there no bias.
        variance: Total variance, the sum over the entries.
        within_variance: The part of it that D does not explain; NaN where that was not measured:
            outcomes too many, or none drawn twice.
        between_variance: The part of it that D explains: the difference of the two.
        runs: How often the program was run on each example for one draw.
        variance_per_run: The variance times `runs`.
        mse: Mean squared distance from the truth.
        mse_standard_error: Its standard error.
        cosine: Mean cosine of a draw with the truth.
        cosine_of_mean: Cosine of the mean of all draws with the truth.
        seconds: Time of one draw within a compiled batch of them, value and gradient.
        mean: Mean gradient, a vector as `Comparison.truth`.
        standard_error: Standard error of each entry of `mean`.
    """

    estimator: str
    bias: float
    bias_standard_error: float
    variance: float
    within_variance: float
    between_variance: float
    runs: float
    variance_per_run: float
    mse: float
    mse_standard_error: float
    cosine: float
    cosine_of_mean: float
    seconds: float
    mean: np.ndarray = dataclasses.field(repr=False)
    standard_error: np.ndarray = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Gradient estimators side by side: `print` it, or take `comparison["variance"]`.

    Attributes:
        rows: Label to `Row`, in the order asked for.
        value: The expected cost by enumeration, the mean over the examples.
        truth: Its gradient, a float64 vector: the entries of the floating inputs, or of the
            variables, one after the other.
        num_outcomes: Joint outcomes of an example's draws.
        num_draws: Draws of each estimator.
        batch_size: Draws of one timed call.
    """

    rows: dict[str, Row]
    value: float
    truth: np.ndarray
    num_outcomes: int
    num_draws: int
    batch_size: int

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns: the fields of `Row` that hold one number or label."""
        arrays = ("mean", "standard_error")
        return tuple(field.name for field in dataclasses.fields(Row) if field.name not in arrays)

    def __getitem__(self, column: str) -> np.ndarray:
        """One column as an array, in the order of the rows."""
        if column not in self.columns:
            raise KeyError(f"no column {column!r}; there are {', '.join(self.columns)}")
        return np.array([getattr(row, column) for row in self.rows.values()])

    def __len__(self) -> int:
        return len(self.rows)

    def to_dict(self) -> dict[str, list[Any]]:
        """Columns as lists: plain values, ready for JSON."""
        return {column: self[column].tolist() for column in self.columns}

    def to_pandas(self) -> Any:
        """A pandas DataFrame indexed by estimator; needs pandas."""
        import pandas

        return pandas.DataFrame(self.to_dict()).set_index("estimator")

    def __rich__(self) -> rich.table.Table:
        table = rich.table.Table(
            box=rich.box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            show_edge=False,
            pad_edge=False,
            title=f"Gradient estimators, {self.num_draws:,} draws each",
            caption=(
                f"|true gradient| = {np.linalg.norm(self.truth):.4g} over {self.num_outcomes:,} "
                f"outcomes; ± is one standard error; draws timed in batches of "
                f"{self.batch_size:,}"
            ),
        )
        table.add_column("\nestimator", overflow="fold", min_width=16)
        for heading in (
            "\nbias",
            "total\nvar.",
            "within\nD",
            "\nruns",
            "var. x\nruns",
            "\nMSE",
            "\ncos.",
            "time\n(us)",
        ):
            table.add_column(heading, justify="right", no_wrap=True)
        length = float(np.linalg.norm(self.truth))
        best = min(row.mse for row in self.rows.values())
        for row in self.rows.values():
            table.add_row(
                row.estimator,
                f"{row.bias:.2g} ± {row.bias_standard_error:.1g}",
                _number(row.variance, scale=length**2),
                _number(row.within_variance, scale=row.variance),
                f"{row.runs:g}",
                _number(row.variance_per_run, scale=length**2),
                _number(row.mse, scale=length**2),
                f"{row.cosine:.3f}",
                f"{1e6 * row.seconds:.2g}",
                style="bold" if row.mse == best else None,
            )
        return table

    def __str__(self) -> str:
        console = rich.console.Console(file=io.StringIO(), width=120)
        console.print(self)
        return console.file.getvalue().rstrip("\n")  # type: ignore[attr-defined]


def _number(value: float, scale: float) -> str:
    """Two digits; 0 where the value is rounding error beside `scale`, a dash where unknown."""
    if math.isnan(value):
        return "-"
    return "0" if abs(value) <= 1e-9 * abs(scale) else f"{value:.2g}"
