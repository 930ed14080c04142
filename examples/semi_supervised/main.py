"""Classify digits of which 100 have labels; flags only, the work is in train.py.

Without flags it is a demonstration on scikit-learn's digits: the class is summed over, or drawn by
Gumbel-Softmax, straight-through Gumbel-Softmax and exact Gumbel-Rao, the same steps each.

    python -m examples.semi_supervised.main
    python -m examples.semi_supervised.main --estimator=reinmax --dataset=mnist \
        --data_dir=$HOME/tensorflow_datasets
"""

import dataclasses
import pathlib

from absl import flags

from examples.common import estimator, figures, start
from examples.common.console import console, table
from examples.common.settings import define_flags, from_flags
from examples.semi_supervised import data, pictures, train

DEMO = ("enumeration", "gumbel_softmax", "straight_through_gumbel_softmax", "gumbel_rao")
# What differs for 1,197 images of 8x8 pixels; chosen on validation.
SMALL = {
    "steps": 4_000,
    "batch_size": 50,
    "labelled_batch": 20,
    "label_weight": 50.0,
    "learning_rate": 1e-3,
    "style_size": 8,
    "style_weight": 1.0,
    "hidden_units": (128,),
    "eval_every": 1_000,
}

FLAGS = flags.FLAGS


def define():
    """Defines the command's flags."""
    one = train.Settings()
    define_flags(one, data.DATASETS)
    flags.DEFINE_enum("estimator", None, estimator.NAMES, "Gradient estimator; none: compare four.")
    estimator.define_flags(one)
    flags.DEFINE_integer("num_labels", one.num_labels, "Training images with a label.")
    flags.DEFINE_integer("labelled_batch", None, "Of them in a step.", lower_bound=1)
    flags.DEFINE_float(
        "labelled_weight",
        one.labelled_weight,
        "Of their bound, against one of an unlabelled image; none: their share of the data.",
        lower_bound=0.0,
    )
    flags.DEFINE_float("label_weight", None, "Of their cross-entropy.", lower_bound=0.0)
    flags.DEFINE_integer("style_size", None, "Dimensions of the style.", lower_bound=1)
    flags.DEFINE_float(
        "style_weight",
        None,
        "Of the style's divergence in the first step; it falls to 1 in two thirds of the steps.",
        lower_bound=0.0,
    )
    flags.DEFINE_float("class_scale", None, "Length of the class's vector in the decoder's input.")
    flags.DEFINE_list("hidden_units", None, "Widths of the hidden layers of all networks.")
    flags.DEFINE_integer("validation_images", None, "Images of a validation while training.")
    flags.DEFINE_integer("eval_images", None, "First images of the test; none: all.", lower_bound=1)
    flags.DEFINE_string("run_dir", "runs/semi_supervised", "Checkpoints, pictures, results.")


def settings_from_flags():
    """`train.Settings` of the flags; those left out depend on the data set."""
    settings = from_flags(train.Settings, SMALL)
    return dataclasses.replace(
        settings,
        hidden_units=tuple(int(units) for units in settings.hidden_units),
        num_samples=estimator.parse_num_samples(settings.num_samples),
    )


def report(results):
    """Prints the table: bounds, accuracies, and what training took."""
    rows = []
    for name, result in results.items():
        settings = result["settings"]
        temperature = settings["temperature"]
        falls = "1 to " if settings["anneal_rate"] else ""
        seconds = result.get("processor_seconds")
        rows.append(
            (
                name,
                "" if temperature is None else f"{falls}{temperature:g}",
                f"{result['validation_bound']:.2f}",
                f"{result['test_bound']:.2f}",
                f"{100.0 * result['validation_accuracy']:.1f}",
                f"{100.0 * result['test_accuracy']:.1f}",
                "" if seconds is None else f"{seconds:.0f}",
            )
        )
    headings = (
        "estimator",
        "temperature",
        "validation bound",
        "test bound",
        "validation accuracy %",
        "test accuracy %",
        "CPU seconds",
    )
    settings = result["settings"]
    title = f"{settings['num_labels']} labels, {settings['steps']:,} steps"
    caption = "Bounds on -log p(x) in nats, lower is better, the class summed over"
    console().print(table(title, headings, rows, caption))


def compare(settings, names, folder):
    """Runs the estimators of these names in a folder; prints the table and draws the pictures."""
    digits = data.load(
        settings.dataset,
        data_dir=settings.data_dir,
        num_labels=settings.num_labels,
        seed=settings.seed,
    )
    results = {}
    folder = pathlib.Path(folder)
    for name in names:
        run_dir = folder / name if len(names) > 1 else folder
        one = dataclasses.replace(settings, estimator=name)
        trained, results[name] = train.run(one, run_dir, data=digits)
    paths = [pictures.draw(trained, run_dir), folder / "curves.png"]
    figures.validation_curves(
        {name: result["history"] for name, result in results.items()}, paths[1]
    )
    report(results)
    print("Pictures:", *paths, sep="\n  ")


def main():
    names = [FLAGS.estimator] if FLAGS.estimator else DEMO
    compare(settings_from_flags(), names, FLAGS.run_dir)


if __name__ == "__main__":
    define()
    start.run(main)
