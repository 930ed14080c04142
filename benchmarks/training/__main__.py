"""Runs the suite, prints its table and keeps it in benchmarks/results/training.json.

python -m benchmarks.training
"""

import json
import os
import subprocess
import sys
from typing import Any

from absl import flags
from rich.table import Table

from benchmarks import common
from benchmarks.training.steps import ARITY, BASELINE, BATCH_SIZE, NUM_VARIABLES
from examples.common import start
from examples.common.console import console, table
from tfgumbel.internal.files import write_json

FLAGS = flags.FLAGS

flags.DEFINE_integer("threads", 1, "Intra-op threads.", lower_bound=1)
flags.DEFINE_integer("repetitions", 30, "Timed steps of each estimator.", lower_bound=2)
flags.DEFINE_list("labels", None, "Times these only, beside the baseline; none: all.")
flags.DEFINE_enum("clock", "perf_counter", ["perf_counter", "process_time"], "Wall or CPU time.")
flags.DEFINE_string("output", str(common.RESULTS / "training.json"), "Where results are kept.")


def training_table(measured: dict[str, Any]) -> Table:
    """One line for each estimator, the cheapest first."""
    return table(
        f"A step of the discrete VAE, {NUM_VARIABLES} x {ARITY} classes, batch {BATCH_SIZE}",
        ["estimator", "samples", "runs", "ms", f"times {BASELINE}"],
        [
            (
                row["label"],
                str(row["num_samples"]),
                f"{row['runs']:g}",
                f"{row['median_ms']:.1f}",
                f"{row['ratio']:.2f}",
            )
            for row in sorted(measured["rows"], key=lambda row: row["ratio"])
        ],
    )


def main():
    """Measures, prints and saves."""
    request = {
        "threads": FLAGS.threads,
        "repetitions": FLAGS.repetitions,
        "labels": FLAGS.labels,
        "clock": FLAGS.clock,
    }
    completed = subprocess.run(
        [sys.executable, "-m", "benchmarks.training.timing", json.dumps(request)],
        stdout=subprocess.PIPE,
        check=True,
        cwd=common.REPOSITORY,
        env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ},
    )
    measured = json.loads(completed.stdout)
    console().print(training_table(measured))
    for label, reason in measured["refused"].items():
        print(f"{label}: {reason}")
    write_json(FLAGS.output, {"suite": "training", **measured})
    print(f"Saved {FLAGS.output}")


if __name__ == "__main__":
    start.run(main)
