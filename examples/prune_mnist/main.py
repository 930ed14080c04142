"""Prune an image classifier to an exact budget; flags only, the work is in train.py.

Without flags it is a demonstration on scikit-learn's digits: dense, pruned by magnitude, and with
learned masks at 2% of the weights; then the report, the pictures, and the exported file.

    python -m examples.prune_mnist.main
    python -m examples.prune_mnist.main --dataset=mnist --data_dir=$HOME/tensorflow_datasets \
        --k=0.01 --epochs=10
"""

import dataclasses
import pathlib

import tensorflow as tf
from absl import app, flags, logging
from rich.console import Console
from rich.table import Table

import tfgumbel
from examples.prune_mnist import data, models, pictures, train

FLAGS = flags.FLAGS
_DEFAULTS = train.Settings()

flags.DEFINE_enum("dataset", _DEFAULTS.dataset, data.DATASETS, "Images to classify.")
flags.DEFINE_string("data_dir", None, "Directory of TFDS data sets; none: TFDS's own.")
flags.DEFINE_string(
    "model", _DEFAULTS.model, f"One of {', '.join(models.NAMES)}, or the path of a .keras file."
)
flags.DEFINE_string("k", str(_DEFAULTS.k), "Weights kept: a fraction such as 0.02, or a count.")
flags.DEFINE_enum(
    "method", "all", ["all", *train.METHODS], "How to prune; all: dense, magnitude and learned."
)
flags.DEFINE_enum(
    "structure",
    _DEFAULTS.structure,
    ["unstructured", "1x4", "filter", "2:4"],
    "What is kept or dropped together; 1x4: blocks of four inputs, fast on CPUs.",
)
flags.DEFINE_enum("scope", _DEFAULTS.scope, ["global", "layer"], "One budget, or one a layer.")
flags.DEFINE_integer("epochs", _DEFAULTS.epochs, "Fine-tuning included.", lower_bound=1)
flags.DEFINE_integer("batch_size", _DEFAULTS.batch_size, "Images of a step.", lower_bound=1)
flags.DEFINE_float("learning_rate", None, "Peak rate of Adam; none: each method's own.")
flags.DEFINE_integer("num_samples", _DEFAULTS.num_samples, "Noise draws a step.", lower_bound=1)
flags.DEFINE_integer("validation", 0, "Test on the last so many training images instead.")
flags.DEFINE_integer("seed", _DEFAULTS.seed, "Of weights, order and noise.")
flags.DEFINE_enum("format", "litert", ["litert", "saved_model", "npz_csr"], "Of the export.")
flags.DEFINE_integer("verbose", 0, "As in Keras's fit: 0 silent, 1 bars, 2 lines.")
flags.DEFINE_string("run_dir", "runs/prune_mnist", "Models, pictures, results.")

SUFFIXES = {"litert": "model.tflite", "saved_model": "saved_model", "npz_csr": "model.npz"}


def settings_from_flags() -> train.Settings:
    values = {field.name: FLAGS[field.name].value for field in dataclasses.fields(train.Settings)}
    values["k"] = float(FLAGS.k) if "." in FLAGS.k or "e" in FLAGS.k else int(FLAGS.k)
    return train.Settings(**values)


def table_of(outcomes: list[train.Outcome]) -> Table:
    table = Table(title="test accuracy", title_justify="left")
    for name in ("method", "accuracy %", "weights kept", "density", "seconds"):
        table.add_column(name, justify="left" if name == "method" else "right")
    for outcome in outcomes:
        numbers = outcome.numbers
        density = 100 * numbers["kept"] / numbers["size"]
        table.add_row(
            outcome.method,
            f"{numbers['accuracy']:.2f}",
            f"{numbers['kept']:,}",
            f"{density:.2f}%",
            f"{numbers['seconds']:.1f}",
        )
    return table


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Flags only; received {argv[1:]}.")
    # Below this level every step of a conversion to LiteRT is reported.
    logging.set_verbosity(logging.WARNING)
    tf.get_logger().setLevel("WARNING")
    console = Console()
    settings = settings_from_flags()
    run_dir = pathlib.Path(FLAGS.run_dir)
    loaded = data.load(settings.dataset, settings.data_dir, settings.validation)
    methods = ("dense", "magnitude", "learned") if FLAGS.method == "all" else (FLAGS.method,)
    outcomes = []
    for method in methods:
        console.print(f"training: {method}, {settings.epochs} epochs ...")
        outcomes.append(train.train(settings, method, loaded, str(run_dir), FLAGS.verbose))
    console.print(table_of(outcomes))
    last = outcomes[-1]
    if last.method == "dense":
        return
    report = tfgumbel.sparsity_report(last.model)
    console.print(report)
    report.plot(run_dir / "report.png", last.history)
    saved = [run_dir / "report.png"]
    if pictures.draw_inputs(report, loaded.train_images.shape[1:], run_dir / "inputs.png"):
        saved.append(run_dir / "inputs.png")
    console.print(
        tfgumbel.export_sparse(last.model, run_dir / SUFFIXES[FLAGS.format], FLAGS.format)
    )
    console.print("pictures: " + ", ".join(map(str, saved)))


if __name__ == "__main__":
    app.run(main)
