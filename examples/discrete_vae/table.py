"""The table of all estimators: each trains the same model at its best temperature or rate.

One command, of which every part is kept as it is done: killed, it goes on where it was.

    python -m examples.discrete_vae.table
    python -m examples.discrete_vae.table --dataset=binarized_mnist \
        --data_dir=$HOME/tensorflow_datasets
"""

import dataclasses
import functools
import multiprocessing
import pathlib
import time

from absl import flags

from examples.common import binary_images, start
from examples.common.console import console
from examples.common.files import RunError, read_json, write_json
from examples.common.runs import claim
from examples.common.settings import decisive, define_flags, from_flags
from examples.common.training import Diverged
from examples.discrete_vae import measure, pages, train
from examples.discrete_vae.rows import rows

SMALL = {
    "steps": 600,
    "latent_bits": 24,
    "hidden_units": (50,),
    "warmup_steps": 60,
    "eval_every": 150,
    "validation_images": 300,
    "selection_steps": 150,
    "variance_draws": 50,
}


@dataclasses.dataclass(frozen=True)
class Settings(train.Settings):
    """Of all rows: a run of train.py each, and how it is chosen and measured."""

    steps: int = 3_000
    optimizer: str = "adam"  # score functions need it: 11 nats below SGD after 800 steps
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    eval_every: int = 750
    selection_steps: int = 500
    variance_draws: int = 100
    validation_samples: int = 20
    eval_samples: int = 100
    eval_images: int | None = 1_000


FLAGS = flags.FLAGS
_DEFAULTS = Settings()


def define():
    """Defines the command's flags."""
    define_flags(_DEFAULTS, binary_images.DATASETS)
    flags.DEFINE_string("binarization", _DEFAULTS.binarization, "As in main.py.")
    flags.DEFINE_integer("arity", _DEFAULTS.arity, "Classes of each variable.", lower_bound=2)
    flags.DEFINE_integer("variables", None, "Their number; none: that of --latent_bits.")
    flags.DEFINE_integer("latent_bits", None, "Variables times log2(arity).", lower_bound=1)
    flags.DEFINE_list("hidden_units", None, "Widths of the encoder; the decoder mirrors them.")
    flags.DEFINE_integer("selection_steps", None, "Of each run that only chooses.", lower_bound=1)
    flags.DEFINE_integer("variance_draws", None, "Gradients behind a variance.", lower_bound=2)
    flags.DEFINE_integer("validation_samples", _DEFAULTS.validation_samples, "Of its bound.")
    flags.DEFINE_integer("validation_images", None, "Images of a validation.")
    flags.DEFINE_integer("eval_samples", _DEFAULTS.eval_samples, "Of the test bound.")
    flags.DEFINE_integer("eval_images", _DEFAULTS.eval_images, "Evenly spaced images of the test.")
    flags.DEFINE_list("only", None, "Labels of the rows to run; none: all.")
    flags.DEFINE_string("until", None, "HH:MM, after which no further row is begun.")
    flags.DEFINE_string("run_dir", "runs/discrete_vae_table", "Where all runs and results go.")
    flags.DEFINE_string("out_dir", None, "Of table.json, .md and .png; none: --run_dir.")


def settings_from_flags():
    """`Settings` of the flags; those left out depend on the data set."""
    settings = from_flags(Settings, SMALL)
    units = tuple(int(units) for units in settings.hidden_units)
    return dataclasses.replace(settings, hidden_units=units)


