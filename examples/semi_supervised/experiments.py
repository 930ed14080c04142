"""The runs on MNIST beside the paper's, by one command that may be stopped and started again.

    python -m examples.semi_supervised.experiments --data_dir=$DATA_DIR

leaves runs/semi_supervised_experiments, results/mnist.json and README's table.
"""

import dataclasses
import functools
import pathlib

from absl import flags

from examples.common import sweep
from examples.semi_supervised import data, pictures, train

FLAGS = flags.FLAGS
HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "mnist.json"
BASE = train.Settings(dataset="mnist")
# Jang, Gu and Poole 2017, section 4.3: ELBO, negated, and accuracy.
PAPER = {
    "enumeration": ("106.8", "92.6%"),
    "gumbel_softmax": ("109.6", "92.4%"),
    "straight_through_gumbel_softmax": ("110.7", "93.6%"),
    "gumbel_rao": ("", ""),
    "reinmax": ("", ""),
}
# The sum over the classes takes longest.
ORDER = (*list(PAPER)[1:], "enumeration")


def job(estimator, seed=0):
    """One run; seeds differ in the images that have labels too."""
    settings = dataclasses.replace(BASE, estimator=estimator, seed=seed)
    return sweep.Job(estimator, settings, rate=BASE.learning_rate)


def jobs():
    """All runs, the most wanted first."""
    return [job(estimator, seed) for seed in (0, 1) for estimator in ORDER]


def table(entries):
    """README's table, of the runs that there are."""
    rows = []
    for estimator, paper in PAPER.items():
        found = [entry for entry in entries if entry["name"] == estimator]
        if not found:
            continue
        bounds, right = ([entry[one] for entry in found] for one in ("test_bound", "test_accuracy"))
        known = [100.0 * entry["validation_accuracy"] for entry in found]
        seconds = sum(entry["train_seconds"] for entry in found) / len(found)
        rows.append(
            [
                f"`{estimator}`",
                sweep.mean_and_range(bounds),
                paper[0],
                sweep.mean_and_range(known),
                sweep.mean_and_range([100.0 * one for one in right]),
                paper[1],
                f"{seconds:.0f}",
            ]
        )
    headings = ["the class is drawn by", "test bound", "paper", "validation accuracy, %"]
    return sweep.markdown([*headings, "test accuracy, %", "paper", "seconds"], rows)


@functools.lru_cache(maxsize=1)
def _digits(num_labels, seed, data_dir):
    return data.load("mnist", data_dir=data_dir, num_labels=num_labels, seed=seed)


def load(settings):
    """The digits of a run."""
    return _digits(settings.num_labels, settings.seed, FLAGS.data_dir)


def run(settings, folder, *, splits, evaluate):
    """One run; `evaluate` is always asked for, since no rate is tried."""
    return train.run(settings, folder, data=splits)


def publish(entries):
    """Writes the results and README's table."""
    sweep.publish(entries, table, RESULTS, HERE / "README.md")


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "Directory of TFDS data sets; none: TFDS's own.")
    sweep.command(
        "runs/semi_supervised_experiments",
        jobs(),
        run,
        pictures.draw,
        publish,
        load=load,
    )
