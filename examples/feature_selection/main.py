"""Learn which k of 64 pixels to look at, with each estimator of subsets; flags only.

python -m examples.feature_selection.main
python -m examples.feature_selection.main --estimator=simple_subset --k=8 --epochs=200
"""

import dataclasses
import pathlib

from absl import flags

from examples.common import figures, start
from examples.common.console import console, table
from examples.feature_selection import pictures, train

FLAGS = flags.FLAGS
_DEFAULTS = train.Settings()

flags.DEFINE_multi_enum(
    "estimator",
    [*train.ESTIMATORS, *train.BASELINES],
    [*train.ESTIMATORS, *train.BASELINES],
    "How pixels are chosen; repeat the flag. random, all: without learning.",
)
flags.DEFINE_integer("k", _DEFAULTS.k, "Pixels chosen.", lower_bound=1, upper_bound=64)
flags.DEFINE_float(
    "temperature", _DEFAULTS.temperature, "Of those that have one.", lower_bound=1e-3
)
flags.DEFINE_integer("epochs", _DEFAULTS.epochs, "Of training.", lower_bound=1)
flags.DEFINE_integer("batch_size", _DEFAULTS.batch_size, "Images of a step.", lower_bound=1)
flags.DEFINE_float("learning_rate", _DEFAULTS.learning_rate, "Of Adam.", lower_bound=0.0)
flags.DEFINE_integer("seed", _DEFAULTS.seed, "Of weights, order and noise.")
flags.DEFINE_string("run_dir", "runs/feature_selection", "Runs, and the pictures.")


def main():
    run_dir, data, outcomes, paths = pathlib.Path(FLAGS.run_dir), train.load(), {}, []
    for name in FLAGS.estimator:
        values = {
            field.name: FLAGS[field.name].value for field in dataclasses.fields(train.Settings)
        }
        settings = train.Settings(**{**values, "estimator": name})
        outcomes[name] = train.train(settings, run_dir / train.describe(settings), data)
        if name not in train.BASELINES:
            figure = pictures.draw(
                data, outcomes[name].chosen, f"{settings.k} of 64 pixels, {name}"
            )
            paths.append(figures.save(figure, run_dir / f"{name}.png"))
    rows = [
        (name, "64" if name == "all" else str(FLAGS.k), f"{outcome.accuracy:.1f}%")
        for name, outcome in outcomes.items()
    ]
    console().print(
        table(
            f"Test accuracy on {len(data.test_labels)} digits",
            ("chosen by", "pixels", "accuracy"),
            rows,
            f"{FLAGS.epochs} epochs, seed {FLAGS.seed}",
        )
    )
    if paths:
        print("Pictures:", *paths, sep="\n  ")


if __name__ == "__main__":
    start.run(main)
