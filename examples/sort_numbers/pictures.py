"""The relaxed permutation of one list, its numbers in their true order."""

import numpy as np

from examples.common import figures


def draw(outcomes):
    """Draws the matrix of one list for each count: a diagonal where the list is sorted.

    Args:
        outcomes: {count: `Outcome`}.

    Returns:
        figure: One image a count.
    """
    with figures.new_figure(2.4 * len(outcomes) + 0.5, 2.9) as figure:
        for axes, (count, outcome) in zip(
            figure.subplots(1, len(outcomes), squeeze=False)[0], outcomes.items(), strict=True
        ):
            order = np.argsort(outcome.numbers)
            axes.imshow(outcome.matrix[order], cmap="Blues", vmin=0.0, vmax=1.0)
            axes.set(title=f"{count} numbers", xlabel="place", xticks=[], yticks=[])
            axes.grid(False)
        figure.axes[0].set_ylabel("number, smallest first")
    return figure
