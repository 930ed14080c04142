"""Runs the suite, prints its tables and keeps them in benchmarks/results/estimators.json.

python -m benchmarks.estimators
python -m benchmarks.estimators --peers_python=TORCH_VENV/bin/python --peers_dir=CLONES
"""

import json
import os
import subprocess
import sys
from typing import Any

from absl import flags
from rich.table import Table

from benchmarks import common
from benchmarks.estimators.cases import BASELINE, SHAPES
from examples.common import start
from examples.common.console import console, table
from tfgumbel.internal.files import write_json

FLAGS = flags.FLAGS
SUITES = ("timing", "accuracy", "memory")
MEMORY = (10, 1000, None)

flags.DEFINE_list("suites", list(SUITES), f"Among {', '.join(SUITES)}.")
flags.DEFINE_list("threads", ["1", "2"], "Intra-op threads, each measured in its own process.")
flags.DEFINE_list("shapes", ["x".join(map(str, s)) for s in SHAPES], "Batch x variables x classes.")
flags.DEFINE_list("labels", None, "Times these of our cases only; none: all.")
flags.DEFINE_integer("repetitions", 30, "Timed calls of each fast case.")
flags.DEFINE_integer("slow_repetitions", 5, "Timed calls of each case of K >= 100.")
flags.DEFINE_enum("clock", "perf_counter", ["perf_counter", "process_time"], "Wall or CPU time.")
flags.DEFINE_string("peers_python", None, "An interpreter with PyTorch, to time the peers with.")
flags.DEFINE_string("peers_dir", None, "Clones of gumbel-rao-pytorch and GST; see peers.py.")
flags.DEFINE_bool("quick", False, "Few repetitions and the small shapes: does it run?")
flags.DEFINE_string("output", str(common.RESULTS / "estimators.json"), "Where results are kept.")


def child(module: str, request: dict[str, Any]) -> Any:
    """Runs a measurement in a fresh process, which prints a line of JSON; returns its value."""
    print(f"{module} {json.dumps(request)}", flush=True)
    completed = subprocess.run(
        [sys.executable, "-m", f"benchmarks.estimators.{module}", json.dumps(request)],
        stdout=subprocess.PIPE,
        check=True,
        cwd=common.REPOSITORY,
        env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ},
    )
    return json.loads(completed.stdout)


def timing_table(rows: list[dict[str, Any]], threads: int) -> Table:
    """One line for each case and mode: medians, and ratios to the exact rule in graph mode."""
    shapes = list(dict.fromkeys(tuple(row["shape"]) for row in rows))
    lines: dict[tuple[str, str], dict[tuple[int, ...], str]] = {}
    for row in rows:
        cell = f"{row['median_ms']:.2f} ({row['ratio']:.2f})"
        lines.setdefault((row["label"], row["mode"]), {})[tuple(row["shape"])] = cell
    return table(
        f"Forward + backward, ms (and times {BASELINE}, graph), {threads} thread(s)",
        ["estimator", "mode", *("x".join(map(str, shape)) for shape in shapes)],
        [
            (label, mode, *(cells.get(shape, "-") for shape in shapes))
            for (label, mode), cells in lines.items()
        ],
    )


def accuracy_table(rows: list[dict[str, Any]]) -> Table:
    """Median and worst relative error for each temperature and number of classes."""
    sizes = list(dict.fromkeys(row["num_classes"] for row in rows))
    lines: dict[float, dict[int, str]] = {}
    for row in rows:
        cell = f"{row['median']:.0e} ({row['worst']:.0e})"
        lines.setdefault(row["temperature"], {})[row["num_classes"]] = cell
    return table(
        f"{BASELINE}: error / max|g|, median (worst)",
        ["temperature", *(f"{size} classes" for size in sizes)],
        [
            (f"{temperature:g}", *(cells.get(size, "-") for size in sizes))
            for temperature, cells in sorted(lines.items())
        ],
    )


def memory_table(rows: list[dict[str, Any]]) -> Table:
    """Extra peak memory by the number of samples."""
    return table(
        "Extra peak memory of gumbel_rao, 20x60x16",
        ["num_samples", "MiB"],
        [(str(row["num_samples"]), f"{row['mebibytes']:.2f}") for row in rows],
    )


def main():
    """Measures, prints and saves."""
    out = console()
    result: dict[str, Any] = {"suite": "estimators", "environment": common.environment()}
    if "timing" in FLAGS.suites:
        shapes = [list(map(int, shape.split("x"))) for shape in FLAGS.shapes]
        request = {
            "repetitions": 3 if FLAGS.quick else FLAGS.repetitions,
            "slow_repetitions": 1 if FLAGS.quick else FLAGS.slow_repetitions,
            "shapes": [s for s in shapes if s[0] <= 20] if FLAGS.quick else shapes,
            "labels": FLAGS.labels,
            "peers_python": FLAGS.peers_python,
            "peers_dir": FLAGS.peers_dir,
            "clock": FLAGS.clock,
        }
        result["timing"] = []
        for threads in map(int, FLAGS.threads):
            measured = child("timing", {**request, "threads": threads})
            result["timing"].append(measured)
            out.print(timing_table(measured["rows"], threads))
    if "accuracy" in FLAGS.suites:
        result["accuracy"] = child("accuracy", {"sizes": [2, 4]} if FLAGS.quick else {})
        out.print(accuracy_table(result["accuracy"]))
    if "memory" in FLAGS.suites:
        result["memory"] = [
            {
                "num_samples": "exact" if samples is None else samples,
                "mebibytes": child("memory", {"num_samples": samples, "shape": [20, 60, 16]}),
            }
            for samples in MEMORY
        ]
        out.print(memory_table(result["memory"]))
    write_json(FLAGS.output, result)
    print(f"Saved {FLAGS.output}")


if __name__ == "__main__":
    start.run(main)
