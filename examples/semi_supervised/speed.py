"""Steps per second against the number of classes: a sum over all of them, or one that is drawn.

    python -m examples.semi_supervised.speed

Images are random noise: a step takes as long whatever it learns. Times are the processor's, of all
threads; the estimators take turns, so that a busy machine slows all of them.
"""

import dataclasses
import pathlib
import time

import numpy as np
from absl import flags

from examples.common import start
from examples.common.console import Progress, console, table
from examples.common.files import write_json
from examples.semi_supervised import data, pictures, train

ESTIMATORS = ("enumeration", "straight_through_gumbel_softmax", "gumbel_rao")
NUM_CLASSES = (5, 10, 20, 50, 100)

FLAGS = flags.FLAGS


def define():
    """Defines the command's flags."""
    flags.DEFINE_list("estimators", list(ESTIMATORS), "Estimators to time.")
    flags.DEFINE_list("num_classes", [str(one) for one in NUM_CLASSES], "Numbers of classes.")
    flags.DEFINE_integer("pixels", 784, "Of an image.", lower_bound=1)
    flags.DEFINE_integer("chunk", 10, "Steps of a measurement.", lower_bound=1)
    flags.DEFINE_integer("repetitions", 3, "Measurements of each, of which the median counts.")
    flags.DEFINE_string("run_dir", "runs/semi_supervised_speed", "Results and picture.")


def noise(num_pixels, count=1_000):
    """`data.Data` of no meaning."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, [count, num_pixels], dtype=np.uint8)
    classes = (np.arange(100) % data.NUM_CLASSES).astype(np.int32)
    judged = images[:10] & 1, classes[:10]
    return data.Data(images, images[:100], classes, judged, judged, (num_pixels, 1))


def steps_per_second(runs, chunk, repetitions):
    """Median of each of several runs, in steps per second of processor time."""
    rates = np.zeros([repetitions + 1, len(runs)])
    for repetition in range(repetitions + 1):
        for index, one in enumerate(runs):
            begin = time.process_time()
            one.advance(chunk)
            rates[repetition, index] = chunk / (time.process_time() - begin)
    return np.median(rates[1:], axis=0)  # the first traces


def main():
    digits = noise(FLAGS.pixels)
    counts = [int(one) for one in FLAGS.num_classes]
    rows = []
    with Progress("numbers of classes", len(counts)) as progress:
        for num_classes in counts:
            runs = [
                train.Training(
                    dataclasses.replace(train.Settings(), estimator=name),
                    digits,
                    num_classes=num_classes,
                )
                for name in FLAGS.estimators
            ]
            rates = steps_per_second(runs, FLAGS.chunk, FLAGS.repetitions)
            rows += [
                {"estimator": name, "num_classes": num_classes, "steps_per_second": float(rate)}
                for name, rate in zip(FLAGS.estimators, rates, strict=True)
            ]
            progress.advance(1)
    run_dir = pathlib.Path(FLAGS.run_dir)
    results = {"pixels": FLAGS.pixels, "batch_size": train.Settings().batch_size, "rows": rows}
    write_json(run_dir / "speed.json", results)
    pictures.speed(results, run_dir / "speed.png")
    lines = []
    for name in FLAGS.estimators:
        rates = [row["steps_per_second"] for row in rows if row["estimator"] == name]
        lines.append([name, *(f"{rate:.0f}" for rate in rates)])
    headings = ["classes", *map(str, counts)]
    console().print(table("Steps per second of processor time", headings, lines))
    print("Picture:", run_dir / "speed.png", sep="\n  ")


if __name__ == "__main__":
    define()
    start.run(main)
