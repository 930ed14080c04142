"""Predict the lower half of an image from the upper half; flags only, the work is in train.py.

Without flags it is a demonstration: five estimators, the same steps each, on scikit-learn's digits.

    python -m examples.structured_prediction.main
    python -m examples.structured_prediction.main --estimator=vimco --num_samples=5 \
        --dataset=binarized_mnist --data_dir=$HOME/tensorflow_datasets
"""

from absl import flags

from examples.common import bound_main, start
from examples.structured_prediction import pictures, train

DEMO = ("reinforce_baseline", "nvil", "muprop", "straight_through", "gumbel_rao")
TITLE = "Bound on -log p(lower half | upper half)"
# What differs from the settings for MNIST, for 1,197 images of 8x8 pixels.
SMALL = {
    "steps": 3_000,
    "layers": (64, 64),
    "learning_rate": 1e-2,
    "eval_every": 500,
    "validation_images": 300,
}

FLAGS = flags.FLAGS
bound_main.define_flags(train.Settings(), "runs/structured_prediction")


def main():
    settings = bound_main.settings_from_flags(train.Settings, SMALL)
    names = [FLAGS.estimator] if FLAGS.estimator else DEMO
    options = {"run": train.run, "draw": pictures.draw, "title": TITLE}
    bound_main.compare(settings, names, FLAGS.run_dir, **options)


if __name__ == "__main__":
    start.run(main)
