"""Which pixels a pruned network still looks at."""

import math
import pathlib
from typing import Any

import numpy as np

from examples.common import figures


def draw_inputs(report: Any, image_shape: tuple[int, ...], path: pathlib.Path) -> bool:
    """Draws how many weights of the first layer are kept for each pixel.

    Args:
        report: a `tfgumbel.sparsity_report` of the pruned model.
        image_shape: `(height, width, channels)`.
        path: where to save the picture.

    Returns:
        drawn: False, and no file, if the first layer is no matrix with a row for each pixel.
    """
    first = report.targets[0]
    if len(first.shape) != 2 or first.shape[0] != math.prod(image_shape):
        return False
    counts = first.mask.sum(axis=1).reshape(image_shape).sum(axis=-1)
    with figures.new_figure(4.2, 3.6) as figure:
        axes = figure.subplots()
        image = axes.imshow(counts, cmap="Blues", vmin=0)
        axes.set_title(f"weights kept for each pixel, of {first.shape[1]}")
        axes.set(xticks=[], yticks=[])
        figure.colorbar(image, ax=axes)
        figures.save(figure, path)
    return bool(np.any(counts))
