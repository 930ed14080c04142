"""The runs of the table, by one command that may be stopped and started again.

    python -m examples.gaussian_vae.experiments --data_dir=$DATA_DIR

leaves runs/gaussian_vae_experiments, results/binarized_mnist.json and README's table.
"""

import dataclasses
import pathlib

from examples.common import sweep
from examples.gaussian_vae import train
from examples.gaussian_vae.model import KINDS

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "binarized_mnist.json"
BASE = train.Settings(
    dataset="binarized_mnist",
    hidden=200,
    epochs=8,
    batch_size=200,
    learning_rate=3e-3,
    eval_images=2_000,
)
# Five nats of a code are free: a quarter for each of 20 variables, a half for each of 10.
OPTIONS = {
    "plain": {},
    "KL warm-up, 3 epochs": {"kl_warmup": 3},
    "free bits, 5 nats in all": {"free_bits": 5.0},
}


def job(kind, option, seed):
    """One run of the table."""
    changed = dict(OPTIONS[option])
    if "free_bits" in changed:
        changed["free_bits"] /= KINDS[kind].variables
    settings = dataclasses.replace(BASE, latent=kind, seed=seed, **changed)
    name = f"{kind}-{'-'.join(changed) or 'plain'}"
    return sweep.Job(name, settings, rate=BASE.learning_rate)


def jobs():
    """All runs, the most wanted first."""
    return [job(kind, option, seed) for seed in (0, 1) for option in OPTIONS for kind in KINDS]


def table(entries):
    """README's table, of the runs that there are."""
    rows = []
    for kind in KINDS:
        for option in OPTIONS:
            name = job(kind, option, 0).name
            found = [entry for entry in entries if entry["name"] == name]
            if not found:
                continue
            columns = [[entry[one] for entry in found] for one in ("test_bound", "elbo", "kl")]
            active = ", ".join(str(entry["active"]) for entry in found)
            numbers = [sweep.mean_and_range(column) for column in columns]
            rows.append([kind, option, *numbers, f"{active} of {KINDS[kind].variables}"])
    samples = f"{BASE.eval_samples} samples"
    return sweep.markdown(
        ["latents", "training", samples, "one sample", "KL", "active variables"], rows
    )


def run(settings, folder, *, splits, evaluate):
    """One run; `evaluate` is always asked for, since no rate is tried."""
    return train.train(settings, folder, splits)


def publish(entries):
    """Writes the results and README's table."""
    sweep.publish(entries, table, RESULTS, HERE / "README.md")


if __name__ == "__main__":
    sweep.command(
        "runs/gaussian_vae_experiments",
        jobs(),
        run,
        lambda trained, folder: None,  # main.py draws the kinds side by side
        publish,
    )
