"""Times every case for one number of threads, peers taking turns with ours.

Run by the suite as a process of its own, since TensorFlow fixes its threads at its start.
"""

import functools
import json
import sys
import time
from typing import Any

from benchmarks import common
from benchmarks.estimators import peers
from benchmarks.estimators.cases import (
    BASELINE,
    MONTE_CARLO,
    SHAPES,
    SLOW_NUM_SAMPLES,
    TEMPERATURE,
    arguments,
    cases,
    step,
)
from examples.common.console import Progress, console


def measure(
    *,
    threads: int,
    repetitions: int,
    slow_repetitions: int,
    shapes: Any = SHAPES,
    labels: Any = None,
    peers_python: str | None = None,
    peers_dir: str | None = None,
    clock: str = "perf_counter",
) -> dict[str, Any]:
    """Medians, and ratios to the exact rule in graph mode of the same repetitions.

    Args:
        threads: Intra-op threads, of TensorFlow and of PyTorch.
        repetitions: Timed calls of each fast case.
        slow_repetitions: Timed calls of each case of `SLOW_NUM_SAMPLES` or more, and of the peers.
        shapes: Problem sizes (batch, variables, classes).
        labels: Restricts our cases to these labels; none: all.
        peers_python: An interpreter with PyTorch; none: ours alone.
        peers_dir: The peers' repositories.
        clock: "perf_counter" (wall time) or "process_time" (CPU time of all threads, which others
            at work on the machine leave alone).

    Returns:
        result: {"environment", "rows"}; a row has shape, label, mode, group and the figures.
    """
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    worker = peers.Worker(peers_python, peers_dir or "", threads) if peers_python else None
    rows = []
    for shape in shapes:
        inputs = [tf.constant(x) for x in arguments(shape)]
        groups: dict[str, dict[tuple[str, str], Any]] = {"fast": {}, "slow": {}}
        for case in cases():
            if labels and case.label not in labels and case.label != BASELINE:
                continue
            for mode in ("graph", "xla"):
                function = step(case, jit_compile=mode == "xla")
                call = functools.partial(_wait, function, inputs)
                groups["slow" if case.slow else "fast"][case.label, mode] = call
                if (case.label, mode) == (BASELINE, "graph"):
                    groups["slow"][case.label, mode] = call
        for peer in worker.peers if worker else ():
            for num_samples in MONTE_CARLO:
                group = groups["slow" if num_samples >= SLOW_NUM_SAMPLES else "fast"]
                timer = worker.timer(peer, num_samples, shape, TEMPERATURE, clock)
                group[f"{peer} K={num_samples}", "torch"] = timer
        for name, group in groups.items():
            repeat = slow_repetitions if name == "slow" else repetitions
            text = f"{'x'.join(map(str, shape))}, {len(group)} {name} cases"
            # On standard error: standard output is for the result.
            with Progress(text, repeat, unit="repetitions", to=console(sys.stderr)) as progress:
                seconds = common.time_interleaved(
                    group,
                    repetitions=repeat,
                    warmup=1,
                    clock=getattr(time, clock),
                    on_repetition=functools.partial(progress.advance, 1),
                )
            baseline = seconds[BASELINE, "graph"]
            for (label, mode), times in seconds.items():
                rows.append(
                    {
                        "shape": list(shape),
                        "label": label,
                        "mode": mode,
                        "group": name,
                        "ratio": common.median_ratio(times, baseline),
                        **common.summarize(times),
                    }
                )
    torch_version = worker.version if worker else None
    if worker:
        worker.close()
    environment = common.environment(threads=threads, torch=torch_version, clock=clock)
    return {"environment": environment, "rows": rows}


def _wait(function: Any, inputs: Any) -> None:
    for output in function(*inputs):
        output.numpy()


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
