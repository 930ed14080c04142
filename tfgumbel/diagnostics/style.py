"""One look for every picture: colours that all eyes tell apart, thin axes, a page's width."""

import contextlib
from collections.abc import Iterator
from typing import Any

WIDTH = 7.2  # inches

# Okabe and Ito's colours, in an order in which neighbours also differ in grey.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#404040")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SEQUENTIAL = "viridis"
SPARSE = "Blues"  # shares, where white is nothing
GREY = "#6b6b6b"

_SETTINGS: Any = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.edgecolor": "#404040",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "xtick.direction": "out",
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.titlesize": 11.0,
    "savefig.dpi": 150,
    "savefig.bbox": "tight",
}


@contextlib.contextmanager
def new_figure(height: float, width: float = WIDTH) -> Iterator[Any]:
    """Yields an empty matplotlib Figure to draw on in the house style; no global state is touched.

    Args:
        height: In inches.
        width: In inches.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    try:
        import matplotlib
        import matplotlib.figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install tfgumbel[examples]") from error
    with matplotlib.rc_context(_SETTINGS):
        yield matplotlib.figure.Figure(figsize=(width, height), layout="constrained", dpi=150)


def line_style(index: int) -> dict[str, Any]:
    """Colour and marker of the index-th curve."""
    return {"color": COLORS[index % len(COLORS)], "marker": MARKERS[index % len(MARKERS)]}
