"""Peak memory of a training, dense and pruned, each in a process of its own.

    python -m benchmarks.pruning.memory '{"method": "learned", "weights": 20000000}'

prints a line of JSON; `run` starts such processes and puts them beside each other. At a small size
the difference is what XLA takes to compile, at a large one what each weight takes.

With oneDNN, which is TensorFlow's default, large tensors come from a pool that gives no memory back
and leaves gaps: the process then holds more than its tensors ever need at once. `run` switches it
off unless the environment says otherwise, so that what is measured is the program's.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import common

METHODS = ("dense", "learned", "magnitude")
INPUTS, OUTPUTS, BATCH_SIZE = 1000, 10, 16
# Enough for every phase of the schedule: the budget falls, the mask is fixed, weights fine-tune.
STEPS = 20


def measure(method: str, weights: int) -> dict[str, Any]:
    """Trains, evaluates and finalizes a network of two wide layers in this process.

    Args:
        method: one of `METHODS`.
        weights: about how many kernel weights it has.

    Returns:
        result: `weights`, `weight_bytes` of the kernels, and the highest memory of the process
        after the training (`training_bytes`) and after `finalize` (`peak_bytes`).
    """
    import keras
    import numpy as np

    import tfgumbel

    width = round((-(INPUTS + OUTPUTS) + ((INPUTS + OUTPUTS) ** 2 + 4 * weights) ** 0.5) / 2)
    model: Any = keras.Sequential(
        [
            keras.Input((INPUTS,)),
            keras.layers.Dense(width, activation="relu"),
            keras.layers.Dense(width, activation="relu"),
            keras.layers.Dense(OUTPUTS),
        ]
    )
    size = sum(int(np.prod(layer.kernel.shape)) for layer in model.layers)
    if method != "dense":
        model = tfgumbel.prune(model, 0.05, method=method, seed=0)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS // 2 * BATCH_SIZE, INPUTS)).astype("float32")
    y = rng.integers(0, OUTPUTS, len(x))
    model.fit(x, y, batch_size=BATCH_SIZE, epochs=2, validation_data=(x, y), verbose=0)
    training = _peak()
    if method != "dense":
        model.finalize()
    return {
        "method": method,
        "weights": size,
        "weight_bytes": 4 * size,
        "training_bytes": training,
        "peak_bytes": _peak(),
    }


def run(sizes: Sequence[int], advance: Callable[[], Any] = lambda: None) -> list[dict[str, Any]]:
    """Measures every method at every size.

    Args:
        sizes: numbers of weights.
        advance: called after each training.

    Returns:
        results: those of `measure`, and `copies`: by how many times the bytes of the weights the
        training's peak is above that of the dense model; `peak_copies`, likewise with `finalize`.
    """
    results = []
    for weights in sizes:
        dense = 0
        for method in METHODS:
            result = _child({"method": method, "weights": weights})
            dense = result["training_bytes"] if method == "dense" else dense
            for name, measured in (("copies", "training_bytes"), ("peak_copies", "peak_bytes")):
                result[name] = (result[measured] - dense) / result["weight_bytes"]
            results.append(result)
            advance()
    return results


def _child(request: dict[str, Any]) -> dict[str, Any]:
    completed = subprocess.run(
        [sys.executable, "-m", "benchmarks.pruning.memory", json.dumps(request)],
        stdout=subprocess.PIPE,
        check=True,
        cwd=common.REPOSITORY,
        env={"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", **os.environ},
    )
    return json.loads(completed.stdout)


def _peak() -> int:
    """The highest resident memory of this process so far, bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
