"""Bias and variance of gradient estimators, in a table and three pictures; flags only.

python -m examples.gradient_variance.main
python -m examples.gradient_variance.main --num_classes=16 --temperature=0.3
"""

import pathlib

from absl import flags

from examples.common import start
from examples.common.console import Progress, console
from examples.gradient_variance import train
from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.registry import gradient_estimators

FLAGS = flags.FLAGS

flags.DEFINE_multi_enum(
    "estimator",
    train.ESTIMATORS,
    list(gradient_estimators(ONE_HOT_CATEGORICAL)),
    "Estimators of the table; repeat the flag.",
)
flags.DEFINE_integer("num_classes", 8, "Classes of the variable.", lower_bound=2)
flags.DEFINE_float("temperature", 0.5, "Where the estimator requires one.", lower_bound=1e-3)
flags.DEFINE_integer("num_draws", 50_000, "Draws behind each number.", lower_bound=100)
flags.DEFINE_integer("num_trials", 200, "Trials behind each variance.", lower_bound=2)
flags.DEFINE_integer("seed", 0, "Of logits and noise.")
flags.DEFINE_string("run_dir", "runs/gradient_variance", "Where the pictures go.")


def main():
    out, run_dir, seed = console(), pathlib.Path(FLAGS.run_dir), FLAGS.seed
    logits = train.make_logits(FLAGS.num_classes, seed)
    with Progress("samples at four temperatures", 4, unit="measurements", to=out) as progress:
        paths = [train.draw_samples(logits, run_dir / "samples.png", seed=seed)]
        progress.update(1, "variance against the number of samples")
        path, slopes = train.draw_sample_sizes(
            logits,
            run_dir / "num_samples.png",
            temperature=FLAGS.temperature,
            num_trials=FLAGS.num_trials,
            seed=seed,
        )
        paths.append(path)
        progress.update(2, "bias and variance against temperature")
        path = run_dir / "temperature.png"
        paths.append(train.draw_temperatures(logits, path, num_draws=FLAGS.num_draws, seed=seed))
        progress.update(3, "the table")
        comparison = train.compare(
            logits,
            FLAGS.estimator,
            temperature=FLAGS.temperature,
            num_draws=FLAGS.num_draws,
            seed=seed,
        )
        progress.update(4)
    out.print(comparison)
    print("Slopes:", ", ".join(f"{name} {slope:.3f}" for name, slope in slopes.items()))
    print("Pictures:", *paths, sep="\n  ")


if __name__ == "__main__":
    start.run(main)
