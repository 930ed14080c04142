"""Where the kept weights of a model are, and what they cost to store and to run."""

import dataclasses
import gzip
import math
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import rich.console
import rich.table

from pruning.groups.targets import Filter, Target, candidates, iterate_layers, select
from pruning.results.export.export import litert_bytes

# Above this share of weights kept, XNNPACK ran unstructured zeros no faster than dense weights: an
# MLP 1024-2048-2048-16 gained nothing at 10% and 5%, and 4.0x and 6.9x at 2% and 1%. With zeros in
# blocks of 1 x 4 inputs it gained 3.6x and 5.9x at 10% and 5% (`benchmarks.pruning`).
UNSTRUCTURED_LIMIT = 0.03
BLOCK_LIMIT = 0.15
BLOCK = 4


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
            `"litert"` (sparse tensors) and `"litert_dense"`; empty where they were not asked for.
        notes: what a reader should know before expecting speed or small files.
    """

    targets: tuple[TargetReport, ...]
    sizes: dict[str, int]
    notes: tuple[str, ...]

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
        }

    def plot(self, path: Any = None, history: Any = None) -> Any:
        """Draws densities, masks and, with a `ScoreHistory`, the scores over time.

        Args:
            path: where to save the picture; None for nowhere.
            history: the `pruning.results.plots.ScoreHistory` callback of the training, or None.

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

    Returns:
        report: a `SparsityReport`.

    Raises:
        ValueError: the model is not built, or nothing is chosen.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="out")])
        >>> model.set_weights([np.eye(4, 2), np.zeros(2)])
        >>> report = sparsity_report(model, sizes=False)
        >>> report.kept, report.size, report.multiply_adds
        (2, 8, 2)
        >>> print(report)  # doctest: +SKIP
    """
    pruned = hasattr(model, "final_mask")
    if pruned:
        plain, masks = model.model, _final_masks(model)
        chosen = list(model.targets)
        if targets is not None or exclude is not None:
            wanted = {id(t.variable) for t in select(plain, targets, exclude)[0]}
            chosen = [target for target in chosen if id(target.variable) in wanted]
    else:
        plain, masks = model, {}
        chosen = select(plain, targets, exclude)[0]
    positions = _positions(plain)
    found = []
    for target in chosen:
        mask = masks.get(id(target.variable))
        mask = target.variable.numpy() != 0 if mask is None else mask
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
    notes = _speed_notes([(target, mask) for target, mask, _ in found])
    if any(where is None for _, _, where in found):
        notes.append(
            "multiply-adds are shown where the model says what its layers' outputs look like; "
            "subclassed models do not."
        )
    measured: dict[str, int] = {}
    if sizes:
        measured, failures = _measure_sizes(plain, masks)
        notes.extend(failures)
    return SparsityReport(rows, measured, tuple(notes))


def _final_masks(pruned: Any) -> dict[int, np.ndarray]:
    """The masks `finalize` would write, by the identity of the variable, bool."""
    flat = np.asarray(pruned.final_mask())
    bounds = np.cumsum([grid.num_groups for grid in pruned.grids])[:-1]
    parts = np.split(flat, bounds)
    return {
        id(target.variable): np.asarray(grid.expand(part)) > 0
        for target, grid, part in zip(pruned.targets, pruned.grids, parts, strict=True)
    }


def _total(values: Iterator[int | None]) -> int | None:
    counts = list(values)
    return None if None in counts else sum(count for count in counts if count is not None)


def _percent(value: float) -> str:
    return f"{100 * value:.2f}%"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


# Multiply-adds.


def _positions(model: keras.Model) -> dict[int, int]:
    """How often an example uses each entry of a weight, by the identity of the variable.

    An entry of a kernel is used once for each entry of an output channel; those of a transposed
    convolution once for each entry of an input channel; those of a recurrent layer once a step.
    """
    positions: dict[int, int] = {}
    shapes = {}
    for layer in iterate_layers(model):
        shape = _symbolic_shapes(layer)
        if shape is not None:
            shapes[id(layer)] = shape
    for target in candidates(model):
        layer = target.layer
        if layer is None or target.role == "embeddings" or len(target.shape) < 2:
            continue
        count = _layer_positions(layer, target, shapes.get(id(layer)))
        if count is None:
            count = _wrapped_positions(model, target, shapes)
        if count is not None:
            positions[id(target.variable)] = count
    return positions


def _symbolic_shapes(layer: keras.Layer) -> tuple[Any, Any] | None:
    """(shape of the one input, shape of the one output) without the batch axis, if known."""
    try:
        entered, left = layer.input, layer.output
    except (AttributeError, ValueError):
        return None
    first = keras.tree.flatten(entered)
    last = keras.tree.flatten(left)
    if not first or not last:
        return None
    return tuple(first[0].shape[1:]), tuple(last[0].shape[1:])


def _layer_positions(layer: Any, target: Target, shapes: tuple[Any, Any] | None) -> int | None:
    if shapes is None:
        return None
    entered, left = shapes
    if isinstance(layer, keras.layers.RNN):
        return entered[0]
    transposed = (
        keras.layers.Conv1DTranspose,
        keras.layers.Conv2DTranspose,
        keras.layers.Conv3DTranspose,
    )
    if isinstance(layer, transposed):
        return _ratio(entered, target.shape[target.input_axis])
    if isinstance(layer, (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)):
        return _ratio(left, layer.filters)
    return _ratio(left, math.prod(target.shape[axis] for axis in target.output_axes))


def _wrapped_positions(model: Any, target: Target, shapes: dict[int, Any]) -> int | None:
    """For a layer that another one calls: recurrent cells, TimeDistributed, attention."""
    for parent in iterate_layers(model):
        if parent is model or id(parent) not in shapes:
            continue
        if not any(target.variable is variable for variable in parent.weights):
            continue
        entered = shapes[id(parent)][0]
        recurrent = (keras.layers.RNN, keras.layers.Bidirectional)
        if isinstance(parent, recurrent):
            return entered[0]
        if isinstance(parent, keras.layers.TimeDistributed) and target.layer is parent.layer:
            left = parent.layer.compute_output_shape((None, *entered[1:]))
            inner = _layer_positions(parent.layer, target, (entered[1:], tuple(left[1:])))
            return None if inner is None or entered[0] is None else inner * entered[0]
        if isinstance(parent, (keras.layers.MultiHeadAttention, keras.layers.Dense)):
            # Projections of queries, keys and values: once for each place of the first input.
            return _ratio(entered, entered[-1]) if entered[-1] else None
    return None


def _ratio(shape: tuple[Any, ...], channels: int) -> int | None:
    if None in shape or not channels:
        return None
    count, rest = divmod(math.prod(shape), channels)
    return count if rest == 0 else None


# Speed.


def _speed_notes(found: list[tuple[Target, np.ndarray]]) -> list[str]:
    notes = []
    matrices = [(target, mask) for target, mask in found if len(target.shape) == 2]
    kernels = [target for target, _ in found if _is_spatial(target)]
    size = sum(mask.size for _, mask in matrices)
    if size:
        density = sum(int(mask.sum()) for _, mask in matrices) / size
        blocks = _in_blocks(matrices)
        if UNSTRUCTURED_LIMIT < density < 1 and not (blocks and density <= BLOCK_LIMIT):
            remedy = (
                "keep fewer"
                if blocks
                else f"keep fewer, or prune with block=(1, {BLOCK}), which was faster up to 10%"
            )
            notes.append(
                f"these zeros will not make CPU inference faster: {_percent(density)} of the fully "
                f"connected weights are kept, {'in blocks' if blocks else 'one by one'}; sparse "
                f"kernels (XNNPACK) gained nothing at that density. For speed, {remedy}."
            )
    if kernels and any(not mask.all() for _, mask in found):
        notes.append(
            "zeros in convolutions wider than 1x1 make files smaller, not inference faster: "
            "no CPU kernel skips them. For speed, prune with structure='filter'."
        )
    return notes


def _is_spatial(target: Target) -> bool:
    return (
        len(target.shape) > 2
        and "kernel" in target.role
        and any(length > 1 for length in target.shape[:-2])
    )


def _in_blocks(found: list[tuple[Target, np.ndarray]]) -> bool:
    """Whether most of what is kept comes in whole blocks along the inputs."""
    kept = whole = 0
    for target, mask in found:
        rows = np.moveaxis(mask, target.input_axis, 0).reshape(mask.shape[target.input_axis], -1)
        length = len(rows) // BLOCK * BLOCK
        blocks = rows[:length].reshape(-1, BLOCK, rows.shape[1]).sum(axis=1)
        kept += int(blocks.sum())
        whole += BLOCK * int((blocks == BLOCK).sum())
    return kept > 0 and whole >= 0.9 * kept


# Bytes.


def _measure_sizes(
    model: keras.Model, masks: dict[int, np.ndarray]
) -> tuple[dict[str, int], list[str]]:
    """Bytes of each kind of file, of the model with its masks applied for the moment."""
    originals = {}
    for variable in model.weights:
        if id(variable) in masks:
            originals[id(variable)] = variable.numpy()
            variable.assign(np.where(masks[id(variable)], originals[id(variable)], 0))
    sizes: dict[str, int] = {}
    notes = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.keras"
            model.save(path)
            content = path.read_bytes()
        sizes["keras"] = len(content)
        sizes["keras_gzip"] = len(gzip.compress(content, 6))
        try:
            sizes["litert"] = len(litert_bytes(model, sparse=True))
            sizes["litert_dense"] = len(litert_bytes(model, sparse=False))
        except Exception as error:  # the converter raises whatever its passes raise
            reason = str(error).strip().splitlines() or [type(error).__name__]
            notes.append(f"no LiteRT size: the model could not be converted ({reason[0]}).")
    finally:
        for variable in model.weights:
            if id(variable) in originals:
                variable.assign(originals[id(variable)])
    return sizes, notes
