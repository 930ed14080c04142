"""Train a variational auto-encoder with discrete latents; flags only, the work is in train.py.

Without flags it is a demonstration: straight-through, straight-through Gumbel-Softmax and exact
Gumbel-Rao, the same steps each, on scikit-learn's digits.

    python -m examples.discrete_vae.main
    python -m examples.discrete_vae.main --estimator=gumbel_rao --dataset=binarized_mnist \
        --data_dir=$HOME/tensorflow_datasets
"""

import dataclasses
import pathlib

import numpy as np
from absl import flags

from examples.common import binary_images, estimator, figures, start
from examples.common.console import console, table
from examples.common.settings import define_flags, from_flags
from examples.discrete_vae import pictures, train

DEMO = ("straight_through", "straight_through_gumbel_softmax", "gumbel_rao")
# What differs from the paper's settings for 1,197 images of 8x8 pixels; chosen on validation.
SMALL = {
    "steps": 6_000,
    "latent_bits": 48,
    "hidden_units": (200,),
    "learning_rate": 1e-2,
    "eval_every": 1_000,
    "validation_images": 300,
}

FLAGS = flags.FLAGS
_DEFAULTS = train.Settings()

define_flags(_DEFAULTS, binary_images.DATASETS)
flags.DEFINE_enum("estimator", None, estimator.NAMES, "Gradient estimator; none: compare three.")
estimator.define_flags(_DEFAULTS)
flags.DEFINE_enum(
    "binarization",
    _DEFAULTS.binarization,
    ["fixed", "stochastic"],
    "Training pixels drawn once, or anew at every step; binarized_mnist comes fixed.",
)
flags.DEFINE_integer("arity", _DEFAULTS.arity, "Classes of each variable.", lower_bound=2)
flags.DEFINE_integer("variables", None, "Their number; none: that of --latent_bits.", lower_bound=1)
flags.DEFINE_integer("latent_bits", None, "Variables times log2(arity).", lower_bound=1)
flags.DEFINE_list("hidden_units", None, "Widths of the encoder; the decoder mirrors them.")
flags.DEFINE_boolean("learned_prior", _DEFAULTS.learned_prior, "Train the prior's logits.")
flags.DEFINE_integer("validation_samples", _DEFAULTS.validation_samples, "Of a validation bound.")
flags.DEFINE_integer("validation_images", None, "Images of a validation.")
flags.DEFINE_integer("eval_samples", _DEFAULTS.eval_samples, "Of the test bound.", lower_bound=1)
flags.DEFINE_integer("eval_images", None, "Evenly spaced of the test; none: all.", lower_bound=2)
flags.DEFINE_string("run_dir", "runs/discrete_vae", "Checkpoints, events, pictures, results.")


def settings_from_flags():
    """`train.Settings` of the flags; those left out depend on the data set."""
    settings = from_flags(train.Settings, SMALL)
    return dataclasses.replace(
        settings,
        hidden_units=tuple(int(units) for units in settings.hidden_units),
        num_samples=estimator.parse_num_samples(settings.num_samples),
    )


def report(results, bounds):
    """Prints the table: bounds, and the test's mean difference from the last row's, image by image,
    with its standard error."""
    last = list(results)[-1]
    one = results[last]
    rows = []
    for name, result in results.items():
        gap = bounds[name] - bounds[last]
        error = gap.std(ddof=1) / np.sqrt(len(gap))
        temperature = result["settings"]["temperature"]
        rows.append(
            (
                name,
                "" if temperature is None else f"{temperature:g}",
                f"{min(entry['validation_bound'] for entry in result['history']):.2f}",
                f"{result['test_bound']:.2f}",
                "" if name == last else f"{gap.mean():+.2f} ± {error:.2f}",
            )
        )
    headings = ("estimator", "temperature", "validation", "test", "test minus last")
    title = f"Bound on -log p(x) after {one['settings']['steps']:,} steps, lower is better"
    caption = f"{one['test_images']:,} test images, {one['test_samples']:,} samples of each"
    console().print(table(title, headings, rows, caption))


def main():
    settings = settings_from_flags()
    names = [FLAGS.estimator] if FLAGS.estimator else DEMO
    splits = binary_images.load(
        settings.dataset,
        data_dir=settings.data_dir,
        binarization=settings.binarization,
        seed=settings.seed,
    )
    results, bounds, paths = {}, {}, []
    for name in names:
        run_dir = pathlib.Path(FLAGS.run_dir)
        if len(names) > 1:
            run_dir /= name
        one = dataclasses.replace(settings, estimator=name)
        training, results[name] = train.run(one, run_dir, splits=splits)
        bounds[name] = np.load(run_dir / "test_bounds.npy", allow_pickle=False)
        paths = pictures.draw(training, run_dir)
    curves = pathlib.Path(FLAGS.run_dir) / "curves.png"
    figures.validation_curves({name: result["history"] for name, result in results.items()}, curves)
    report(results, bounds)
    print("Pictures:", *[*paths, curves], sep="\n  ")


if __name__ == "__main__":
    start.run(main)
