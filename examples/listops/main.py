"""Train a Gumbel Tree-LSTM on ListOps; flags only, the work is in train.py.

python -m examples.listops.main
python -m examples.listops.main --max_length=25 --estimator=reinmax --test_file=test_d20s.tsv.gz
"""

import dataclasses
import pathlib

from absl import flags

from examples.common import start
from examples.common.settings import define_flags, from_flags
from examples.listops import pictures, train

FLAGS = flags.FLAGS
_DEFAULTS = train.Settings()

define_flags(_DEFAULTS)
flags.DEFINE_integer("max_length", _DEFAULTS.max_length, "Tokens of a sentence.", lower_bound=2)
flags.DEFINE_enum("estimator", _DEFAULTS.estimator, train.estimators(), "Of the gradient.")
flags.DEFINE_float("temperature", None, "Temperature; none: the estimator's own.", lower_bound=0.0)
flags.DEFINE_string(
    "num_samples",
    "exact",
    'Draws of Gumbel-Rao, a count or "exact"; of an estimator on the loss, trees of a sentence.',
)
flags.DEFINE_integer("epochs", _DEFAULTS.epochs, "Over the training lines.", lower_bound=1)
flags.DEFINE_integer(
    "num_train", _DEFAULTS.num_train, "Training lines; 0: all that are drawn.", lower_bound=0
)
flags.DEFINE_integer("num_validation", _DEFAULTS.num_validation, "Lines held out.", lower_bound=1)
flags.DEFINE_string("test_file", None, "Lines 'label TAB expression'; none: drawn as the others.")
flags.DEFINE_integer("data_seed", _DEFAULTS.data_seed, "Of the lines that are drawn.")
flags.DEFINE_integer("units", _DEFAULTS.units, "Of embeddings and nodes.", lower_bound=1)
flags.DEFINE_string("run_dir", "runs/listops", "Checkpoints, events, picture, result.")


def settings_from_flags():
    """`train.Settings` of the flags."""
    settings = from_flags(train.Settings)
    num_samples = settings.num_samples
    return dataclasses.replace(
        settings, num_samples=num_samples if num_samples == "exact" else int(num_samples)
    )


def main():
    run_dir = pathlib.Path(FLAGS.run_dir)
    trained, result = train.run(settings_from_flags(), run_dir)
    path = pictures.draw(trained, run_dir)
    print("Picture:", path, sep="\n  ")
    print(f"validation error: {min(one['validation_error'] for one in trained.history):.2f}%")
    print(f"constituents of the true trees: {result['constituents']:.1f}%")
    print(f"test accuracy: {result['test_accuracy']:.2f}%")


if __name__ == "__main__":
    start.run(main)
