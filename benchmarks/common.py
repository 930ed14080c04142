"""What every benchmark suite shares: environment metadata, interleaved timing.

Machines are noisy, so competitors run in turn within one repetition and are compared by the median
of their ratios to a baseline of the same repetition.
"""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

Key = TypeVar("Key")

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results"
_PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "numpy")


def environment(**extra: Any) -> dict[str, Any]:
    """Where and on what a result was measured: commit, versions, device, plus `extra`."""
    import tensorflow as tf

    versions = {"python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in _PACKAGES}
    devices = [processor_name()] + [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    return {
        "commit": _git("rev-parse", "HEAD"),
        "modified_files": len(_git("status", "--porcelain", "--untracked-files=no").splitlines()),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions,
        "devices": devices,
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        **extra,
    }


def processor_name() -> str:
    """The CPU's model name, as the system gives it."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


class OwnSeconds(float):
    """What a function returns that measured itself, such as one that runs in another process."""


def time_interleaved(
    functions: Mapping[Key, Callable[[], Any]],
    *,
    repetitions: int,
    warmup: int = 2,
    clock: Callable[[], float] = time.perf_counter,
    on_repetition: Callable[[], Any] = lambda: None,
) -> dict[Key, list[float]]:
    """Seconds of each call, the functions taking turns within every repetition.

    Each function must wait for its own result (end in `.numpy()`, say), or measure itself and
    return `OwnSeconds`. The order rotates, so that none always runs in another's wake. On a
    machine that others use, `clock=time.process_time` counts this process's own work.
    `on_repetition` is called after each repetition, all the functions' turns.

    >>> seconds = time_interleaved({"a": lambda: None, "b": lambda: None}, repetitions=3)
    >>> {name: len(times) for name, times in seconds.items()}
    {'a': 3, 'b': 3}
    """
    names = list(functions)
    for name in names:
        for _ in range(warmup):
            functions[name]()
    seconds: dict[Key, list[float]] = {name: [] for name in names}
    for repetition in range(repetitions):
        start = repetition % len(names)
        for name in names[start:] + names[:start]:
            begin = clock()
            own = functions[name]()
            elapsed = clock() - begin
            seconds[name].append(own if isinstance(own, OwnSeconds) else elapsed)
        on_repetition()
    return seconds


def summarize(seconds: Sequence[float]) -> dict[str, float | int]:
    """Median, quartiles and minimum of repeated timings, in milliseconds.

    >>> summarize([0.001, 0.002, 0.003])["median_ms"]
    2.0
    """
    ordered = sorted(seconds)
    quarters = statistics.quantiles(ordered, n=4) if len(ordered) > 1 else [ordered[0]] * 3
    return {
        "median_ms": 1e3 * statistics.median(ordered),
        "lower_quartile_ms": 1e3 * quarters[0],
        "upper_quartile_ms": 1e3 * quarters[2],
        "min_ms": 1e3 * ordered[0],
        "repetitions": len(ordered),
    }


def median_ratio(seconds: Sequence[float], baseline: Sequence[float]) -> float:
    """Median over repetitions of one function's time over the baseline's in that repetition.

    >>> median_ratio([2.0, 2.0, 9.0], [1.0, 1.0, 3.0])
    2.0
    """
    return statistics.median(a / b for a, b in zip(seconds, baseline, strict=True))


def _git(*arguments: str) -> str:
    try:
        completed = subprocess.run(
            ["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return completed.stdout.strip()
