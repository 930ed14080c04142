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
# What differs from the settings for MNIST, for 1,197 images of 8x8 pixels.
SMALL = {
    "steps": 3_000,
    "layers": (64,),
    "learning_rate": 1e-2,
    "warmup_steps": 100,
    "eval_every": 500,
    "validation_images": 300,
}

_DEFAULTS = train.Settings()
bound_main.define_flags(_DEFAULTS, "runs/density_estimation")
flags.DEFINE_float(
    "prior_temperature",
    _DEFAULTS.prior_temperature,
    "Of the relaxed densities of p, under relaxed estimators.",
)


def draw(trained, run_dir):
    """Saves the picture of one trained model; returns its path in a list."""
    path = run_dir / "samples.png"
    return [pictures.samples(trained.model, trained.splits.image_shape, path)]


def main():
    title = "Bound on -log p(x)"
    bound_main.main(train.Settings, SMALL, DEMO, train.run, draw, title)


if __name__ == "__main__":
    start.run(main)
