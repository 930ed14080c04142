"""Minimise a quadratic program over the simplex with each estimator; flags only.

python -m examples.quadratic_program.main
python -m examples.quadratic_program.main --program=fixed --temperature=0.5
"""

import dataclasses
import pathlib

from absl import flags

from examples.common import figures, start
from examples.common.console import Progress, console, table
from examples.quadratic_program import train
from examples.quadratic_program.programs import PROGRAMS
from tfgumbel import diagnostics
from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.registry import gradient_estimators

FLAGS = flags.FLAGS
_DEFAULTS = train.Settings()

flags.DEFINE_multi_enum(
    "estimator",
    train.ESTIMATORS,
    list(gradient_estimators(ONE_HOT_CATEGORICAL)),
    "Estimators to compare; repeat the flag.",
)
flags.DEFINE_enum(
    "program",
    _DEFAULTS.program,
    list(PROGRAMS),
    "simplex: the paper's, whose cost depends on the probabilities; fixed: one that does not.",
)
flags.DEFINE_float(
    "temperature", _DEFAULTS.temperature, "Of the Gumbel estimators.", lower_bound=1e-3
)
flags.DEFINE_integer("steps", None, "SGD steps; none: the program's own.", lower_bound=1)
flags.DEFINE_float("learning_rate", None, "Of SGD; none: the program's own.", lower_bound=0.0)
flags.DEFINE_integer("num_runs", _DEFAULTS.num_runs, "Independent runs.", lower_bound=2)
flags.DEFINE_integer(
    "resolution",
    48,
    "Points of the contours along an edge; multiples of 3 keep off the singular lines.",
    lower_bound=3,
)
flags.DEFINE_integer("num_draws", 8_192, "Draws at each point of the contours.", lower_bound=100)
flags.DEFINE_integer("seed", _DEFAULTS.seed, "Of all noise.")
flags.DEFINE_string("run_dir", "runs/quadratic_program", "Where the pictures go.")


def settings_from_flags():
    """`train.Settings` of the flags; those left out are the program's own."""
    values = {field.name: FLAGS[field.name].value for field in dataclasses.fields(train.Settings)}
    program = PROGRAMS[FLAGS.program]
    for name in ("steps", "learning_rate"):
        values[name] = getattr(program, name) if values[name] is None else values[name]
    return train.Settings(**values)


def row_of(name, gaps):
    """An estimator's row of the table."""
    mean, deviation, share = train.summarize(gaps)
    error = deviation / len(gaps[-1]) ** 0.5
    return name, f"{mean:.5f} ± {error:.5f}", f"{deviation:.5f}", f"{share:.0%}"


def main():
    run_dir, out = pathlib.Path(FLAGS.run_dir), console()
    settings = settings_from_flags()
    program = PROGRAMS[settings.program]
    all_gaps = {}
    for name in FLAGS.estimator:
        with Progress(name, settings.steps, unit="steps", to=out) as progress:
            all_gaps[name] = train.minimize(name, settings, progress.advance)
    paths = [figures.save(train.plot_curves(all_gaps), run_dir / "curves.png")]
    total = len(train.TEMPERATURES)
    with Progress("variances", total, unit="temperatures", to=out) as progress:
        variances = train.measure_variances(
            program,
            on_progress=progress.advance,
            resolution=FLAGS.resolution,
            num_draws=FLAGS.num_draws,
            seed=FLAGS.seed,
        )
    figure = diagnostics.plot_simplex_contours(variances)
    paths.append(figures.save(figure, run_dir / "contours.png"))
    before = next(iter(all_gaps.values()))[0].mean()
    out.print(
        table(
            f"Expected cost above its minimum after {settings.steps:,} steps; {before:.4f} before",
            ("estimator", "mean gap", "standard deviation", "runs at minimum"),
            (row_of(name, gaps) for name, gaps in all_gaps.items()),
            f"{settings.num_runs} runs, ± one standard error of the mean",
        )
    )
    print("Pictures:", *paths, sep="\n  ")


if __name__ == "__main__":
    start.run(main)
