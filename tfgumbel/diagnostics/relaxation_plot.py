"""What temperature does to Gumbel-Softmax samples."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics import style
from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.estimators import gumbel_softmax
from tfgumbel.internal import random

SHOWN = 10


def plot_gumbel_softmax_samples(
    logits: Any,
    temperatures: Sequence[float] = (0.1, 0.5, 1.0, 10.0),
    *,
    num_samples: int = 1000,
    seed: Any = 0,
) -> Any:
    """Draws samples at several temperatures, and their mean beside the classes' probabilities.

    From cold to hot, samples go from one-hot to uniform, and their mean from softmax(logits) to
    uniform. All temperatures share the same noise.

    Args:
        logits: Shape (num_classes,).
        temperatures: One column each.
        num_samples: Samples of which the mean is taken; the first 10 are shown.
        seed: Int, pair of ints, or integer tensor of shape [2].

    Returns:
        figure: A matplotlib Figure.

    References: Jang, Gu & Poole, ICLR 2017, figure 1.
    """
    logits = ONE_HOT_CATEGORICAL.check(logits)
    seed = random.normalize_seed(seed)
    repeated = tf.broadcast_to(logits, [num_samples, logits.shape[0]])
    probs = ONE_HOT_CATEGORICAL.probabilities(logits).numpy()
    classes = np.arange(len(probs))
    with style.new_figure(height=4.1) as figure:
        axes = figure.subplots(
            2, len(temperatures), squeeze=False, sharex=True, height_ratios=(1.25, 1.0)
        )
        for (samples_axes, mean_axes), temperature in zip(axes.T, temperatures, strict=True):
            samples = gumbel_softmax(repeated, temperature=temperature, seed=seed).numpy()
            image = samples_axes.imshow(
                samples[:SHOWN], vmin=0.0, vmax=1.0, cmap="Blues", aspect="auto"
            )
            samples_axes.set_title(f"temperature {temperature:g}")
            samples_axes.set_yticks([])
            samples_axes.grid(False)
            samples_axes.tick_params(bottom=False)
            samples_axes.spines[:].set_visible(True)
            mean_axes.bar(
                classes, samples.mean(0), color=style.COLORS[0], width=0.75, label="mean of samples"
            )
            mean_axes.plot(
                classes, probs, "o", color=style.COLORS[1], label="softmax(logits)", clip_on=False
            )
            mean_axes.set_xticks(classes)
            mean_axes.set_xlabel("class")
            mean_axes.grid(False, axis="x")
            mean_axes.sharey(axes[1, 0])
            mean_axes.label_outer()
        axes[0, 0].set_ylabel(f"{SHOWN} samples, one a row")
        axes[1, 0].set_ylabel("probability")
        handles, names = axes[1, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=2)
        figure.colorbar(image, ax=axes[0], label="entry of the sample", pad=0.02, aspect=12)
    return figure
