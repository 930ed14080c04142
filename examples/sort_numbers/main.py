"""Learn to sort numbers by Gumbel-Sinkhorn; flags only.

python -m examples.sort_numbers.main
python -m examples.sort_numbers.main --count=80 --count=120 --learning_rate=0.03
"""

import dataclasses
import pathlib

from absl import flags

from examples.common import figures, permutations, start
from examples.common.console import console, table
from examples.sort_numbers import pictures, train

FLAGS = flags.FLAGS
_DEFAULTS = train.Settings()

flags.DEFINE_multi_integer("count", [5, 10, 15], "Numbers in a list; repeat the flag.")
permutations.define_flags(_DEFAULTS)
flags.DEFINE_integer("hidden", _DEFAULTS.hidden, "Units of the network.", lower_bound=1)
flags.DEFINE_integer("batch_size", _DEFAULTS.batch_size, "Lists of a step.", lower_bound=1)
flags.DEFINE_integer(
    "epochs", _DEFAULTS.epochs, f"Of {train.STEPS_PER_EPOCH} steps each.", lower_bound=1
)
flags.DEFINE_float("learning_rate", _DEFAULTS.learning_rate, "Of Adam.", lower_bound=0.0)
flags.DEFINE_integer("num_test", _DEFAULTS.num_test, "Lists of the test.", lower_bound=10)
flags.DEFINE_string("run_dir", "runs/sort_numbers", "Runs, and the picture.")


def main():
    run_dir, outcomes = pathlib.Path(FLAGS.run_dir), {}
    fields = [field.name for field in dataclasses.fields(train.Settings) if field.name != "count"]
    values = {name: FLAGS[name].value for name in fields}
    for count in FLAGS.count:
        settings = train.Settings(count=count, **values)
        outcomes[count] = train.train(settings, run_dir / train.describe(settings))
    path = figures.save(pictures.draw(outcomes), run_dir / "permutations.png")
    rows = [
        (str(count), f"{outcome.wrong:.2%}", f"{outcome.any_wrong:.1%}")
        for count, outcome in outcomes.items()
    ]
    console().print(
        table(
            f"Mistakes on {FLAGS.num_test} lists",
            ("numbers", "wrong numbers", "lists with any"),
            rows,
            f"{FLAGS.epochs * train.STEPS_PER_EPOCH:,} steps of {FLAGS.batch_size} lists, "
            f"seed {FLAGS.seed}",
        )
    )
    print("Picture:", path, sep="\n  ")


if __name__ == "__main__":
    start.run(main)
