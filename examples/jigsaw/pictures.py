"""Puzzles as they come, as training mixes them, as they are put together, and as they were."""

import numpy as np
from matplotlib.patches import Rectangle

from examples.common import figures

ROWS = ("scrambled", "soft", "assembled", "true")


def draw(outcomes):
    """Draws test puzzles of each grid, a column each; a red frame is around a wrong piece.

    Args:
        outcomes: {grid: `Outcome`}.
    """
    count = len(next(iter(outcomes.values())).shown["true"])
    with figures.new_figure(0.62 * count + 0.7, 2.75 * len(outcomes)) as figure:
        figure.get_layout_engine().set(w_pad=0.12)  # for the rows' names
        for axes, (grid, outcome) in zip(
            figure.subplots(len(outcomes), 1, squeeze=False)[:, 0], outcomes.items(), strict=True
        ):
            images = np.stack([outcome.shown[name] for name in ROWS])
            side = images.shape[-1]
            figures.show_tiles(axes, images.reshape(len(ROWS), count, -1), (side, side))
            step = side + 1
            axes.set_yticks(step * (np.arange(len(ROWS)) + 0.5), ROWS)
            axes.tick_params(length=0, labelsize=8)
            axes.set_title(f"{grid} x {grid} pieces")
            size = side // grid
            for column, row, place in wrong_places(outcome.shown, grid):
                corner = column * step + place * size - 0.5, 2 * step + row * size - 0.5
                axes.add_patch(Rectangle(corner, size, size, fill=False, ec="#D55E00", lw=1.0))
    return figure


def wrong_places(shown, grid):
    """Where what was put together differs from the truth: image, row and column of the piece."""
    differs = shown["assembled"] != shown["true"]
    count, side = differs.shape[:2]
    size = side // grid
    return np.argwhere(differs.reshape(count, grid, size, grid, size).any(axis=(2, 4)))
