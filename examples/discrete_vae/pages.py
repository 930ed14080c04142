"""The page and the picture of the table of all estimators, from its results."""

import pathlib

import numpy as np

from examples.common import figures
from examples.common.console import table
from examples.common.files import read_json, whole_file
from tfgumbel.registry import REGISTRY

HEADINGS = (
    "estimator",
    "chosen",
    "test bound",
    "gradient variance, start",
    "per run",
    "half-way",
    "per run",
    "runs",
    "step, CPU ms",
    "x straight-through",
    "memory, MiB",
)


def cells(row):
    """The table's entries of one row, as text."""
    runs = row["program_runs"]
    middle, memory = row.get("variance_halfway"), row["memory_mebibytes"]
    name = {"temperature": "temperature", "learning_rate": "rate"}[row["field"]]
    return (
        row["label"],
        f"{name} {row['choice']:g}",
        f"{row['test_bound']:.2f}",
        _short(row["variance_at_start"]),
        _short(runs * row["variance_at_start"]),
        "" if middle is None else _short(middle),
        "" if middle is None else _short(runs * middle),
        f"{runs:g}",
        f"{row['step_milliseconds']:.1f}",
        f"{row['step_ratio']:.2f}",
        "" if memory is None else f"{memory:.0f}",
    )


def _short(number):
    return np.format_float_positional(number, precision=3, unique=False, fractional=False, trim="-")


def by_bound(results):
    """Its rows, best bound first."""
    return sorted(results["rows"], key=lambda row: row["test_bound"])


def load(folder):
    """The results in a folder."""
    path = pathlib.Path(folder) / "table.json"
    return read_json(path, "run the table's command again")


def summary(folder):
    """The table for a terminal: a few of the columns."""
    results = load(folder)
    columns = [0, 1, 2, 3, 5, 8]
    lines = [[cells(row)[column] for column in columns] for row in by_bound(results)]
    settings = results["settings"]
    title = f"Bound on -log p(x) after {settings['steps']:,} steps, lower is better"
    return table(title, [HEADINGS[column] for column in columns], lines)


def write(folder):
    """Writes table.md and table.png from table.json, beside it."""
    folder = pathlib.Path(folder)
    results = load(folder)
    with whole_file(folder / "table.md") as temporary:
        temporary.write_text(markdown(results), encoding="utf-8")
    picture(results, folder / "table.png")


def markdown(results):
    """The full table, and what is not in it and why."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---|---|" + "---:|" * (len(HEADINGS) - 2)]
    best = by_bound(results)[0]["label"]
    for row in by_bound(results):
        texts = list(cells(row))
        texts[0] = f"`{texts[0]}`"
        if row["label"] == best:
            texts[2] = f"**{texts[2]}**"
        lines.append("| " + " | ".join(texts) + " |")
    text = "\n".join(lines) + "\n"
    if results["not_run"]:
        text += "\nNot run, for want of time: " + _names(results["not_run"]) + ".\n"
    reasons = {}
    for name, reason in results["left_out"].items():
        reasons.setdefault(reason.strip().rstrip("."), []).append(name)
    if reasons:
        text += "\nLeft out: " + "; ".join(
            f"{_names(names)} ({reason})" for reason, names in reasons.items()
        )
        text += ".\n"
    return text


def _names(names):
    return ", ".join(f"`{name}`" for name in names)


def picture(results, path):
    """Test bound against the time of a step, each estimator by its name."""
    rows = by_bound(results)
    times = np.array([row["step_ratio"] for row in rows])
    bounds = np.array([row["test_bound"] for row in rows])
    with figures.new_figure(8.0, 0.24 * len(rows) + 2.6) as figure:
        axes = figure.subplots()
        places = spread(bounds, 0.9 * max(bounds.max() - bounds.min(), 1.0) / len(rows))
        right = times.max() + 0.05 * np.ptp(times) + 0.02
        for row, time, bound, place in zip(rows, times, bounds, places, strict=True):
            on_loss = REGISTRY[row["settings"]["estimator"]].acts_on == "loss"
            color = figures.COLORS[1 if on_loss else 0]
            axes.plot(time, bound, "o", color=color, markersize=5)
            axes.plot([time, right], [bound, place], color=color, linewidth=0.5, alpha=0.5)
            axes.text(right, place, " " + row["label"], color=color, va="center", fontsize=8)
        axes.set(
            xlabel="CPU time of a step, straight-through = 1",
            ylabel="test bound [nats], lower is better",
            title=f"What {results['settings']['steps']:,} steps reach, and what one costs",
        )
        left = times.min() - 0.05 * np.ptp(times) - 0.02
        axes.set_xlim(left, right + 0.5 * (right - left))  # the names are at the right
        for index, kind in enumerate(("acts on the sample", "acts on the loss")):
            axes.plot([], [], "o", color=figures.COLORS[index], label=kind)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2)
        figures.save(figure, path)


def spread(values, gap):
    """Places in the order of sorted values, at least `gap` apart, and near them."""
    places = np.array(values, float)
    for _ in range(200):
        close = np.diff(places) < gap - 1e-9
        if not close.any():
            break
        for index in np.flatnonzero(close):
            missing = gap - (places[index + 1] - places[index])
            places[index] -= 0.5 * missing
            places[index + 1] += 0.5 * missing
    return places
