"""Prune an image classifier to an exact budget; flags only, the work is in train.py.

Without flags it is a demonstration on scikit-learn's digits: dense, pruned by magnitude, and with
learned masks at 2% of the weights; then the report, the pictures, and the exported file.

    python -m examples.prune_mnist.main
    python -m examples.prune_mnist.main --dataset=mnist --data_dir=$HOME/tensorflow_datasets \
        --k=0.01 --epochs=10
"""

import dataclasses
import pathlib

from absl import flags

import tfgumbel
from examples.common import start
from examples.common.console import console, table
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
flags.DEFINE_string("run_dir", "runs/prune_mnist", "Models, pictures, results.")

SUFFIXES = {"litert": "model.tflite", "saved_model": "saved_model", "npz_csr": "model.npz"}


def settings_from_flags() -> train.Settings:
    values = {field.name: FLAGS[field.name].value for field in dataclasses.fields(train.Settings)}
    values["k"] = float(FLAGS.k) if "." in FLAGS.k or "e" in FLAGS.k else int(FLAGS.k)
    return train.Settings(**values)


def row_of(outcome: train.Outcome) -> tuple[str, ...]:
    """A method's row of the table."""
    numbers = outcome.numbers
    density = 100 * numbers["kept"] / numbers["size"]
    return (
        outcome.method,
        f"{numbers['accuracy']:.2f}%",
        f"{numbers['kept']:,}",
        f"{density:.2f}%",
        f"{numbers['seconds']:.1f}",
    )


def main():
    out = console()
    settings = settings_from_flags()
    run_dir = pathlib.Path(FLAGS.run_dir)
    loaded = data.load(settings.dataset, settings.data_dir, settings.validation)
    methods = ("dense", "magnitude", "learned") if FLAGS.method == "all" else (FLAGS.method,)
    outcomes = [train.train(settings, method, loaded, str(run_dir)) for method in methods]
    headings = ("method", "accuracy", "weights kept", "density", "seconds")
    out.print(table("Test accuracy", headings, map(row_of, outcomes)))
    last = outcomes[-1]
    if last.method == "dense":
        return
    report = tfgumbel.sparsity_report(last.model)
    out.print(report)
    report.plot(run_dir / "report.png", last.history)
    saved = [run_dir / "report.png"]
    if pictures.draw_inputs(report, loaded.train_images.shape[1:], run_dir / "inputs.png"):
        saved.append(run_dir / "inputs.png")
    out.print(tfgumbel.export_sparse(last.model, run_dir / SUFFIXES[FLAGS.format], FLAGS.format))
    print("Pictures:", *saved, sep="\n  ")


if __name__ == "__main__":
    start.run(main)
