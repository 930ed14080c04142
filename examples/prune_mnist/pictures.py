"""Which pixels a pruned network still looks at."""

import math
import pathlib

import numpy as np

from pruning import SparsityReport
from tfgumbel.internal.files import save_figure


def draw_inputs(report: SparsityReport, image_shape: tuple[int, ...], path: pathlib.Path) -> bool:
    """Draws how many weights of the first layer are kept for each pixel.

    Args:
        report: of the pruned model.
        image_shape: `(height, width, channels)`.
        path: where to save the picture.

    Returns:
        drawn: False, and no file, if the first layer is no matrix with a row for each pixel.
    """
    from matplotlib.figure import Figure

    first = report.targets[0]
    if len(first.shape) != 2 or first.shape[0] != math.prod(image_shape):
        return False
    counts = first.mask.sum(axis=1).reshape(image_shape).sum(axis=-1)
    figure = Figure(figsize=(4.2, 3.6), layout="constrained")
    ax = figure.subplots()
    image = ax.imshow(counts, cmap="Blues", vmin=0)
    ax.set_title(f"weights kept for each pixel, of {first.shape[1]}", loc="left", fontsize=10)
    ax.set_xticks([])
    ax.set_yticks([])
    figure.colorbar(image, ax=ax)
    save_figure(figure, path)
    return bool(np.any(counts))
