"""The picture of a trained model: samples."""

import tensorflow as tf

from examples.common import figures


def samples(model, shape, path, *, rows=6, columns=12, seed=0):
    """Mean pixels of p(x | h_1) for hidden units drawn from the model. Returns the path."""
    means = model.generate(rows * columns, tf.constant([seed, 2])).numpy()
    figure, grid = figures.image_grid(rows, columns)
    for axes, pixels in zip(grid.flat, means, strict=True):
        figures.show(axes, pixels, shape)
    return figures.save(figure, path)


def draw(trained, folder):
    """Saves the picture of a trained model; returns its path in a list."""
    return [samples(trained.model, trained.splits.image_shape, folder / "samples.png")]
