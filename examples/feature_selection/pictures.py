"""What was chosen: in single images, and on average for each digit."""

import numpy as np

from examples.common import figures
from examples.feature_selection.train import NUM_CLASSES, SIDE


def draw(data, chosen, title):
    """Draws an image of each digit with its chosen pixels, and how often each pixel is chosen.

    Args:
        data: `Data`.
        chosen: Zeros and ones, shape (test images, 64).
        title: Of the picture.

    Returns:
        figure: Two rows of ten images.
    """
    figure, axes = figures.image_grid(2, NUM_CLASSES, size=0.9)
    figure.suptitle(title)
    for digit in range(NUM_CLASSES):
        of_digit = np.flatnonzero(data.test_labels == digit)
        first, second = axes[:, digit]
        for axis in (first, second):
            axis.set(xticks=[], yticks=[])
        if not len(of_digit):
            continue
        first.imshow(data.test_images[of_digit[0]].reshape(SIDE, SIDE), cmap="gray_r")
        rows, columns = np.nonzero(chosen[of_digit[0]].reshape(SIDE, SIDE))
        first.scatter(columns, rows, s=16, marker="s", facecolors="none", edgecolors="#D55E00")
        second.imshow(
            chosen[of_digit].mean(0).reshape(SIDE, SIDE), cmap="Blues", vmin=0.0, vmax=1.0
        )
    axes[0, 0].set_ylabel("an image", fontsize=8)
    axes[1, 0].set_ylabel("how often", fontsize=8)
    return figure
