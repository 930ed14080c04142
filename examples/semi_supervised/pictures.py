"""Pictures of the semi-supervised model: analogies, speed against classes."""

import numpy as np
import tensorflow as tf
from matplotlib import ticker

from examples.common import figures


def draw(trained, folder):
    """Leaves the picture of a run, one test digit of every class; returns its path."""
    images, classes = trained.digits.test
    path = folder / "analogies.png"
    analogies(trained.model, images[one_of_each(classes)], trained.digits.image_shape, path)
    return path


def analogies(model, images, shape, path):
    """Digits redrawn as every class: one style a row, one class a column, the image at the left.

    The style is the mean of q(z | x, y) at the class that the classifier prefers, which has a red
    frame.
    """
    images = tf.cast(images, tf.float32)
    count, num_classes = len(images), model.num_classes
    guesses = tf.argmax(model.class_logits(images), axis=-1).numpy()
    style, _ = model.style(images, tf.one_hot(guesses, num_classes))
    classes = tf.tile(tf.eye(num_classes), [count, 1])
    means = tf.sigmoid(model.decode(classes, tf.repeat(style, num_classes, axis=0)))
    means = means.numpy().reshape(count, num_classes, *shape)
    figure, grid = figures.image_grid(count, num_classes + 1)
    for row in range(count):
        figures.show(grid[row, 0], images[row], shape)
        for column in range(num_classes):
            figures.show(grid[row, column + 1], means[row, column], shape)
        for spine in grid[row, guesses[row] + 1].spines.values():
            spine.set_color("red")
            spine.set_linewidth(1.5)
    grid[0, 0].set_title("image", fontsize=8)
    for column in range(num_classes):
        grid[0, column + 1].set_title(str(column), fontsize=8)
    figures.save(figure, path)


def one_of_each(classes):
    """Index of the first image of every class, in order."""
    return np.array([np.flatnonzero(classes == one)[0] for one in np.unique(classes)])


def speed(results, path):
    """Steps per second against the number of classes, a line for each estimator."""
    with figures.new_figure(6.0, 3.6) as figure:
        axes = figure.subplots()
        for name in dict.fromkeys(row["estimator"] for row in results["rows"]):
            rows = [row for row in results["rows"] if row["estimator"] == name]
            counts = [row["num_classes"] for row in rows]
            axes.plot(counts, [row["steps_per_second"] for row in rows], marker=".", label=name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axes.minorticks_off()
        axes.set(xlabel="classes", ylabel="steps per second of one core")
        axes.legend()
        figures.save(figure, path)
