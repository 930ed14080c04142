"""The auto-encoder of Jang, Gu and Poole's Table 1, by one command that may be stopped and resumed.

    python -m examples.discrete_vae.jang --data_dir=$DATA_DIR

leaves runs/jang, results/jang.json and README's table.
"""

import dataclasses
import pathlib

from examples.common import sweep
from examples.common.estimator import halving_rate
from examples.discrete_vae import pictures, train

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "jang.json"
RATES = (3e-4, 1e-3, 3e-3)
TRIAL_STEPS = 5_000
STEPS = 50_000
ANNEAL_RATE = halving_rate(STEPS)
BASE = train.Settings(
    dataset="binarized_mnist",
    batch_size=100,
    steps=STEPS,
    optimizer="adam",
    hidden_units=(),
    learned_prior=True,
    validation_samples=100,
    validation_images=1_000,
    eval_samples=1_000,
    eval_images=2_000,
)
KINDS = {
    "Bernoulli": {"variables": 200, "arity": 2},
    "categorical": {"variables": 20, "arity": 10},
}
ANNEALED = "straight_through, annealed"
# Jang, Gu and Poole 2017, Table 1, bounds with 1,000 samples (section 4.2): Bernoulli, categorical.
# Their score function has a baseline.
PAPER = {
    "straight_through": ("116.0", "110.9"),
    "gumbel_softmax": ("105.0", "101.5"),
    "gumbel_rao": ("", ""),
    "reinmax": ("", ""),
    "muprop": ("109.7", "107.0"),
    "reinforce_baseline": ("112.2", "110.6"),
    ANNEALED: ("111.5", "107.8"),
    "darn": ("110.9", "128.8"),
    "straight_through_gumbel_softmax": ("", ""),
    "nvil": ("", ""),
}


def job(row, kind, seed=0):
    """A cell of the table; its rate is chosen with the first seed."""
    estimator, _, annealed = row.partition(", ")
    settings = dataclasses.replace(BASE, estimator=estimator, seed=seed, **KINDS[kind])
    if annealed or estimator == "gumbel_softmax":
        settings = dataclasses.replace(settings, temperature=0.5, anneal_rate=ANNEAL_RATE)
    name = name_of(row, kind)
    return sweep.Job(name, settings, tried_as=name if seed else None)


def name_of(row, kind):
    """Of a job."""
    return f"{kind.lower()}-{row.replace(', ', '-')}"


def jobs():
    """All runs, the most wanted first."""
    return [job(row, kind, seed) for seed in (0, 1) for row in PAPER for kind in KINDS]


def table(entries):
    """README's table, of the runs that there are."""
    rows = []
    for row, published in PAPER.items():
        cells = []
        for kind, paper in zip(KINDS, published, strict=True):
            cells += [sweep.cell(entries, name_of(row, kind)), paper]
        if any(cells[::2]):
            estimator, comma, annealed = row.partition(",")
            rows.append([f"`{estimator}`{comma}{annealed}", *cells])
    headings = ["estimator", *(text for kind in KINDS for text in (kind, "paper"))]
    return sweep.markdown(headings, rows)


def publish(entries):
    """Writes the results and README's table."""
    sweep.publish(entries, table, RESULTS, HERE / "README.md")


if __name__ == "__main__":
    sweep.command(
        "runs/jang", jobs(), train.run, pictures.draw, publish, rates=RATES, trial_steps=TRIAL_STEPS
    )
