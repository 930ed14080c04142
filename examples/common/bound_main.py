"""The flags and the course of examples whose model is a program of log weights."""

import dataclasses
import pathlib

import numpy as np
from absl import flags

from examples.common import binary_images, estimation, estimator, figures, settings
from examples.common.console import console, table

FLAGS = flags.FLAGS


def define_flags(defaults, run_dir):
    """Defines a flag for every field of `bound_training.BoundSettings`, and `--run_dir`.

    Args:
        defaults: the example's settings, of which the flags' defaults are taken.
        run_dir: default of `--run_dir`.
    """
    one = defaults
    settings.define_flags(one, binary_images.DATASETS)
    flags.DEFINE_enum("estimator", None, estimator.NAMES, "Gradient estimator; none: compare some.")
    estimation.define_flags(one)
    flags.DEFINE_enum(
        "binarization",
        one.binarization,
        ["fixed", "stochastic"],
        "Training pixels drawn once, or anew at every step; binarized_mnist comes fixed.",
    )
    flags.DEFINE_enum("variables", one.variables, ["bernoulli", "categorical"], "Hidden units.")
    flags.DEFINE_list("layers", None, "Logits of each stochastic layer.")
    flags.DEFINE_integer("classes", one.classes, "Of a categorical unit.", lower_bound=2)
    flags.DEFINE_bool("nonlinear", one.nonlinear, "Two tanh layers in each map between layers.")
    flags.DEFINE_integer("validation_samples", one.validation_samples, "Of a validation bound.")
    flags.DEFINE_integer("validation_images", None, "Images of a validation.")
    flags.DEFINE_integer("eval_samples", one.eval_samples, "Of the test bound.", lower_bound=1)
    flags.DEFINE_integer(
        "eval_images", None, "Evenly spaced images of the test; none: all.", lower_bound=2
    )
    flags.DEFINE_string("run_dir", run_dir, "Checkpoints, events, pictures, results.")


def settings_from_flags(kind, small):
    """Settings of a kind from the flags; those left out depend on the data set."""
    made = settings.from_flags(kind, small)
    return dataclasses.replace(
        made,
        layers=tuple(int(size) for size in made.layers),
        noise_samples=estimation.noise_samples(made.noise_samples),
    )


def report(results, bounds, title):
    """Prints the table: bounds, and the test's mean difference from the last row's, image by image,
    with its standard error."""
    last = list(results)[-1]
    one = results[last]
    rows = []
    for name, result in results.items():
        gap = bounds[name] - bounds[last]
        error = gap.std(ddof=1) / np.sqrt(len(gap))
        rows.append(
            (
                name,
                f"{min(entry['validation_bound'] for entry in result['history']):.2f}",
                f"{result['test_bound']:.2f}",
                "" if name == last else f"{gap.mean():+.2f} ± {error:.2f}",
                f"{1e3 * result['train_seconds'] / result['settings']['steps']:.1f}",
            )
        )
    headings = ("estimator", "validation", "test", "test minus last", "ms a step")
    title = f"{title} after {one['settings']['steps']:,} steps, lower is better"
    caption = f"{one['test_images']:,} test images, {one['test_samples']:,} samples of each"
    console().print(table(title, headings, rows, caption))


def compare(chosen, names, run_dir, *, run, draw, title):
    """Trains with one estimator or compares some; ends with a table and pictures.

    Args:
        chosen: `bound_training.BoundSettings`, but for the estimator.
        names: of the estimators.
        run_dir: folder of the one run, or of a folder for each.
        run: as the example's train.py has it.
        draw: callable (trained, folder) that saves one model's pictures and returns their paths.
        title: what the bound is on.
    """
    splits = binary_images.load(
        chosen.dataset,
        data_dir=chosen.data_dir,
        binarization=chosen.binarization,
        seed=chosen.seed,
    )
    run_dir = pathlib.Path(run_dir)
    results, bounds, paths = {}, {}, []
    for name in names:
        folder = run_dir / name if len(names) > 1 else run_dir
        one = dataclasses.replace(chosen, estimator=name)
        trained, results[name] = run(one, folder, splits=splits)
        bounds[name] = np.load(folder / "test_bounds.npy", allow_pickle=False)
        paths = draw(trained, folder)
    curves = {name: result["history"] for name, result in results.items()}
    paths.append(figures.validation_curves(curves, run_dir / "curves.png"))
    report(results, bounds, title)
    print("Pictures:", *paths, sep="\n  ")
