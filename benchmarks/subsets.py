"""Time and memory of subsets of many classes, one estimator and mode in a process of its own.

    python -m benchmarks.subsets
    python -m benchmarks.subsets --estimator=straight_through_subset --jit --classes=1000 --k=10

CPU time of one thread, which other processes disturb less than the clock's; Linux only.
"""

import argparse
import json
import pathlib
import time

import numpy as np

REPETITIONS = 7


def measure(estimator: str, classes: int, k: int, jit: bool) -> dict[str, float | int | str | bool]:
    """Times a forward and a backward pass of one row, after a first one that is not counted.

    Args:
        estimator: A name in the registry, for subsets.
        classes: Number of classes.
        k: Number of classes drawn.
        jit: Whether XLA compiles the step.

    Returns:
        result: "milliseconds", the median; "first_seconds", of the first step, compiling where it
        does; "peak_mebibytes", how far that raised the process's memory at its peak.
    """
    import tensorflow as tf

    from tfgumbel.registry import sample_estimators

    entry = sample_estimators()[estimator]
    rng = np.random.default_rng(0)
    logits, upstream = (tf.constant(rng.normal(size=(1, classes)), tf.float32) for _ in range(2))

    @tf.function(jit_compile=jit)
    def step(logits, upstream, seed):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            sample = entry(logits, temperature=0.5, seed=seed, k=k)
        return sample, tape.gradient(sample, logits, output_gradients=upstream)

    def seconds(number: int) -> float:
        start = time.process_time()
        for output in step(logits, upstream, tf.constant([1, number])):
            output.numpy()
        return time.process_time() - start

    step.get_concrete_function(logits, upstream, tf.constant([1, 0]))
    pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _mebibytes("VmRSS")
    first = seconds(0)
    peak = _mebibytes("VmHWM") - before
    times = [seconds(number) for number in range(1, REPETITIONS + 1)]
    return {
        "estimator": estimator,
        "classes": classes,
        "k": k,
        "jit": jit,
        "milliseconds": round(1e3 * float(np.median(times)), 1),
        "first_seconds": round(first, 1),
        "peak_mebibytes": round(peak),
    }


def _mebibytes(field: str) -> float:
    """A size in /proc/self/status."""
    for line in pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024.0
    raise RuntimeError(f"This kernel does not tell {field}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--estimator", default="simple_subset")
    parser.add_argument("--classes", type=int, default=10_000)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--jit", action="store_true")
    arguments = parser.parse_args()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    print(json.dumps(measure(**vars(arguments))))


if __name__ == "__main__":
    main()
