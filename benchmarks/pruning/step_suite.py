"""Time of a training step with learned masks, relative to the dense model's in the same minute."""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfgumbel
from benchmarks import common
from examples.prune_mnist import models

# Model, image shape, most that a step may cost relative to dense, timed calls of each kind.
SUITE = (
    ("lenet300", (28, 28, 1), 2.5, 25),
    ("lenet5", (28, 28, 1), 1.25, 15),
    ("resnet20", (32, 32, 3), 1.10, 5),
)
TOTAL = sum(case[3] for case in SUITE)
BATCH_SIZE = 128
STEPS = 10


def run(
    clock: Callable[[], float] = time.perf_counter, on_repetition: Callable[[], Any] = lambda: None
) -> list[dict[str, Any]]:
    """Times calls of `STEPS` steps of each, dense and pruned in turns.

    Args:
        clock: `time.process_time` counts this process's own work, on a machine that others use.
        on_repetition: called after each of the `TOTAL` repetitions.

    Returns:
        results: one dict a model: `ratio`, `goal`, and a timing summary of each kind of step.
    """
    results = []
    for name, shape, goal, repetitions in SUITE:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(STEPS, BATCH_SIZE, *shape)).astype("float32")
        y = rng.integers(0, 10, (STEPS, BATCH_SIZE))
        dense = models.build(name, shape)
        pruned = tfgumbel.prune(models.build(name, shape), 0.05, seed=0, total_steps=10**6)
        functions = {"dense": _epoch(dense, x, y), "learned": _epoch(pruned, x, y)}
        seconds = common.time_interleaved(
            functions, repetitions=repetitions, clock=clock, on_repetition=on_repetition
        )
        ratio = common.median_ratio(seconds["learned"], seconds["dense"])
        per_step = {kind: [value / STEPS for value in times] for kind, times in seconds.items()}
        timings = {kind: common.summarize(times) for kind, times in per_step.items()}
        results.append({"model": name, "ratio": ratio, "goal": goal, **timings})
    return results


def _epoch(model: keras.Model, x: np.ndarray, y: np.ndarray) -> Callable[[], Any]:
    """A call that runs `STEPS` compiled training steps, without the costs of `fit` around them."""
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=STEPS,
    )
    # Batches are made beforehand: putting single images together would take longer than a step.
    batches = tf.data.Dataset.from_tensor_slices((x, y)).repeat()
    model.fit(batches, steps_per_epoch=STEPS, verbose=0, shuffle=False)
    iterator = iter(batches)
    return lambda: np.asarray(model.train_function(iterator)["loss"])
