"""One look for the examples' own pictures."""

import contextlib
import pathlib

import numpy as np

from examples.common.files import whole_file

# Okabe and Ito's colours, which all eyes tell apart.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#404040")
_SETTINGS = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
}


@contextlib.contextmanager
def new_figure(width, height):
    """Yields an empty figure, sizes in inches; no global state is touched."""
    import matplotlib
    import matplotlib.figure

    colors = matplotlib.cycler(color=COLORS)
    with matplotlib.rc_context({**_SETTINGS, "axes.prop_cycle": colors}):
        yield matplotlib.figure.Figure(figsize=(width, height), layout="constrained")


def image_grid(rows, columns, size=0.7):
    """A figure of `rows` x `columns` small axes, each for one `show`, and the axes as an array."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size * columns + 0.4, size * rows + 0.6), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def show(axes, pixels, shape):
    """Shows pixels in [0, 1] as an image of `shape`, dark where they are 1, in a thin frame."""
    axes.imshow(np.reshape(pixels, shape), cmap="gray_r", vmin=0.0, vmax=1.0)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("0.8")


def tiles(pixels, shape, gap=1):
    """Images side by side in one array: rows of (rows, columns, pixels), NaN between them."""
    rows, columns = np.shape(pixels)[:2]
    padded = np.pad(
        np.reshape(pixels, [rows, columns, *shape]).astype(np.float32),
        [(0, 0), (0, 0), (0, gap), (0, gap)],
        constant_values=np.nan,
    )
    whole = padded.transpose(0, 2, 1, 3).reshape(rows * (shape[0] + gap), -1)
    return whole[:-gap, :-gap]


def show_tiles(axes, pixels, shape):
    """Shows images of (rows, columns, pixels) in [0, 1] as `tiles`, with thin lines between."""
    import matplotlib

    colors = matplotlib.colormaps["gray_r"].with_extremes(bad="#b8cfe0")
    axes.imshow(tiles(pixels, shape), cmap=colors, vmin=0.0, vmax=1.0)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def shade_lower_half(axes, shape):
    """Shades the half of an image that is not given."""
    height, width = shape
    axes.fill_between([-0.5, width - 0.5], height / 2 - 0.5, height - 0.5, color="0.85")


def validation_curves(histories, path, metric="validation_bound"):
    """Saves validation bounds against steps, a line for each name; returns the path.

    Args:
        histories: dict of what `Training.history` holds, by name.
        path: of the picture.
        metric: what of the history is shown.
    """
    later = []  # the axis shows where the runs differ, not where all of them started
    with new_figure(6.0 if len(histories) <= 5 else 8.0, 3.6) as figure:
        axes = figure.subplots()
        for index, (name, history) in enumerate(histories.items()):
            values = [entry[metric] for entry in history]
            dashes = "-" if index < len(COLORS) else "--"
            axes.plot([entry["step"] for entry in history], values, dashes, marker=".", label=name)
            later += values[len(values) // 3 :]
        margin = 0.1 * (max(later) - min(later)) + 0.1
        axes.set_ylim(min(later) - margin, max(later) + margin)
        axes.set(xlabel="optimizer steps", ylabel="validation bound [nats], lower is better")
        if len(histories) <= 5:
            axes.legend()
        else:
            figure.legend(loc="outside right upper", fontsize=7.0, handlelength=3.0)
        return save(figure, path)


def save(figure, path):
    """Writes a figure, whole; returns the path."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=150)
    return pathlib.Path(path)
