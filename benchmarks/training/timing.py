"""Times a training step with every estimator for one number of threads.

Run by the suite as a process of its own, since TensorFlow fixes its threads at its start.
"""

import functools
import json
import sys
import time
from typing import Any

from benchmarks import common
from benchmarks.training import steps
from examples.common.console import Progress, console


def measure(
    *, threads: int, repetitions: int, labels: Any = None, clock: str = "perf_counter"
) -> dict[str, Any]:
    """Medians, and ratios to straight-through of the same repetitions.

    Args:
        threads: Intra-op threads.
        repetitions: Timed steps of each estimator.
        labels: Restricts the estimators to these; none: all.
        clock: "perf_counter" (wall time) or "process_time" (CPU time of all threads, which others
            at work on the machine leave alone).

    Returns:
        result: {"environment", "rows", "refused"}; a row has label, num_samples, runs, the ratio
            and a timing summary; `refused` maps labels to why they cannot train the model.
    """
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    chosen = [n for n in steps.names() if not labels or n in labels or n == steps.BASELINE]
    functions, refused = steps.trainable(chosen)
    # On standard error: standard output is for the result.
    text = f"{len(functions)} estimators"
    with Progress(text, repetitions, unit="repetitions", to=console(sys.stderr)) as progress:
        seconds = common.time_interleaved(
            functions,
            repetitions=repetitions,
            clock=getattr(time, clock),
            on_repetition=functools.partial(progress.advance, 1),
        )
    rows = [
        {
            "label": label,
            "num_samples": functions[label].num_samples,
            "runs": functions[label].runs,
            "ratio": common.median_ratio(times, seconds[steps.BASELINE]),
            **common.summarize(times),
        }
        for label, times in seconds.items()
    ]
    environment = common.environment(threads=threads, clock=clock)
    return {"environment": environment, "rows": rows, "refused": refused}


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
