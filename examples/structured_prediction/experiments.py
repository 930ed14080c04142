"""The runs beside the papers' table, by one command that may be stopped and started again.

    python -m examples.structured_prediction.experiments --data_dir=$DATA_DIR

leaves runs/structured_prediction_experiments, results/binarized_mnist.json and README's tables.
"""

import dataclasses
import pathlib

from examples.common import figures, sweep
from examples.structured_prediction import pictures, train

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "binarized_mnist.json"
RATES = (1e-3, 4e-3, 1.6e-2)
TRIAL_STEPS = 1_000
BASE = train.Settings(
    dataset="binarized_mnist",
    steps=8_000,
    eval_every=2_000,
    eval_images=2_000,
)
# Jang, Gu and Poole 2017, Table 1: Bernoulli, categorical. Score function, there with a baseline.
JANG = {
    "straight_through": ("58.9", "61.8"),
    "gumbel_softmax": ("58.5", "59.0"),
    "gumbel_rao": ("", ""),
    "reinmax": ("", ""),
    "muprop": ("58.9", "63.0"),
    "reinforce_baseline": ("72.0", "73.1"),
    "nvil": ("", ""),
    "straight_through_gumbel_softmax": ("", ""),
    "darn": ("59.7", "67.9"),
    "reinforce_loo": ("", ""),
}
# Maddison, Mnih and Teh 2017, structured prediction, test: by layers and m.
MADDISON = {
    "gumbel_softmax": {
        2: {1: "58.5", 5: "54.3", 50: "53.4"},
        3: {1: "56.3", 5: "52.7", 50: "52.0"},
    },
    "vimco": {2: {1: "61.4", 5: "54.5", 50: "51.8"}, 3: {1: "59.7", 5: "53.5", 50: "50.2"}},
    "gumbel_rao": {2: {}, 3: {}},
}
LONG_STEPS = 30_000
LONGER = ("gumbel_rao", "straight_through", "gumbel_softmax")


def jang(variables, estimator, seed=0):
    """A cell of Jang et al.'s table; rates are chosen with binary units, for both kinds."""
    extra = {}
    if estimator == "reinforce_loo":  # two samples of half the images: the same rows a step
        extra = {"num_samples": 2, "objective": "mean", "batch_size": BASE.batch_size // 2}
    settings = dataclasses.replace(BASE, estimator=estimator, variables=variables, **extra)
    settings = dataclasses.replace(settings, seed=seed)
    name, tried = f"{variables}-{estimator}", f"bernoulli-{estimator}"
    return sweep.Job(name, settings, tried_as=None if (tried, seed) == (name, 0) else tried)


def maddison(layers, num_samples, estimator):
    """A cell of Maddison et al.'s, at the rate of Jang et al.'s; VIMCO with one sample is NVIL."""
    used = "nvil" if (estimator, num_samples) == ("vimco", 1) else estimator
    tried = "nvil" if estimator == "vimco" else estimator
    name = f"{layers}x240-{estimator}-{num_samples}"
    settings = dataclasses.replace(
        BASE,
        estimator=used,
        layers=(240,) * layers,
        num_samples=num_samples,
        temperature=2 / 3 if estimator == "gumbel_softmax" else None,
    )
    return sweep.Job(name, settings, tried_as=f"bernoulli-{tried}")


def longer(estimator):
    """A run of Jang et al.'s Bernoulli network that is nearer to its end."""
    settings = dataclasses.replace(BASE, estimator=estimator, steps=LONG_STEPS, eval_every=5_000)
    return sweep.Job(f"long-{estimator}", settings, rate=4e-3)


def jobs():
    """All runs, the most wanted first."""
    listed = [jang("bernoulli", estimator) for estimator in JANG]
    categorical = [jang("categorical", estimator) for estimator in JANG]
    listed += categorical[:6]
    listed += [maddison(2, 5, estimator) for estimator in MADDISON]
    listed += [longer(estimator) for estimator in LONGER]
    listed += [maddison(2, 1, estimator) for estimator in MADDISON]
    listed += categorical[6:]
    listed += [jang(kind, one, 1) for kind in ("bernoulli", "categorical") for one in JANG]
    return listed + [maddison(3, m, estimator) for m in (1, 5) for estimator in MADDISON]


def table(entries):
    """README's two tables, of the runs that there are."""
    rows = []
    for estimator, published in JANG.items():
        cells = [
            sweep.cell(entries, f"{kind}-{estimator}") for kind in ("bernoulli", "categorical")
        ]
        if any(cells):
            (binary, categorical), (paper, its_categorical) = cells, published
            long = sweep.cell(entries, f"long-{estimator}")
            rows.append([f"`{estimator}`", binary, long, paper, categorical, its_categorical])
    headings = ["estimator", "Bernoulli", f"{LONG_STEPS:,} steps", "paper"]
    headings += ["categorical", "paper"]
    first = sweep.markdown(headings, rows)
    rows = []
    for layers in (2, 3):
        for estimator, published in MADDISON.items():
            paper = published[layers]
            cells = {m: sweep.cell(entries, f"{layers}x240-{estimator}-{m}") for m in (1, 5, 50)}
            if any(cells.values()):
                pairs = [(cells[m], paper.get(m, "")) for m in cells]
                name = "vimco (m = 1: nvil)" if estimator == "vimco" else estimator
                rows.append([name, str(layers), *(text for pair in pairs for text in pair)])
    headings = ["estimator", "layers of 240"]
    headings += [text for m in (1, 5, 50) for text in (f"m = {m}", "paper")]
    second = sweep.markdown(headings, rows)
    return f"{first}\n\n{second}" if rows else first


def publish(entries):
    """Writes the results, README's tables and the picture of the curves with Bernoulli units."""
    sweep.publish(entries, table, RESULTS, HERE / "README.md")
    histories = {entry["name"]: entry["history"] for entry in entries}
    shown = {
        name.removeprefix("bernoulli-"): history
        for name, history in histories.items()
        if name.startswith("bernoulli-")
    }
    figures.validation_curves(shown, HERE / "curves.png")


if __name__ == "__main__":
    sweep.command(
        "runs/structured_prediction_experiments",
        jobs(),
        train.run,
        pictures.draw,
        publish,
        rates=RATES,
        trial_steps=TRIAL_STEPS,
    )
