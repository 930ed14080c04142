"""Where the kept weights of a model are, and what they cost to store and to run."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import rich.console
import rich.table

from pruning.groups.targets import Filter, select
from pruning.results.advice import lost_note, speed_notes
from pruning.results.costs import file_sizes, weight_positions
from pruning.results.finite import check_finite


@dataclasses.dataclass(frozen=True, eq=False)
class TargetReport:
    """One pruned weight.

    Attributes:
        name: path of the weight in the model.
        shape: its shape.
        size: number of entries.
        kept: number of them kept.
        density: `kept / size`.
        share: its part of all weights kept.
        positions: how often an example uses each entry (pixels of a convolution's output, time
            steps); None if the model does not say, as subclassed models do not.
        mask: what is kept, bool, shape `shape`.
    """

    name: str
    shape: tuple[int, ...]
    size: int
    kept: int
    density: float
    share: float
    positions: int | None
    mask: np.ndarray

    @property
    def multiply_adds(self) -> int | None:
        """Multiplications an example needs with what is kept."""
        return None if self.positions is None else self.positions * self.kept

    @property
    def dense_multiply_adds(self) -> int | None:
        """Multiplications an example needs with every entry."""
        return None if self.positions is None else self.positions * self.size


@dataclasses.dataclass(frozen=True, eq=False)
class SparsityReport:
    """Sparsity of a model: prints as a table, `to_dict` for a file, `plot` for a picture.

    Attributes:
        targets: a `TargetReport` for each pruned weight.
        sizes: bytes by kind of file: `"keras"` (as large as the dense model's), `"keras_gzip"`,
            `"litert"` (sparse tensors) and `"litert_dense"`; without those not asked for.
        notes: what a reader should know before expecting speed or small files.
        left: dict from each kernel-like weight that is not among the targets to the reason.
    """

    targets: tuple[TargetReport, ...]
    sizes: dict[str, int]
    notes: tuple[str, ...]
    left: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of entries of all targets."""
        return sum(target.size for target in self.targets)

    @property
    def kept(self) -> int:
        """Number of entries kept."""
        return sum(target.kept for target in self.targets)

    @property
    def density(self) -> float:
        return self.kept / self.size

    @property
    def multiply_adds(self) -> int | None:
        """Multiplications of the pruned weights for an example; None if any is not known."""
        return _total(target.multiply_adds for target in self.targets)

    @property
    def dense_multiply_adds(self) -> int | None:
        """The same with every entry kept."""
        return _total(target.dense_multiply_adds for target in self.targets)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, without the masks."""
        fields = ("name", "shape", "size", "kept", "density", "share", "multiply_adds")
        rows = [
            {field: getattr(target, field) for field in (*fields, "dense_multiply_adds")}
            for target in self.targets
        ]
        return {
            "targets": [{**row, "shape": list(row["shape"])} for row in rows],
            "size": self.size,
            "kept": self.kept,
            "density": self.density,
            "multiply_adds": self.multiply_adds,
            "dense_multiply_adds": self.dense_multiply_adds,
            "bytes": dict(self.sizes),
            "notes": list(self.notes),
            "left": dict(self.left),
        }

    def plot(self, path: Any = None, history: Any = None) -> Any:
        """Draws densities, masks and, with a `ScoreHistory`, the scores over time.

        Args:
            path: where to save the picture; None for nowhere.
            history: the `pruning.ScoreHistory` callback of the training, or None.

        Returns:
            figure: a `matplotlib.figure.Figure`.
        """
        from pruning.results import plots

        return plots.plot_report(self, path, history)

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        columns = ("weight", "shape", "kept", "density", "of budget", "multiply-adds")
        table = rich.table.Table(show_footer=True)
        totals = (
            "all",
            f"{self.size:,}",
            f"{self.kept:,}",
            _percent(self.density),
            _percent(1.0),
            _count(self.multiply_adds),
        )
        for name, total in zip(columns, totals, strict=True):
            if name == "weight":
                table.add_column(name, total, overflow="fold")
            else:
                table.add_column(name, total, justify="right", no_wrap=True)
        for target in self.targets:
            table.add_row(
                target.name,
                " x ".join(map(str, target.shape)),
                f"{target.kept:,}",
                _percent(target.density),
                _percent(target.share),
                _count(target.multiply_adds),
            )
        yield table
        if self.multiply_adds is not None:
            yield f"multiply-adds of these weights when dense: {_count(self.dense_multiply_adds)}"
        if self.sizes:
            yield "bytes: " + ", ".join(f"{key} {size:,}" for key, size in self.sizes.items())
        for name, reason in self.left.items():
            yield f"not pruned: {name} ({reason})"
        for note in self.notes:
            yield f"note: {note}"

    def __str__(self) -> str:
        console = rich.console.Console(width=110, color_system=None, highlight=False)
        with console.capture() as capture:
            console.print(self)
        return capture.get()


def sparsity_report(
    model: keras.Model,
    *,
    targets: Filter | None = None,
    exclude: Filter | None = None,
    sizes: bool = True,
    litert: bool | None = None,
) -> SparsityReport:
    """Counts the weights that a model keeps, layer by layer, and what they cost.

    Args:
        model: a built Keras model, or a `PrunedModel`: then the report is of the model that
            `finalize` would return now.
        targets: which weights to look at, as in `tfgumbel.prune`; None for all kernels, or those
            that the `PrunedModel` prunes.
        exclude: which of them to leave out.
        sizes: whether to save the model in a temporary folder to see the bytes of each kind of
            file, which takes seconds.
        litert: whether LiteRT is among them, which takes minutes for a model of many layers; None
            for models of up to 20 layers. `export_sparse` measures it too.

    Returns:
        report: a `SparsityReport`.

    Raises:
        ValueError: the model is not built, nothing is chosen, or weights are not finite.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="out")])
        >>> model.set_weights([np.eye(4, 2), np.zeros(2)])
        >>> report = sparsity_report(model, sizes=False)
        >>> report.kept, report.size, report.multiply_adds
        (2, 8, 2)
        >>> print(report)  # doctest: +SKIP
    """
    if hasattr(model, "final_mask"):
        plain = model.model
        check_finite(plain)
        masks = _final_masks(model)
        chosen, left = list(model.targets), dict(model.left)
        if targets is not None or exclude is not None:
            wanted = {id(t.variable) for t in select(plain, targets, exclude)[0]}
            chosen = [target for target in chosen if id(target.variable) in wanted]
    else:
        plain, masks = model, {}
        chosen, left = select(plain, targets, exclude)
        check_finite(plain)
    positions = weight_positions(plain)
    found = []
    for target in chosen:
        mask = masks.get(id(target.variable))
        nonzero = target.variable.numpy() != 0
        mask = nonzero if mask is None else mask & nonzero
        found.append((target, mask, positions.get(id(target.variable))))
    total = sum(int(mask.sum()) for _, mask, _ in found)
    rows = tuple(
        TargetReport(
            name=target.name,
            shape=target.shape,
            size=target.size,
            kept=int(mask.sum()),
            density=float(mask.mean()),
            share=float(mask.sum() / max(total, 1)),
            positions=where,
            mask=mask,
        )
        for target, mask, where in found
    )
    notes = speed_notes([(target, mask) for target, mask, _ in found])
    lost = lost_note([(target, mask) for target, mask, _ in found])
    if lost is not None:
        notes.append(lost)
    if any(where is None for _, _, where in found):
        notes.append(
            "multiply-adds are shown where the model says what its layers' outputs look like; "
            "subclassed models do not."
        )
    measured: dict[str, int] = {}
    if sizes:
        measured, failures = file_sizes(plain, masks, litert)
        notes.extend(failures)
    return SparsityReport(rows, measured, tuple(notes), left)


def _final_masks(pruned: Any) -> dict[int, np.ndarray]:
    """The masks `finalize` would write, by the identity of the variable, bool."""
    masks = pruned.masks.groups.expand(pruned.final_mask())
    return {
        id(target.variable): np.asarray(mask) > 0
        for target, mask in zip(pruned.targets, masks, strict=True)
    }


def _total(values: Iterator[int | None]) -> int | None:
    counts = list(values)
    return None if None in counts else sum(count for count in counts if count is not None)


def _percent(value: float) -> str:
    return f"{100 * value:.2f}%"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