def measure_row(row, base, folder, splits=None):
    """Chooses, trains and measures one row, from where it was stopped; returns its results.

    Args:
        row: `rows.Row`.
        base: `Settings`.
        folder: pathlib.Path of the row alone.
        splits: `binary_images.Splits`, or None to load them.
    """
    done = folder / "row.json"
    if done.exists():
        return read_json(done, f"delete the folder {folder}")
    splits = splits or binary_images.load(
        base.dataset, data_dir=base.data_dir, binarization=base.binarization, seed=base.seed
    )
    middle = row.settings(base, row.choices[1])
    costs = _kept(folder / "costs.json", lambda: _costs(middle, splits))
    short = dataclasses.replace(
        base,
        steps=base.selection_steps,
        eval_every=base.selection_steps,
        warmup_steps=min(base.warmup_steps, base.selection_steps // 5),
    )
    bounds = {}
    for choice in row.choices:
        run_dir = folder / f"{row.field}_{choice:g}"
        bounds[choice] = _selected(row.settings(short, choice), run_dir, splits)
    best = min(bounds, key=bounds.get)
    settings = row.settings(base, best)
    trained, result = train.run(
        _plain(settings),
        folder / "run",
        splits=splits,
        on_validation=functools.partial(_halfway, folder / "halfway.json", settings),
    )
    result = {
        "label": row.label,
        "field": row.field,
        "choice": best,
        "selection": [[choice, bound] for choice, bound in bounds.items()],
        **costs,
        **_kept(folder / "halfway.json", lambda: {}),
        **result,
    }
    write_json(done, result)
    return result


def _plain(settings):
    """The fields of a run of train.py."""
    fields = dataclasses.fields(train.Settings)
    return train.Settings(**{field.name: getattr(settings, field.name) for field in fields})


def _kept(path, make):
    """What was made once and is in a file since."""
    if not path.exists():
        write_json(path, make())
    return read_json(path, f"delete {path}")


def _costs(settings, splits):
    """Time, memory and the gradient's variance at the start, with straight-through beside it."""
    reference = dataclasses.replace(
        settings, estimator="straight_through", temperature=1.0, program_samples=None
    )
    other = train.Training(_plain(reference), splits)
    other.advance(measure.CHUNK)
    trained = train.Training(_plain(settings), splits)
    variance, runs = measure.gradient_variance(trained, settings.variance_draws)
    with measure.PeakMemory() as memory:
        trained.advance(measure.CHUNK)
    milliseconds, ratio = measure.step_milliseconds(trained, other)
    return {
        "step_milliseconds": milliseconds,
        "step_ratio": ratio,
        "memory_mebibytes": memory.mebibytes,
        "variance_at_start": variance,
        "program_runs": runs,
    }


def _halfway(path, settings, trained):
    if trained.step * 2 >= settings.steps and not path.exists():
        variance, _ = measure.gradient_variance(trained, settings.variance_draws)
        write_json(path, {"variance_halfway": variance, "halfway_step": trained.step})


def _selected(settings, run_dir, splits):
    """The validation bound of a short run; a diverged one has an infinite bound."""

    def make():
        try:
            _, result = train.run(_plain(settings), run_dir, splits=splits, evaluate=False)
        except Diverged:
            return {"bound": float("inf")}
        return {"bound": result["history"][-1]["validation_bound"]}

    return _kept(run_dir / "bound.json", make)["bound"]


def main():
    settings = settings_from_flags()
    run_dir = claim(FLAGS.run_dir, decisive(settings))
    out_dir = pathlib.Path(FLAGS.out_dir or run_dir)
    todo, reasons = rows(settings, train.check)
    results = []
    # A process for each row: its peak of memory is its own, and nothing is left of the last.
    spawn = multiprocessing.get_context("spawn")
    for row in todo:
        if FLAGS.only and row.label not in FLAGS.only:
            continue
        done = (run_dir / row.folder / "row.json").exists()
        if not done and FLAGS.until and time.strftime("%H:%M") >= FLAGS.until:
            continue
        if done:
            result = measure_row(row, settings, run_dir / row.folder)
        else:
            with spawn.Pool(1) as pool:
                result = pool.apply(measure_row, (row, settings, run_dir / row.folder))
        del result["settings"]["data_dir"]  # of this machine alone
        results.append(result)
        left = [other.label for other in todo if other.label not in {r["label"] for r in results}]
        write_json(
            out_dir / "table.json",
            {"settings": decisive(settings), "rows": results, "not_run": left, "left_out": reasons},
        )
        pages.write(out_dir)
    if not results:
        raise RunError(f"No row is done in {run_dir}, and --only or --until left none to run.")
    console().print(pages.summary(out_dir))
    print("Page and picture:", out_dir / "table.md", out_dir / "table.png", sep="\n  ")


if __name__ == "__main__":
    define()
    start.run(main)
