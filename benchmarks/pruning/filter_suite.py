"""Accuracy where whole filters are pruned: learned masks beside magnitude, random and dense.

All methods have one start, one order of the images and one schedule for each seed, and are compared
seed by seed.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import keras

import tfgumbel
from benchmarks.pruning.quality_suite import defaults
from benchmarks.pruning.trainings import Training, complete
from examples.prune_mnist import data as data_sets
from pruning.groups.structures import parse_structure
from pruning.training.learning_rates import ADAPTIVE_LEARNING_RATE

BUDGETS = (0.5, 0.25, 0.125)
METHODS = ("learned", "magnitude", "random", "dense")
SEEDS = (0, 1, 2, 3, 4)
EPOCHS, BATCH_SIZE = 20, 64
KEY = ("dataset", "images", "epochs", "normalised", "k", "method", "seed", "validation")


def network(input_shape: Sequence[int], normalised: bool) -> keras.Model:
    """Three convolutions of 16, 32 and 32 filters, and a dense output layer."""
    stack: list[Any] = [keras.Input(tuple(input_shape))]
    for number, filters in enumerate((16, 32, 32)):
        stack.append(
            keras.layers.Conv2D(filters, 3, padding="same", use_bias=not normalised),
        )
        if normalised:
            # Keras's momentum of .99 is too slow for so few steps of the dense network.
            stack.append(keras.layers.BatchNormalization(momentum=0.9))
        stack.append(keras.layers.ReLU())
        if number < 2:
            stack.append(keras.layers.MaxPooling2D())
    return keras.Sequential([*stack, keras.layers.Flatten(), keras.layers.Dense(10)])


def accuracy(
    data: data_sets.Data, normalised: bool, k: float, method: str, seed: int, epochs: int
) -> dict[str, Any]:
    """Trains and tests one network; `filters` is how many each convolution keeps."""
    keras.utils.set_random_seed(seed)
    model = network(data.train_images.shape[1:], normalised)
    steps = -(-len(data.train_images) // BATCH_SIZE)
    optimizer: Any = "adam"
    trained = model
    if method == "dense":
        optimizer = keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(
                ADAPTIVE_LEARNING_RATE, steps * epochs, alpha=0.01
            )
        )
    else:
        trained = tfgumbel.prune(model, k, structure="filter", method=method, seed=seed)
    trained.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=steps,
    )
    trained.fit(
        data.train_images, data.train_labels, batch_size=BATCH_SIZE, epochs=epochs, verbose=0
    )
    finished = model if method == "dense" else trained.finalize()
    loss, correct = finished.evaluate(data.test_images, data.test_labels, batch_size=450, verbose=0)
    kernels = [layer.kernel.numpy() for layer in finished.layers if hasattr(layer, "kernel")][:-1]
    return {
        "accuracy": 100 * float(correct),
        "loss": float(loss),
        "filters": [int((kernel != 0).any((0, 1, 2)).sum()) for kernel in kernels],
    }


def run(
    dataset: str = "digits",
    data_dir: str | None = None,
    *,
    images: int | None = None,
    epochs: int = EPOCHS,
    budgets: Sequence[float] = BUDGETS,
    methods: Sequence[str] = METHODS,
    seeds: Sequence[int] = SEEDS,
    validation: int = 0,
    done: Sequence[dict[str, Any]] = (),
    save: Callable[[list[dict[str, Any]]], None] | None = None,
    progress: Any = None,
) -> list[dict[str, Any]]:
    """Runs the suite, skipping what `done` holds already under the settings of today.

    Args:
        dataset: a name of `examples.prune_mnist.data.DATASETS`.
        data_dir: where TFDS keeps it.
        images: how many training images, the first ones; None for all.
        epochs: passes over them.
        budgets: shares of the filters' weights.
        methods: among `METHODS`.
        seeds: seeds to run.
        validation: if above 0, tests on the last so many training images.
        done: results of an interrupted run.
        save: called with all results after each new one.
        progress: an `examples.common.console.Progress`.

    Returns:
        results: one dict a run.
    """
    results = [result for result in done if result["settings"] == _settings(result["method"])]
    data = data_sets.load(dataset, data_dir, validation)
    data = data._replace(
        train_images=data.train_images[:images], train_labels=data.train_labels[:images]
    )
    images = len(data.train_images)

    def training(normalised: bool, k: float, method: str, seed: int) -> Training:
        share = 1.0 if method == "dense" else k
        key = (dataset, images, epochs, normalised, share, method, seed, validation)
        wanted = dict(zip(KEY, key, strict=True))

        def measure() -> dict[str, Any]:
            measured = accuracy(data, normalised, k, method, seed, epochs)
            return {**wanted, **measured, "settings": _settings(method)}

        return Training(wanted, f"{k:g} {method}", measure)

    trainings = [
        training(normalised, k, method, seed)
        for k in budgets
        for seed in seeds
        for normalised in (True, False)
        for method in methods
        # The dense network has no budget: once.
        if method != "dense" or k == budgets[0]
    ]
    return complete(results, trainings, KEY, save, progress)


def _settings(method: str) -> dict[str, Any]:
    """The settings under which a result holds."""
    if method == "dense":
        return {"learning_rate": ADAPTIVE_LEARNING_RATE}
    return defaults(method) | parse_structure("filter").schedule().get_config()


def summary(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean accuracy of every method, and how far it is from magnitude, seed by seed.

    Returns:
        rows: one dict for each data set, network, budget and method. `ahead` is the mean difference
        from magnitude at the same budget, over the seeds that both have; `error` and `ahead_error`
        are standard errors, None of one seed.
    """
    groups: dict[tuple[Any, ...], dict[int, float]] = {}
    for result in results:
        key = tuple(result[name] for name in KEY if name != "seed")
        groups.setdefault(key, {})[result["seed"]] = result["accuracy"]
    rows = []
    names = [name for name in KEY if name != "seed"]
    for key, group in groups.items():
        row = dict(zip(names, key, strict=True))
        beside = tuple({**row, "method": "magnitude"}[name] for name in names)
        rival = groups.get(beside, {}) if row["method"] != "magnitude" else {}
        ahead = [group[seed] - rival[seed] for seed in group if seed in rival]
        values = list(group.values())
        row |= {"seeds": len(values), "mean": statistics.mean(values), "error": _error(values)}
        row |= {"ahead": statistics.mean(ahead) if ahead else None, "ahead_error": _error(ahead)}
        rows.append(row)
    return sorted(rows, key=lambda row: (row["dataset"], not row["normalised"], -row["k"]))


def _error(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
