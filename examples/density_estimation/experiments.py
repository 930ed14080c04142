"""The runs beside the paper's table, by one command that may be stopped and started again.

    python -m examples.density_estimation.experiments --data_dir=$DATA_DIR

leaves runs/density_estimation_experiments, results/binarized_mnist.json and README's table.
"""

import dataclasses
import pathlib

from examples.common import sweep
from examples.density_estimation import pictures, train

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "binarized_mnist.json"
# For linear maps, of which short runs choose as long ones do. With non-linear ones they do not:
# after 10,000 steps of Gumbel-Softmax 0.001 and 0.004 are level, after 50,000 7 nats apart.
RATES = (1e-3, 4e-3, 1.6e-2)
TRIAL_STEPS = 10_000
NONLINEAR_RATE = 1e-3
BASE = train.Settings(
    dataset="binarized_mnist",
    steps=50_000,
    eval_every=5_000,
    validation_images=1_000,
    eval_images=2_000,
)
# Name: stochastic layers, whether maps are non-linear.
ARCHITECTURES = {
    "200H-784V": ((200,), False),
    "200H~784V": ((200,), True),
    "200H-200H-784V": ((200, 200), False),
    "200H~200H~784V": ((200, 200), True),
}
# Maddison, Mnih and Teh 2017, Table 1, MNIST, test: m = 1, 5, 50.
PAPER = {
    ("gumbel_softmax", "200H-784V"): {1: "107.3", 5: "104.9", 50: "104.3"},
    ("gumbel_softmax", "200H-200H-784V"): {1: "102.1", 5: "99.9", 50: "99.5"},
    ("gumbel_softmax", "200H~784V"): {1: "92.1", 5: "89.5", 50: "88.5"},
    ("gumbel_softmax", "200H~200H~784V"): {1: "87.9", 5: "86.3", 50: "85.7"},
    ("vimco", "200H-784V"): {1: "104.4", 5: "101.9", 50: "98.8"},
    ("vimco", "200H-200H-784V"): {1: "92.9", 5: "91.7", 50: "90.7"},
    ("vimco", "200H~784V"): {1: "93.8", 5: "91.4", 50: "89.3"},
    ("vimco", "200H~200H~784V"): {1: "88.4", 5: "86.4", 50: "85.5"},
}
# The first three with several samples as well, of which VIMCO with one is NVIL; the first four
# with two layers, a cascade, which DisARM cannot do.
ESTIMATORS = ("gumbel_softmax", "vimco", "gumbel_rao", "reinmax", "disarm", "rebar")
SEVERAL, DEEP = ESTIMATORS[:3], ESTIMATORS[:4]


def job(architecture, estimator, num_samples):
    """A cell of the table; rates of linear maps are chosen with one layer and sample."""
    layers, nonlinear = ARCHITECTURES[architecture]
    settings = dataclasses.replace(
        BASE,
        estimator="nvil" if (estimator, num_samples) == ("vimco", 1) else estimator,
        layers=layers,
        nonlinear=nonlinear,
        num_samples=num_samples,
        temperature=2 / 3 if estimator == "gumbel_softmax" else None,
    )
    name = name_of(architecture, estimator, num_samples)
    if nonlinear:
        return sweep.Job(name, settings, rate=NONLINEAR_RATE)
    # VIMCO with one sample would choose by another estimator.
    samples = 5 if estimator == "vimco" and num_samples > 1 else 1
    tried = name_of("200H-784V", estimator, samples)
    return sweep.Job(name, settings, tried_as=None if tried == name else tried)


def name_of(architecture, estimator, num_samples):
    """Of a job."""
    return f"{architecture}-{estimator}-{num_samples}"


def jobs():
    """All runs, the most wanted first."""
    names = sorted(ARCHITECTURES, key=lambda name: not ARCHITECTURES[name][1])
    single = [name for name in names if len(ARCHITECTURES[name][0]) == 1]
    double = [name for name in names if name not in single]
    listed = [job(name, estimator, 1) for name in single for estimator in ESTIMATORS[:-1]]
    listed += [job(name, estimator, 1) for name in double for estimator in DEEP]
    listed += [job(name, estimator, 5) for name in names for estimator in SEVERAL]
    listed += [job(name, estimator, 50) for name in single for estimator in SEVERAL]
    return listed + [job(name, ESTIMATORS[-1], 1) for name in single]


def table(entries):
    """README's table, of the runs that there are."""
    rows = []
    for architecture in ARCHITECTURES:
        for estimator in ESTIMATORS:
            cells = []
            for m in (1, 5, 50):
                paper = PAPER.get((estimator, architecture), {}).get(m, "")
                cells += [sweep.cell(entries, name_of(architecture, estimator, m)), paper]
            if any(cells[::2]):
                name = "vimco (m = 1: nvil)" if estimator == "vimco" else estimator
                rows.append([architecture, name, *cells])
    headings = ["architecture", "estimator"]
    headings += [text for m in (1, 5, 50) for text in (f"m = {m}", "paper")]
    return sweep.markdown(headings, rows)


def publish(entries):
    """Writes the results and README's table."""
    sweep.publish(entries, table, RESULTS, HERE / "README.md")


if __name__ == "__main__":
    sweep.command(
        "runs/density_estimation_experiments",
        jobs(),
        train.run,
        pictures.draw,
        publish,
        rates=RATES,
        trial_steps=TRIAL_STEPS,
    )
