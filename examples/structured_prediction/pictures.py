"""The picture of a trained model: completions."""

import numpy as np
import tensorflow as tf

import tfgumbel
from examples.common import figures


def completions(model, images, shape, path, *, samples=5, seed=0):
    """Lower halves drawn from the model below the upper halves that were given.

    A row an image: the upper half, its completions (pixels drawn), their mean over 200 drawings of
    the hidden units, and the image itself. Returns the path.
    """
    images = tf.cast(images, tf.float32)
    inputs = model.inputs(images)
    upper = np.asarray(inputs["upper"])

    def lower_probs(count, seed):
        drawn = []

        def program(draw, inputs):
            drawn.append(tf.sigmoid(model.lower_logits(draw, inputs["logits"])))
            return tf.reduce_mean(drawn[0], axis=-1)

        tfgumbel.expectation(
            program, inputs, estimator="reinforce", num_samples=count, seed=[seed, count]
        )
        return tf.reshape(drawn[0], [count, len(upper), -1])

    probs = lower_probs(samples, seed)
    noise = tf.random.stateless_uniform(tf.shape(probs), [seed, 3])
    lower = tf.cast(noise < probs, tf.float32).numpy()
    mean = tf.reduce_mean(lower_probs(200, seed), axis=0).numpy()
    columns = [np.zeros_like(lower[0]), *lower, mean, np.asarray(inputs["lower"])]
    titles = ["given", *(f"sample {index + 1}" for index in range(samples)), "mean", "image"]
    figure, grid = figures.image_grid(len(upper), len(columns))
    for column, (title, halves) in enumerate(zip(titles, columns, strict=True)):
        grid[0, column].set_title(title, fontsize=8)
        for row, half in enumerate(halves):
            figures.show(grid[row, column], np.concatenate([upper[row], half]), shape)
            if column == 0:
                figures.shade_lower_half(grid[row, column], shape)
    return figures.save(figure, path)


def draw(trained, folder):
    """Saves the picture of a trained model, on test images; returns its path in a list."""
    splits = trained.splits
    images = splits.test[: 8 * 7 : 7]
    return [completions(trained.model, images, splits.image_shape, folder / "completions.png")]
