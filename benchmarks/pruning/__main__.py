"""Runs the suites, prints their tables, and keeps the results in benchmarks/results/pruning.json.

python -m benchmarks.pruning
python -m benchmarks.pruning --quality --data_dir=$HOME/tensorflow_datasets
python -m benchmarks.pruning --suites=filters
"""

import json
import time
from typing import Any

from absl import app, flags

from benchmarks import common
from benchmarks.pruning import (
    export_suite,
    filter_suite,
    memory,
    projection_suite,
    quality_suite,
    step_suite,
)
from benchmarks.pruning.tables import table_of
from examples.common.console import Progress, console
from tfgumbel.internal.files import write_json

FLAGS = flags.FLAGS
SUITES = ("steps", "projection", "export", "memory")

flags.DEFINE_list(
    "suites", list(SUITES), f"Among {', '.join(SUITES)}, and filters: accuracy of whole filters."
)
flags.DEFINE_string("dataset", "digits", "Of the filters' suite; others than digits: TFDS.")
flags.DEFINE_integer("images", None, "Training images of the filters' suite; none: all.")
flags.DEFINE_integer("filter_epochs", filter_suite.EPOCHS, "Of the filters' suite.")
flags.DEFINE_list("filter_seeds", list(map(str, filter_suite.SEEDS)), "Of the filters' suite.")
flags.DEFINE_list("filter_methods", list(filter_suite.METHODS), "Of the filters' suite.")
flags.DEFINE_list("budgets", list(map(str, filter_suite.BUDGETS)), "Of the filters' suite.")
flags.DEFINE_integer("validation", 0, "Filters: test on the last so many training images.")
flags.DEFINE_bool("quality", False, "Also the accuracy at each budget, on MNIST: hours.")
flags.DEFINE_string("data_dir", None, "Directory of TFDS data sets; none: TFDS's own.")
flags.DEFINE_list("cases", [], "Of the quality suite, such as lenet300/0.01; none: all.")
flags.DEFINE_list("seeds", list(map(str, quality_suite.SEEDS)), "Of the quality suite.")
flags.DEFINE_list("methods", ["learned", "magnitude"], "Of the quality suite.")
flags.DEFINE_list(
    "rates", list(map(str, quality_suite.RATES)), "Peak rates of Adam for magnitude pruning."
)
flags.DEFINE_integer("epochs", quality_suite.EPOCHS, "Of the quality suite.")
flags.DEFINE_list(
    "weights",
    ["2_000_000", "20_000_000"],
    "Of the memory suite; 100_000_000 wants the machine for itself.",
)
flags.DEFINE_integer("threads", 0, "Intra-op threads of TensorFlow; 0: all cores.")
flags.DEFINE_enum(
    "clock",
    "perf_counter",
    ["perf_counter", "process_time"],
    "Of the steps; process_time counts this process's own work, on a machine that others use.",
)
flags.DEFINE_string("output", str(common.RESULTS / "pruning.json"), "Where the results are kept.")


def main(argv):
    import tensorflow as tf

    if len(argv) > 1:
        raise app.UsageError(f"Flags only; received {argv[1:]}.")
    tf.config.threading.set_intra_op_parallelism_threads(FLAGS.threads)
    out = console()
    result: dict[str, Any] = {}
    try:
        with open(FLAGS.output, encoding="utf-8") as file:
            result = json.load(file)
    except FileNotFoundError:
        pass

    def save(suite: str, rows: Any) -> None:
        """Keeps the other suites' results, each beside where and when it was measured."""
        measured = common.environment(threads=FLAGS.threads, clock=FLAGS.clock)
        result[suite] = {"environment": measured, "results": rows}
        write_json(FLAGS.output, result)

    if "steps" in FLAGS.suites:
        with Progress("step time", step_suite.TOTAL, unit="repetitions", to=out) as progress:
            rows = step_suite.run(getattr(time, FLAGS.clock), lambda: progress.advance(1))
        save("steps", rows)
        flat = [
            {**row, **{f"{kind} ms": row[kind]["median_ms"] for kind in ("dense", "learned")}}
            for row in rows
        ]
        columns = {"model": "", "dense ms": ".2f", "learned ms": ".2f", "ratio": ".2f", "goal": ""}
        out.print(table_of("step time", flat, columns))
    if "projection" in FLAGS.suites:
        with Progress("projection", projection_suite.TOTAL, unit="repetitions", to=out) as progress:
            rows = projection_suite.run(lambda: progress.advance(1))
        save("projection", rows)
        out.print(projection_suite.table(rows))
    if "export" in FLAGS.suites:
        with Progress("export", len(export_suite.CASES), unit="files", to=out) as progress:
            rows = export_suite.run(advance=lambda: progress.advance(1))
        save("export", rows)
        columns = {"format": "", "density": "", "block": "", "size": ",", "dense_size": ","}
        for row in rows:
            if row["latency"]:
                row["speed"] = row["dense_latency"] / row["latency"]
        out.print(table_of("export", rows, {**columns, "latency": ".2e", "speed": ".2f"}))
    if "memory" in FLAGS.suites:
        sizes = [int(size) for size in FLAGS.weights]
        total = len(sizes) * len(memory.METHODS)
        with Progress("peak memory", total, unit="trainings", to=out) as progress:
            rows = memory.run(sizes, lambda: progress.advance(1))
        save("memory", rows)
        for row in rows:
            row["training GB"], row["peak GB"] = (
                row[name] / 1e9 for name in ("training_bytes", "peak_bytes")
            )
        columns = {"method": "", "weights": ",", "training GB": ".2f", "peak GB": ".2f"}
        columns |= {"copies": ".1f", "peak_copies": ".1f"}
        out.print(table_of("peak memory", rows, columns))
    if "filters" in FLAGS.suites:
        with Progress("filters", 1, unit="trainings", to=out) as progress:
            rows = filter_suite.run(
                FLAGS.dataset,
                FLAGS.data_dir,
                images=FLAGS.images,
                epochs=FLAGS.filter_epochs,
                budgets=tuple(map(float, FLAGS.budgets)),
                methods=tuple(FLAGS.filter_methods),
                seeds=tuple(map(int, FLAGS.filter_seeds)),
                validation=FLAGS.validation,
                done=result.get("filters", {}).get("results", []),
                save=lambda rows: save("filters", rows),
                progress=progress,
            )
        columns = {"dataset": "", "normalised": "", "k": "", "method": "", "seeds": ""}
        columns |= {"mean": ".2f", "error": ".2f", "ahead": "+.2f", "ahead_error": ".2f"}
        out.print(table_of("filters: test accuracy, %", filter_suite.summary(rows), columns))
    if FLAGS.quality:
        done = result.get("quality", {}).get("results", [])
        with Progress("accuracy", len(quality_suite.SUITE), unit="trainings", to=out) as progress:
            rows = quality_suite.run(
                FLAGS.data_dir,
                names=tuple(FLAGS.cases),
                seeds=tuple(map(int, FLAGS.seeds)),
                methods=tuple(FLAGS.methods),
                rates=tuple(map(float, FLAGS.rates)),
                epochs=FLAGS.epochs,
                done=done,
                save=lambda rows: save("quality", rows),
                progress=progress,
            )
        columns = {"model": "", "k": "", "epochs": "", "method": "", "rate": ""}
        columns |= {"mean": ".2f", "deviation": ".2f", "seeds": "", "goal": "", "seconds": ".0f"}
        out.print(table_of("test accuracy, %", quality_suite.summary(rows), columns))


if __name__ == "__main__":
    app.run(main)
