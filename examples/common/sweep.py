"""A list of runs, done one after the other by one command that may be stopped and started again.

The learning rate of each is chosen on validation images, by short runs, with the same effort.
"""

import dataclasses
import functools
import math
import pathlib
import re

import keras
from absl import flags

from examples.common import binary_images, start
from examples.common.files import read_json, whole_file, write_json
from examples.common.training import Diverged

FLAGS = flags.FLAGS
# Where things lie on a machine is of no use to a reader of the results.
PLACES = ("data_dir", "test_file")
BEGIN, END = "<!-- results -->", "<!-- /results -->"


@dataclasses.dataclass(frozen=True)
class Job:
    """One run of a list, at the best of some rates.

    Attributes:
        name: of its folder; jobs that differ in the seed alone share it.
        settings: of the run, but for the rate.
        tried_as: name of the earlier job whose short runs choose the rate; None: its own do.
        rate: that was chosen otherwise; None: by the short runs.
    """

    name: str
    settings: object
    tried_as: str | None = None
    rate: float | None = None


def images(settings):
    """The splits of a run on binary images, from the folder that a flag names."""
    return _images(settings.dataset, FLAGS.data_dir, settings.binarization)


@functools.lru_cache(maxsize=1)
def _images(name, data_dir, binarization):
    return binary_images.load(name, data_dir=data_dir, binarization=binarization)


def command(run_dir, jobs, run, draw, publish, load=images, **options):
    """The command of a list of runs: its flags, and all that is not done yet.

    Args:
        run_dir: folder of all runs, if no flag says otherwise.
        jobs: `Job`s, the most wanted first.
        run: callable (settings, folder, splits=, evaluate=) -> (trained, result).
        draw: callable (trained, folder) that leaves the pictures of a run in full.
        publish: as `on_result` of `do`.
        load: as that of `do`; binary images, of which there is a flag `--data_dir` then.
        **options: others of `do`.
    """
    if load is images:
        flags.DEFINE_string("data_dir", None, "Directory of TFDS data sets; none: TFDS's own.")
    flags.DEFINE_string("run_dir", run_dir, "Of all runs.")
    flags.DEFINE_integer("first", None, "Runs to do, from the first of the list; none: all.")

    def with_pictures(settings, folder, *, splits, evaluate):
        trained, _ = run(settings, folder, splits=splits, evaluate=evaluate)
        if evaluate:
            draw(trained, folder)

    def main():
        do(
            jobs[: FLAGS.first],
            FLAGS.run_dir,
            with_pictures,
            load=load,
            on_result=publish,
            **options,
        )

    start.run(main)


def do(jobs, run_dir, run, *, load, on_result, rates=(), trial_steps=0, metric="validation_bound"):
    """Does what is not done yet, in order.

    Args:
        jobs: `Job`s, the most wanted first.
        run_dir: folder of all of them.
        run: callable (settings, folder, splits=, evaluate=) that trains and leaves result.json.
        load: callable (settings) -> the splits of a run; asked before each.
        on_result: callable (entries), after every run, with the `entry` of each so far, those that
            diverged left out.
        rates: learning rates to choose from, none if every job has its own; one at which a run
            diverges is the worst.
        trial_steps: steps of the runs that choose.
        metric: of the history, by which a rate is chosen; lower is better.
    """
    run_dir, tried, entries = pathlib.Path(run_dir), {}, []

    def done(settings, path, evaluate):
        result = path / "result.json"
        remedy = f"delete the folder {path}"
        if result.exists():
            found = read_json(result, remedy)
            judged = found["settings"].get("eval_images")
            if not evaluate or judged == getattr(settings, "eval_images", None):
                return found
        splits = load(settings)
        print(f"\n{path}", flush=True)
        keras.backend.clear_session()
        try:
            run(settings, path, splits=splits, evaluate=evaluate)
        except Diverged as error:
            print(error, flush=True)
            diverged = {"settings": dataclasses.asdict(settings), "history": [], "diverged": True}
            write_json(result, diverged)
        return read_json(result, remedy)

    for job in jobs:
        settings, folder = job.settings, run_dir / job.name
        if job.rate is not None:
            tried[job.name] = {job.rate: None}
        elif job.tried_as is None:
            short = {"steps": trial_steps, "eval_every": trial_steps}
            bounds = {}
            for rate in rates:
                trial = dataclasses.replace(settings, learning_rate=rate, **short)
                result = done(trial, folder / f"rate-{rate:g}", evaluate=False)
                bounds[rate] = None if "diverged" in result else result["history"][-1][metric]
            tried[job.name] = bounds
        bounds = tried[job.tried_as or job.name]
        best = min(bounds, key=lambda rate: math.inf if bounds[rate] is None else bounds[rate])
        settings = dataclasses.replace(settings, learning_rate=best)
        result = done(settings, folder / f"seed-{settings.seed}", evaluate=True)
        if "diverged" in result:
            continue
        entries.append(entry(job, result, bounds))
        on_result(entries)


def mean_and_range(bounds):
    """The mean of one bound or several, and half of what lies between them; "" of none."""
    if not bounds:
        return ""
    spread = (max(bounds) - min(bounds)) / 2
    return f"{sum(bounds) / len(bounds):.2f}" + (f" ± {spread:.2f}" if len(bounds) > 1 else "")


def cell(entries, name):
    """Mean test bound over the seeds of a job, "" if there is none yet."""
    return mean_and_range([entry["test_bound"] for entry in entries if entry["name"] == name])


def entry(job, result, rates):
    """What a table and its reader need of one run: all but the machine's paths."""
    settings = {name: value for name, value in result["settings"].items() if name not in PLACES}
    return {
        "name": job.name,
        **result,
        "settings": settings,
        "rates": {f"{rate:g}": bound for rate, bound in rates.items()},
    }


def markdown(headings, rows):
    """A Markdown table: the first column at the left, numbers at the right."""
    rules = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (headings, rules, *rows))


def between_marks(page, table):
    """The page with the table between its two marks."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"The page needs the lines {BEGIN} and {END}, once each.")
    pattern = re.compile(re.escape(BEGIN) + ".*" + re.escape(END), re.DOTALL)
    return pattern.sub(lambda _: f"{BEGIN}\n{table}\n{END}", page)


def publish(entries, table, results, readme):
    """Writes entries to a JSON file, and their table into a page."""
    write_json(results, entries)
    page = readme.read_text(encoding="utf-8")
    with whole_file(readme) as temporary:
        temporary.write_text(between_marks(page, table(entries)), encoding="utf-8")
