"""Learn to solve jigsaw puzzles of digits by Gumbel-Sinkhorn; flags only.

python -m examples.jigsaw.main
python -m examples.jigsaw.main --dataset=mnist --data_dir=... --grid=2 --grid=3
"""

import dataclasses
import pathlib

from absl import flags

from examples.common import figures, permutations, settings, start
from examples.common.console import console, table
from examples.jigsaw import pictures, puzzles, train

FLAGS = flags.FLAGS
_DEFAULTS = train.Settings()
# For the embedded digits: fewer images and smaller ones, more epochs.
SMALL = {"epochs": 60, "batch_size": 32, "hidden": 128}

flags.DEFINE_multi_integer(
    "grid", None, "Pieces on a side; repeat the flag. None: 2 and 4, of MNIST 2 and 3."
)
flags.DEFINE_enum("dataset", _DEFAULTS.dataset, puzzles.DATASETS, "Images.")
flags.DEFINE_string("data_dir", None, "Directory of TFDS data sets; none: TFDS's own.")
permutations.define_flags(_DEFAULTS)
flags.DEFINE_integer("filters", _DEFAULTS.filters, "Of the convolution.", lower_bound=1)
flags.DEFINE_integer("hidden", None, "Units after it.", lower_bound=1)
flags.DEFINE_integer("batch_size", None, "Puzzles of a step.", lower_bound=1)
flags.DEFINE_integer("epochs", None, "Of training.", lower_bound=1)
flags.DEFINE_float("learning_rate", _DEFAULTS.learning_rate, "Adam's first.", lower_bound=0.0)
flags.DEFINE_string("run_dir", "runs/jigsaw", "Runs, and the picture.")


def row(name, scores):
    """A line of the table."""
    errors = (f"{scores.kendall_tau:.3f}", f"{scores.l1:.4f}", f"{scores.l2:.4f}")
    return (name, f"{scores.wrong:.2%}", f"{scores.any_wrong:.1%}", *errors)


def main():
    run_dir, outcomes, rows = pathlib.Path(FLAGS.run_dir), {}, []
    chosen = settings.from_flags(train.Settings, SMALL)
    images = puzzles.load(chosen.dataset, chosen.data_dir)
    for grid in FLAGS.grid or puzzles.GRIDS[chosen.dataset]:
        one = dataclasses.replace(chosen, grid=grid)
        outcomes[grid] = train.train(one, run_dir / train.describe(one), images)
        rows.append(row(f"{grid} x {grid}", outcomes[grid].test))
        rows.append(row("  as scrambled", outcomes[grid].scrambled))
    path = figures.save(pictures.draw(outcomes), run_dir / "puzzles.png")
    headings = ("pieces", "wrong pieces", "puzzles with any", "Kendall tau", "l1", "l2")
    console().print(
        table(
            f"{len(images.test):,} test puzzles after {chosen.epochs} epochs",
            headings,
            rows,
            f"{chosen.estimator}, seed {chosen.seed}",
        )
    )
    print("Picture:", path, sep="\n  ")


if __name__ == "__main__":
    start.run(main)
