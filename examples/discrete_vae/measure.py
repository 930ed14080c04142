"""What a training step costs and how much its gradient scatters: for the table of estimators."""

import pathlib
import time

import numpy as np
import tensorflow as tf

CHUNK = 20


def gradient_variance(trained, num_draws, *, warm_up=20, seed=0):
    """Variance of the gradient for the logits of q(D | x), given the weights as they are.

    Of one image: the sum of the variances of all logits' gradients (Paulus et al. 2021, eq. 13),
    estimated from `num_draws` calls on one batch of training images, and averaged over the batch.
    The divergence from the prior has none. What the estimator learns is put back at the end.

    Args:
        trained: `train.Training`.
        num_draws: int >= 2.
        warm_up: int, draws before those that count, for running means to find their level.
        seed: int.

    Returns:
        variance: float, for the gradient of one image as one call gives it.
        runs: float, the rows that the program was run on for each image of a call.
    """
    model = trained.model
    images = trained.splits.binarize(trained.batch(tf.constant(0, tf.int64)), [seed, 0])
    logits = model.posterior_logits(images)
    rows = []

    def program(draw, inputs):
        rows.append(inputs[0].shape[0])
        return model.program(draw, inputs)

    @tf.function
    def moments(first, count):
        rows.clear()
        total = square = tf.zeros_like(logits, tf.float64)
        for index in tf.range(first, first + count):
            with tf.GradientTape() as tape:
                tape.watch(logits)
                value = model.estimator.expectation(
                    program, (images, logits), tf.stack([seed, index])
                )
            gradient = tf.cast(tape.gradient(value, logits), tf.float64)
            total += gradient
            square += gradient**2
        return total, square

    state = [(variable, np.asarray(variable)) for variable in model.estimator.variables]
    moments(tf.constant(0), tf.constant(warm_up))
    total, square = (one.numpy() for one in moments(tf.constant(warm_up), tf.constant(num_draws)))
    for variable, value in state:
        variable.assign(value)
    by_entry = (square - total**2 / num_draws) / (num_draws - 1)
    return float(by_entry.sum() / len(images)), sum(rows) / len(images)


def step_milliseconds(trained, other, chunks=6):
    """CPU time of a step of each of two runs, taking turns, so that a busy machine slows both.

    Returns:
        milliseconds: float, of `trained`; medians of chunks of steps.
        ratio: float, to `other`: the median of the pairs' ratios.
    """
    times = []
    for one in (trained, other):
        one.advance(CHUNK)  # traces
    for _ in range(chunks):
        pair = []
        for one in (trained, other):
            start = time.process_time()
            one.advance(CHUNK)
            pair.append((time.process_time() - start) / CHUNK * 1e3)
        times.append(pair)
    times = np.asarray(times)
    return float(np.median(times[:, 0])), float(np.median(times[:, 0] / times[:, 1]))


class PeakMemory:
    """How far the memory of this process rises within the context, in MiB; None off Linux."""

    def __enter__(self):
        self.mebibytes = None
        try:
            pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        except OSError:
            self._before = None
        else:
            self._before = _mebibytes("VmRSS")
        return self

    def __exit__(self, *_):
        if self._before is not None:
            self.mebibytes = _mebibytes("VmHWM") - self._before


def _mebibytes(field):
    for line in pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024.0
    raise RuntimeError(f"This kernel does not tell {field}.")
