"""Test accuracy at a budget: learned masks at their defaults beside the best of magnitude pruning.

Magnitude pruning runs at several learning rates, and the table has the one with the best test
accuracy: a choice in its favour, which the learned masks do without.
"""

import dataclasses
import functools
import inspect
import statistics
import time
from typing import Any

import keras

import tfgumbel
from benchmarks.pruning.trainings import Training, complete
from examples.prune_mnist import data as data_sets
from examples.prune_mnist import models
from pruning.masks.ranked import MIN_STEPS, NUM_UPDATES
from pruning.methods.learned import SCORE_LEARNING_RATE
from pruning.training.learning_rates import ADAPTIVE_LEARNING_RATE
from pruning.training.schedules import PruningSchedule


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        model: a name of `examples.prune_mnist.models`.
        k: share of the kernel weights kept.
        goal: accuracy to reach, %.
    """

    model: str
    k: float
    goal: float


KEY = ("model", "k", "method", "rate", "seed", "epochs")
SUITE = (
    Case("lenet300", 0.10, 98.4),
    Case("lenet300", 0.05, 98.4),
    Case("lenet300", 0.02, 98.0),
    Case("lenet300", 0.01, 97.5),
    Case("lenet300", 0.005, 96.5),
    Case("lenet5", 0.02, 99.3),
    Case("lenet5", 0.01, 99.1),
    Case("lenet5", 0.005, 98.8),
)
EPOCHS, BATCH_SIZE, SEEDS = 10, 128, (0, 1, 2)
# Peak rates of Adam for magnitude pruning; learned masks have what `prune` gives an optimizer named
# by a string.
RATES = (1.5e-3, 3e-3, 6e-3)


def accuracy(
    case: Case,
    method: str,
    rate: float | None,
    seed: int,
    data: data_sets.Data,
    epochs: int = EPOCHS,
) -> dict[str, Any]:
    """Trains as a user would, in five lines, and tests the finalized model."""
    keras.utils.set_random_seed(seed)
    model = models.build(case.model, data.train_images.shape[1:])
    pruned = tfgumbel.prune(model, case.k, method=method, seed=seed)
    optimizer: Any = "adam"
    if rate is not None:
        steps = epochs * -(-len(data.train_images) // BATCH_SIZE)
        decay = keras.optimizers.schedules.CosineDecay(rate, steps, alpha=0.01)
        optimizer = keras.optimizers.Adam(decay)
    pruned.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=100,
    )
    start = time.perf_counter()
    pruned.fit(
        data.train_images, data.train_labels, batch_size=BATCH_SIZE, epochs=epochs, verbose=0
    )
    seconds = time.perf_counter() - start
    sparse = pruned.finalize()
    _, correct = sparse.evaluate(data.test_images, data.test_labels, batch_size=500, verbose=0)
    kept = tfgumbel.sparsity_report(sparse, sizes=False).kept
    return {
        **dataclasses.asdict(case),
        "method": method,
        "rate": rate,
        "seed": seed,
        "epochs": epochs,
        "accuracy": 100 * float(correct),
        "kept": kept,
        "seconds": seconds,
        "defaults": defaults(method),
    }


def defaults(method: str) -> dict[str, Any]:
    """The settings under which results hold: a result of other ones is measured again."""
    settings: dict[str, Any] = PruningSchedule().get_config()
    if method == "learned":
        gradient = inspect.signature(tfgumbel.prune).parameters["score_gradient"].default
        settings |= {
            "learning_rate": ADAPTIVE_LEARNING_RATE,
            "score_learning_rate": SCORE_LEARNING_RATE,
            "score_gradient": gradient,
        }
    else:
        settings |= {"mask_updates": [NUM_UPDATES, MIN_STEPS]}
    return settings


def run(
    data_dir: str | None,
    *,
    names: tuple[str, ...] = (),
    seeds: tuple[int, ...] = SEEDS,
    methods: tuple[str, ...] = ("learned", "magnitude"),
    rates: tuple[float, ...] = RATES,
    epochs: int = EPOCHS,
    done: list[dict[str, Any]] | None = None,
    save: Any = None,
    progress: Any = None,
) -> list[dict[str, Any]]:
    """Runs the suite, skipping what `done` holds already.

    Args:
        data_dir: where TFDS keeps MNIST.
        names: cases to run, such as `"lenet300/0.01"`; empty for all.
        seeds: seeds to run.
        methods: methods to run.
        rates: peak rates of Adam for magnitude pruning.
        epochs: passes over the training set.
        done: results of an interrupted run.
        save: called with all results after each new one.
        progress: an `examples.common.console.Progress`, told of each run and how many there are.

    Returns:
        results: one dict a run.
    """
    # Results of before masks had a noise scale are of 1.
    results = [
        result
        for result in done or []
        if {"noise_scale": 1.0, **result["defaults"]} == defaults(result["method"])
    ]
    data = data_sets.load("mnist", data_dir)
    tried: dict[str, tuple[float | None, ...]] = {"learned": (None,), "magnitude": rates}
    trainings = [
        Training(
            {
                **dataclasses.asdict(case),
                **{"method": method, "rate": rate, "seed": seed, "epochs": epochs},
            },
            f"{case.model}/{case.k:g} {method}",
            functools.partial(accuracy, case, method, rate, seed, data, epochs),
        )
        for case in SUITE
        if not names or f"{case.model}/{case.k:g}" in names
        for seed in seeds
        for method in methods
        for rate in tried[method]
    ]
    return complete(results, trainings, KEY, save, progress)


def summary(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over the seeds, at the best rate of each method.

    Returns:
        rows: one dict for each model, budget, length and method, in that order.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for result in results:
        names = ("model", "k", "epochs", "method", "rate")
        groups.setdefault(tuple(result[name] for name in names), []).append(result)
    best: dict[tuple[Any, ...], dict[str, Any]] = {}
    for key, group in groups.items():
        values = [result["accuracy"] for result in group]
        row = {
            **{name: group[0][name] for name in ("model", "k", "epochs", "method", "rate", "goal")},
            "mean": statistics.mean(values),
            "deviation": statistics.stdev(values) if len(values) > 1 else None,
            "seeds": len(values),
            "seconds": statistics.mean(result["seconds"] for result in group),
        }
        if key[:-1] not in best or row["mean"] > best[key[:-1]]["mean"]:
            best[key[:-1]] = row
    return sorted(
        best.values(), key=lambda row: (row["model"], -row["k"], row["epochs"], row["method"])
    )
