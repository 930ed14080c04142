"""Minimise a quadratic program over the simplex with each estimator; flags only.

python -m examples.quadratic_program.main
python -m examples.quadratic_program.main --temperature=0.1 --steps=5000
"""

import pathlib

from absl import app, flags
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from examples.quadratic_program import train
from tfgumbel import diagnostics
from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.internal.files import save_figure
from tfgumbel.registry import gradient_estimators

FLAGS = flags.FLAGS
_DEFAULTS = train.Settings()

flags.DEFINE_multi_enum(
    "estimator",
    train.ESTIMATORS,
    list(gradient_estimators(ONE_HOT_CATEGORICAL)),
    "Estimators to compare; repeat the flag.",
)
flags.DEFINE_float(
    "temperature", _DEFAULTS.temperature, "Of the Gumbel estimators.", lower_bound=1e-3
)
flags.DEFINE_integer("steps", _DEFAULTS.steps, "SGD steps.", lower_bound=1)
flags.DEFINE_float("learning_rate", _DEFAULTS.learning_rate, "Of SGD.", lower_bound=0.0)
flags.DEFINE_integer("num_runs", _DEFAULTS.num_runs, "Independent runs.", lower_bound=2)
flags.DEFINE_integer("num_draws", 32_768, "Draws at each point of the contours.", lower_bound=100)
flags.DEFINE_integer("seed", _DEFAULTS.seed, "Of all noise.")
flags.DEFINE_string("run_dir", "runs/quadratic_program", "Where the pictures go.")


def report(all_gaps):
    """The table of final gaps."""
    table = Table(title="Gap of E f(D) to its minimum after the last step (lower is better)")
    table.add_column("estimator", no_wrap=True)
    for heading in ("mean gap", "standard error", "runs at the minimum"):
        table.add_column(heading, justify="right")
    for name, gaps in all_gaps.items():
        mean, error, share = train.summarize(gaps)
        table.add_row(name, f"{mean:.5f}", f"{error:.5f}", f"{share:.0%}")
    return table


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Flags only, no arguments. Received: {argv[1:]}")
    run_dir = pathlib.Path(FLAGS.run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    settings = train.Settings(
        temperature=FLAGS.temperature,
        steps=FLAGS.steps,
        learning_rate=FLAGS.learning_rate,
        num_runs=FLAGS.num_runs,
        seed=FLAGS.seed,
    )
    console, all_gaps = Console(), {}
    with Progress(console=console) as progress:
        for name in FLAGS.estimator:
            task = progress.add_task(name, total=settings.steps)
            all_gaps[name] = train.minimize(
                name, settings, lambda steps, task=task: progress.advance(task, steps)
            )
    save_figure(train.plot_curves(all_gaps), run_dir / "curves.png")
    with console.status("variances over the simplex"):
        variances = diagnostics.simplex_variances(num_draws=FLAGS.num_draws, seed=FLAGS.seed)
        save_figure(diagnostics.plot_simplex_contours(variances), run_dir / "contours.png")
    console.print(report(all_gaps))
    console.print("Pictures:", f"{run_dir}/curves.png", f"{run_dir}/contours.png", soft_wrap=True)


if __name__ == "__main__":
    app.run(main)
