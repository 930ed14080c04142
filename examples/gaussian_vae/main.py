"""Train auto-encoders with Gaussian, Dirichlet and discrete latents side by side; flags only.

python -m examples.gaussian_vae.main
python -m examples.gaussian_vae.main --dataset=binarized_mnist --latent=dirichlet --kl_warmup=3
"""

import dataclasses
import pathlib

from absl import flags

from examples.common import binary_images, figures, settings, start
from examples.common.console import console, table
from examples.common.files import RunError
from examples.gaussian_vae import pictures, train
from examples.gaussian_vae.model import KINDS

FLAGS = flags.FLAGS
_DEFAULTS = train.Settings()
# For the embedded digits: fewer images, smaller networks, more epochs.
SMALL = {"epochs": 30, "batch_size": 32, "hidden": 128}

flags.DEFINE_multi_enum("latent", list(KINDS), list(KINDS), "Kind; repeat the flag.")
flags.DEFINE_list(
    "kl_warmup", ["0"], "Epochs in which the divergence's weight rises; one, or one a kind."
)
flags.DEFINE_list("free_bits", ["0"], "Nats a variable that cost nothing; one, or one a kind.")
flags.DEFINE_enum("dataset", _DEFAULTS.dataset, binary_images.DATASETS, "Data to model.")
flags.DEFINE_string("data_dir", None, "Directory of TFDS data sets; none: TFDS's own.")
flags.DEFINE_enum(
    "binarization",
    _DEFAULTS.binarization,
    ["fixed", "stochastic"],
    "Training pixels drawn once, or anew at every step; binarized_mnist comes fixed.",
)
flags.DEFINE_integer("hidden", None, "Units of the encoder and of the decoder.", lower_bound=1)
flags.DEFINE_float("temperature", _DEFAULTS.temperature, "Of Gumbel-Rao.", lower_bound=1e-3)
flags.DEFINE_integer("epochs", None, "Of training.", lower_bound=1)
flags.DEFINE_integer("batch_size", None, "Images of a step.", lower_bound=1)
flags.DEFINE_float("learning_rate", _DEFAULTS.learning_rate, "Adam's first.", lower_bound=0.0)
flags.DEFINE_integer(
    "eval_samples", _DEFAULTS.eval_samples, "Importance samples of the test.", lower_bound=1
)
flags.DEFINE_integer("eval_images", None, "Of the test; none: all.", lower_bound=1)
flags.DEFINE_integer("seed", _DEFAULTS.seed, "Of weights, batches and noise.")
flags.DEFINE_string("run_dir", "runs/gaussian_vae", "Runs, TensorBoard's events, pictures.")


def of_kinds(name, kind):
    """The numbers of a flag, one for each latent, >= 0.

    Args:
        name: of the flag.
        kind: int or float.
    """
    try:
        values = [kind(text) for text in FLAGS[name].value]
    except ValueError:
        values = []
    if len(values) == 1:
        values *= len(FLAGS.latent)
    if len(values) != len(FLAGS.latent) or any(value < 0 for value in values):
        raise RunError(
            f"--{name} must be a number >= 0, or one for each of {', '.join(FLAGS.latent)}, with "
            f"commas between. Received: {','.join(FLAGS[name].value)}."
        )
    return values


def main():
    run_dir, models, results = pathlib.Path(FLAGS.run_dir), {}, {}
    chosen = settings.from_flags(train.Settings, SMALL)
    splits = train.load_images(chosen)
    options = zip(of_kinds("kl_warmup", int), of_kinds("free_bits", float), strict=True)
    for kind, (kl_warmup, free_bits) in zip(FLAGS.latent, options, strict=True):
        one = dataclasses.replace(chosen, latent=kind, kl_warmup=kl_warmup, free_bits=free_bits)
        models[kind], results[kind] = train.train(one, run_dir / kind, splits)
    paths = [
        figures.save(picture(models, splits), run_dir / f"{name}.png")
        for name, picture in (("samples", pictures.samples), ("traversal", pictures.traversal))
    ]
    rows = [
        (
            kind,
            f"{result['test_bound']:.2f}",
            f"{result['elbo']:.2f}",
            f"{result['kl']:.2f}",
            f"{result['active']} of {KINDS[kind].variables}",
        )
        for kind, result in results.items()
    ]
    images = next(iter(results.values()))["test_images"]
    console().print(
        table(
            f"Bounds on -log p(x) in nats after {chosen.epochs} epochs, lower is better",
            ("latents", f"{chosen.eval_samples} samples", "one sample", "KL", "variables active"),
            rows,
            f"{images:,} test images, seed {chosen.seed}",
        )
    )
    print("Pictures:", *paths, sep="\n  ")


if __name__ == "__main__":
    start.run(main)
