"""One look for the examples' own pictures."""

import contextlib
import pathlib

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


def save(figure, path):
    """Writes a figure, whole; returns the path."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=150)
    return pathlib.Path(path)
