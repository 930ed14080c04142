"""Pictures of a sparse model: densities, masks, and the scores while they were learned."""

import math
from typing import Any

import numpy as np

from pruning.training.callbacks import ScoreHistory
from tfgumbel.diagnostics import style
from tfgumbel.internal.files import save_figure

MASKS_A_ROW = 3
SMALL = 8.0  # points, of what labels single bars and masks


def plot_report(report: Any, path: Any = None, history: ScoreHistory | None = None) -> Any:
    """Draws a `SparsityReport`; see `SparsityReport.plot`.

    Args:
        report: a `SparsityReport`.
        path: where to save the picture, written under a temporary name and renamed; or None.
        history: a `ScoreHistory`, for a panel of the scores over time; or None.

    Returns:
        figure: a `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is not installed.
    """
    images = [target for target in report.targets if len(target.shape) == 2]
    mask_rows = math.ceil(len(images) / MASKS_A_ROW)
    bars_height = 0.9 + 0.32 * len(report.targets)
    heights = [bars_height, *[3.0] * mask_rows, *([2.6] if history else [])]
    with style.new_figure(height=sum(heights) + 0.4, width=9.0) as figure:
        panels = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        _bars(panels[0].subplots(), report)
        for row in range(mask_rows):
            axes = panels[1 + row].subplots(1, MASKS_A_ROW, squeeze=False)[0]
            shown = images[row * MASKS_A_ROW : (row + 1) * MASKS_A_ROW]
            for ax, target in zip(axes, shown, strict=False):
                _mask(ax, target)
            for ax in axes[len(shown) :]:
                ax.set_axis_off()
        if history:
            _scores(panels[-1].subplots(), history)
        if path is not None:
            save_figure(figure, path)
    return figure


def _bars(ax: Any, report: Any) -> None:
    names = [target.name for target in report.targets]
    places = np.arange(len(names))
    densities = [100 * target.density for target in report.targets]
    ax.barh(places, densities, color=style.COLORS[0], height=0.65)
    ax.axvline(100 * report.density, color=style.GREY, linewidth=1.0, linestyle=":")
    for place, target in zip(places, report.targets, strict=True):
        text = f"{100 * target.density:.2f}%   {target.kept:,} of {target.size:,}"
        # Right of the dotted line too, which would cross it.
        end = (100 * max(target.density, report.density), place)
        label = ax.annotate(
            text, end, (6, 0), textcoords="offset points", va="center", fontsize=SMALL
        )
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
    ax.set_yticks(places, names, fontsize=SMALL)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.45 * max(densities, default=1.0) or 1.0)
    ax.set_xlabel("weights kept, % (dotted: all targets)")
    title = f"{report.kept:,} of {report.size:,} weights kept ({100 * report.density:.2f}%)"
    ax.set_title(title, loc="left")
    ax.grid(axis="y", visible=False)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)


def _mask(ax: Any, target: Any) -> None:
    # One pixel of the picture covers many weights: show the share kept under it.
    image = _shrink(target.mask.astype(np.float32), 100)
    ax.imshow(image, cmap=style.SPARSE, aspect="auto", vmin=0.0, vmax=max(image.max(), 1e-9))
    ax.set_title(
        f"{target.name}\n{target.shape[0]} inputs x {target.shape[1]} outputs", fontsize=SMALL
    )
    ax.grid(visible=False)
    ax.set_xticks([])
    ax.set_yticks([])


def _shrink(mask: np.ndarray, limit: int) -> np.ndarray:
    """Means over equal tiles, so that no side is longer than about `limit`."""
    steps = [max(1, math.ceil(length / limit)) for length in mask.shape]
    padding = [(0, -length % step) for length, step in zip(mask.shape, steps, strict=True)]
    padded = np.pad(mask, padding, constant_values=np.nan)
    rows, columns = (length // step for length, step in zip(padded.shape, steps, strict=True))
    return np.nanmean(padded.reshape(rows, steps[0], columns, steps[1]), axis=(1, 3))


def _scores(ax: Any, history: ScoreHistory) -> None:
    counts = np.stack(history.counts, axis=1) / np.sum(history.counts[0])
    # Columns are moments; the colour is logarithmic, as nearly all scores end at 0.
    shade = np.log10(np.maximum(counts, 10.0**-5))
    image = ax.imshow(
        shade,
        origin="lower",
        aspect="auto",
        cmap=style.SPARSE,
        extent=(-0.5, len(counts[0]) - 0.5, 0, 1),
    )
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("epoch (0: before training)")
    ax.set_ylabel("keep probability")
    ax.set_title("scores over time", loc="left")
    bar = ax.figure.colorbar(image, ax=ax, ticks=range(-5, 1))
    bar.ax.set_yticklabels(["0", *(f"{10.0**power:g}" for power in range(-4, 1))])
    bar.set_label("share of scores")
    ax.grid(visible=False)
