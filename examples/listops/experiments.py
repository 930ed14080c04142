"""The runs beside the paper's table, by one command that may be stopped and started again.

    python -m examples.listops.experiments --test_file=test_d20s.tsv.gz

leaves runs/listops_experiments, results/listops.json and README's table.
"""

import dataclasses
import functools
import pathlib

from absl import flags

from examples.common import sweep
from examples.common.training import Diverged
from examples.listops import data, pictures, train

FLAGS = flags.FLAGS
HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "listops.json"
RATES = (0.03, 0.1, 0.2)
TRIAL_STEPS = 2_000
BASE = train.Settings(
    optimizer="sgd", decay="constant", warmup_steps=0, epochs=10, batch_size=10, num_train=0
)
# Training lines by the bound on the length; 0: all that are left of 100,000 drawn.
LINES = {10: 0, 25: 20_000, 50: 20_000}
ST_GS, GUMBEL_RAO = "straight_through_gumbel_softmax", "gumbel_rao"
# Paulus, Maddison and Krause 2021, Table 1: temperatures .01, .1, 1 for each length.
PAPER = {
    (ST_GS, "exact"): {10: "38.8 59.3 65.8", 25: "41.2 57.1 60.2", 50: "46.8 56.8 59.6"},
    (GUMBEL_RAO, 10): {},
    (GUMBEL_RAO, 100): {},
    (GUMBEL_RAO, 1000): {10: "66.5 67.1 67.0", 25: "60.2 60.9 61.2", 50: "60.0 59.8 59.9"},
    (GUMBEL_RAO, "exact"): {},
    ("reinmax", "exact"): {},
}
TEMPERATURES = (0.01, 0.1, 1.0)


def job(method, temperature, length=10, seed=0):
    """A cell of the table; rates are tried at the first seed, and by exact Gumbel-Rao for draws."""
    estimator, num_samples = method
    settings = dataclasses.replace(
        BASE,
        estimator=estimator,
        num_samples=num_samples,
        temperature=temperature,
        max_length=length,
        batch_size=length,
        num_train=LINES[length],
        seed=seed,
    )
    tried = name_of((estimator, "exact"), temperature, 10)
    name = name_of(method, temperature, length)
    return sweep.Job(name, settings, tried_as=None if (name, seed) == (tried, 0) else tried)


def name_of(method, temperature, length):
    """Of a job."""
    estimator, num_samples = method
    draws = f"-{num_samples}" if estimator == GUMBEL_RAO else ""
    heat = "" if temperature is None else f"-{temperature:g}"
    return f"{length}-{estimator}{draws}{heat}"


def cells(*methods):
    """Methods with their temperatures."""
    return [
        (method, temperature)
        for method in methods
        for temperature in ((None,) if method[0] == "reinmax" else TEMPERATURES)
    ]


def jobs():
    """All runs, the most wanted first."""
    main = cells((ST_GS, "exact"), (GUMBEL_RAO, "exact"), ("reinmax", "exact"))
    draws = cells((GUMBEL_RAO, 10), (GUMBEL_RAO, 100))
    listed = [job(*cell) for cell in main + draws[:3]]
    listed += [job(*cell, seed=1) for cell in main]
    listed += [job(*cell) for cell in draws[3:]]
    listed += [job(*cell, length=25) for cell in main]
    listed += [job(*cell, length=50) for cell in main]
    listed += [job(*cell, seed=1) for cell in draws]
    listed += [job(*cell) for cell in cells((GUMBEL_RAO, 1000))]
    return listed + [job(*cell, length=length) for length in (25, 50) for cell in draws]


def label(method):
    """Of a row, in words, which a narrow column can break."""
    estimator, num_samples = method
    if estimator == GUMBEL_RAO:
        return f"Gumbel-Rao, {num_samples if num_samples == 'exact' else f'K = {num_samples}'}"
    return {ST_GS: "straight-through Gumbel-Softmax", "reinmax": "ReinMax"}[estimator]


def _error(evaluation):
    return evaluation["validation_error"]


def table(entries):
    """README's table, of the runs that there are."""
    rows = []
    for length in LINES:
        for method, temperature in cells(*PAPER):
            name = name_of(method, temperature, length)
            found = [entry for entry in entries if entry["name"] == name]
            if not found:
                continue
            best, last, test, trees = (
                sweep.mean_and_range(values)
                for values in (
                    [100.0 - min(map(_error, entry["history"])) for entry in found],
                    [100.0 - _error(entry["history"][-1]) for entry in found],
                    [entry["test_accuracy"] for entry in found],
                    [entry["constituents"] for entry in found],
                )
            )
            diverged = sum("diverges" in entry for entry in found)
            if diverged:
                last = f"{diverged} of {len(found)} diverged"
            published = PAPER[method].get(length, "").split()
            rows.append(
                [
                    label(method),
                    "" if temperature is None else f"{temperature:g}",
                    str(length),
                    f"{found[0]['settings']['learning_rate']:g}",
                    *(best, last, test, trees),
                    published[TEMPERATURES.index(temperature)] if published else "",
                ]
            )
    headings = ["estimator", "temperature", "tokens", "rate", "validation, best", "last epoch"]
    return sweep.markdown([*headings, "test", "constituents", "paper"], rows)


@functools.lru_cache(maxsize=1)
def _splits(max_length, num_train, test_file):
    return data.load(max_length, num_train=num_train or None, test_file=test_file)


def load(settings):
    """The lines of a run."""
    return _splits(settings.max_length, settings.num_train, FLAGS.test_file)


def run(settings, folder, *, splits, evaluate):
    """One run; of one that diverges, the weights that were best on validation until then.

    The test's lines take no time, so that short runs have them as well.
    """
    settings = dataclasses.replace(settings, test_file=FLAGS.test_file)
    try:
        return train.run(settings, folder, splits=splits)
    except Diverged:
        best = folder / "best.npz"
        if not best.exists():
            raise
        trained = train.Training(settings, splits)
        trained.restore(best)
        return trained, train.finish(trained, folder, trained.seconds, diverges=True)


def publish(entries):
    """Writes the results and README's table."""
    sweep.publish(entries, table, RESULTS, HERE / "README.md")


if __name__ == "__main__":
    flags.DEFINE_string("test_file", None, "Lines 'label TAB expression'; none: drawn.")
    sweep.command(
        "runs/listops_experiments",
        jobs(),
        run,
        pictures.draw,
        publish,
        load=load,
        rates=RATES,
        trial_steps=TRIAL_STEPS,
        metric="validation_error",
    )
