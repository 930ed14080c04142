"""Pictures of a trained model: reconstructions, samples, traversals."""

import numpy as np
import tensorflow as tf

from examples.common import figures


def draw(trained, folder):
    """Leaves the pictures of a run in full; returns their paths."""
    splits, model = trained.splits, trained.model
    names = ("reconstructions", "samples", "traversal")
    paths = {name: folder / f"{name}.png" for name in names}
    reconstructions(model, splits.test[:12], splits.image_shape, paths["reconstructions"])
    samples(model, splits.image_shape, paths["samples"])
    traversal(model, splits.test[0], splits.image_shape, paths["traversal"])
    return list(paths.values())


def reconstructions(model, images, shape, path, *, seed=0):
    """Test images above the mean pixels of p(x | D) for one draw of D from q(D | x)."""
    images = tf.cast(images, tf.float32)
    means = tf.sigmoid(model(images, tf.constant([seed, 1]))).numpy()
    figure, axes = figures.image_grid(2, len(images))
    for column in range(len(images)):
        figures.show(axes[0, column], images[column], shape)
        figures.show(axes[1, column], means[column], shape)
    axes[0, 0].set_ylabel("image", fontsize=8)
    axes[1, 0].set_ylabel("p(x | D)", fontsize=8)
    figures.save(figure, path)


def samples(model, shape, path, *, rows=6, columns=12, seed=0):
    """Mean pixels of p(x | D) for D drawn from the prior."""
    means = model.generate(rows * columns, tf.constant([seed, 2])).numpy()
    figure, grid = figures.image_grid(rows, columns)
    for axes, pixels in zip(grid.flat, means, strict=True):
        figures.show(axes, pixels, shape)
    figures.save(figure, path)


def traversal(model, image, shape, path, *, rows=8):
    """One image's most probable D, one variable at a time set to each of its classes.

    The rows are the variables whose change moves the image most; a red frame marks the class that
    the posterior prefers.
    """
    logits = model.posterior_logits(tf.cast(image[np.newaxis], tf.float32))
    classes = tf.argmax(logits[0], axis=-1, output_type=tf.int32).numpy()
    changed = np.tile(classes, (model.num_variables, model.arity, 1))
    for variable in range(model.num_variables):
        changed[variable, :, variable] = np.arange(model.arity)
    codes = tf.one_hot(changed.reshape(-1, model.num_variables), model.arity)
    means = tf.sigmoid(model.decode(codes)).numpy()
    means = means.reshape(model.num_variables, model.arity, -1)
    influence = means.var(axis=1).sum(axis=-1)
    chosen = np.argsort(-influence)[: min(rows, model.num_variables)]
    figure, grid = figures.image_grid(len(chosen), model.arity)
    for row, variable in enumerate(chosen):
        for column in range(model.arity):
            figures.show(grid[row, column], means[variable, column], shape)
        for spine in grid[row, classes[variable]].spines.values():
            spine.set_color("red")
            spine.set_linewidth(1.5)
        grid[row, 0].set_ylabel(f"D{variable}", fontsize=8, rotation=0, ha="right", va="center")
    for column in range(model.arity):
        grid[0, column].set_title(str(column), fontsize=8)
    figures.save(figure, path)
