"""Samples from the priors, and one latent at a time moved through the values it may have."""

import numpy as np
import tensorflow as tf

from examples.common import figures
from examples.gaussian_vae import model as vae

STEPS = 9


def samples(models, splits, *, side=7, seed=0):
    """Test images, and mean pixels for codes drawn from the prior of every model.

    Args:
        models: {kind: model}.
        splits: `binary_images.Splits`.
        side: images in a row and in a column of each block.
        seed: of the draws.
    """
    blocks = {"test images": splits.test[: side * side]}
    for kind, model in models.items():
        codes = vae.prior(kind).sample(side * side, seed=[seed, 3])
        blocks[kind] = tf.sigmoid(vae.decode(model, codes)).numpy()
    with figures.new_figure(2.6 * len(blocks), 2.9) as figure:
        for axes, (title, pixels) in zip(
            figure.subplots(1, len(blocks), squeeze=False)[0], blocks.items(), strict=True
        ):
            axes.set_title(title)
            figures.show_tiles(axes, np.reshape(pixels, [side, side, -1]), splits.image_shape)
    return figure


def path(kind, steps=STEPS):
    """The values that a latent is moved through, shape (steps, *its shape), and what they are.

    Of a Gaussian its prior's quantiles; of a point in a triangle the way along two sides; of a
    class all there are.
    """
    if kind == "gaussian":
        quantiles = np.linspace(0.02, 0.98, steps, dtype=np.float32)
        # `prior` has a batch of variables, all alike.
        values = vae.prior(kind)[0].quantile(quantiles).numpy()
        return values, "2% to 98% of the prior"
    if kind == "dirichlet":
        way = np.linspace(0.0, 2.0, steps, dtype=np.float32)[:, np.newaxis]
        # How far the way is from each of the corners 0, 1 and 2.
        values = np.maximum(0.0, 1.0 - np.abs(way - np.arange(3, dtype=np.float32)))
        return values, "corner, corner, corner"
    classes = vae.KINDS[kind].code[-1]
    return np.eye(classes, dtype=np.float32), f"class 0 to {classes - 1}"


def traverse(model, kind, image, rows):
    """Mean pixels of an image's code with one latent moved, and which latents these are.

    Args:
        model: the trained model.
        kind: its latents.
        image: shape (pixels,).
        rows: how many latents; those that move the image most.

    Returns:
        pixels: shape (rows, steps, pixels).
        chosen: the latents' numbers.
    """
    q = vae.posterior(model, kind, tf.cast(image[np.newaxis], tf.float32))
    code = (q.mode() if kind == "discrete" else q.mean()).numpy()[0]
    values, _ = path(kind)
    count = len(code)
    codes = np.tile(code, (count, len(values)) + (1,) * code.ndim).astype(np.float32)
    for latent in range(count):
        codes[latent, :, latent] = values
    pixels = tf.sigmoid(vae.decode(model, codes)).numpy()
    chosen = np.argsort(-pixels.var(axis=1).sum(axis=-1))[:rows]
    return pixels[chosen], chosen


def traversal(models, splits, *, rows=5, index=0):
    """A row for each of the latents that move a test image most, a block for each kind."""
    with figures.new_figure(3.4 * len(models), 2.6) as figure:
        for axes, (kind, model) in zip(
            figure.subplots(1, len(models), squeeze=False)[0], models.items(), strict=True
        ):
            pixels, chosen = traverse(model, kind, splits.test[index], rows)
            figures.show_tiles(axes, pixels, splits.image_shape)
            height = splits.image_shape[0] + 1
            axes.set_yticks(height * (np.arange(len(chosen)) + 0.5), [f"z{j}" for j in chosen])
            axes.tick_params(length=0, labelsize=7)
            axes.set(title=kind, xlabel=path(kind)[1])
    return figure
