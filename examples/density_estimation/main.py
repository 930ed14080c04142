"""Model the density of binary images; flags only, the work is in train.py.

Without flags it is a demonstration: five estimators, the same steps each, on scikit-learn's digits.

    python -m examples.density_estimation.main
    python -m examples.density_estimation.main --estimator=vimco --num_samples=5 --layers=200,200 \
        --dataset=binarized_mnist --data_dir=$HOME/tensorflow_datasets
"""

from absl import flags

from examples.common import bound_main, start
from examples.density_estimation import pictures, train

DEMO = ("nvil", "disarm", "gumbel_softmax", "straight_through", "gumbel_rao")
TITLE = "Bound on -log p(x)"
# What differs from the settings for MNIST, for 1,197 images of 8x8 pixels.
SMALL = {
    "steps": 3_000,
    "layers": (64,),
    "learning_rate": 1e-2,
    "eval_every": 500,
    "validation_images": 300,
}

FLAGS = flags.FLAGS
_DEFAULTS = train.Settings()
bound_main.define_flags(_DEFAULTS, "runs/density_estimation")
flags.DEFINE_float(
    "prior_temperature",
    _DEFAULTS.prior_temperature,
    "Of the relaxed densities of p, under relaxed estimators.",
)


def main():
    settings = bound_main.settings_from_flags(train.Settings, SMALL)
    names = [FLAGS.estimator] if FLAGS.estimator else DEMO
    options = {"run": train.run, "draw": pictures.draw, "title": TITLE}
    bound_main.compare(settings, names, FLAGS.run_dir, **options)


if __name__ == "__main__":
    start.run(main)
