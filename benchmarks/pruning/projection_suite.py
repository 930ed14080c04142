"""The projection and the masked weights beside one pass over memory in the same minute."""

import resource
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from rich.table import Table

from benchmarks import common
from examples.common import console
from pruning.budgets.projection import project_onto_budget
from pruning.groups.groups import Grid, Groups
from pruning.masks.product import noisy_product

# Entries, repetitions, most milliseconds cold and warm (on two threads; None: no goal).
PROJECTIONS = ((10**6, 30, None), (10**7, 15, (25.0, 15.0)), (10**8, 3, None))
MASKS = (10**6, 20)
TOTAL = sum(case[1] for case in PROJECTIONS) + MASKS[1]
DENSITY = 0.05
# Steps of a simulated training that lead to the vector that is timed.
STEPS = 8


def run(on_repetition: Callable[[], Any] = lambda: None) -> list[dict[str, Any]]:
    """Times every case.

    Args:
        on_repetition: called after each of the `TOTAL` repetitions.

    Returns:
        rows: one dict a case: `case`, `entries`, `ratio` to a plain sum of the same vector, `goal`
        in milliseconds or None, `cpu_ms`, the least processor time of all threads together (what
        other programs on the machine disturb least), `peak_bytes` of the process so far, and a
        timing summary.
    """
    rows = []
    for entries, repetitions, goals in PROJECTIONS:
        goal = {} if goals is None else dict(zip(("cold", "warm"), goals, strict=True))
        rows += _measure(entries, _projections(entries), repetitions, goal, on_repetition)
    entries, repetitions = MASKS
    return rows + _measure(entries, _masks(entries), repetitions, {}, on_repetition)


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows, with the processor time that an entry takes."""
    headings = [
        "case",
        "entries",
        "ms",
        "CPU ms",
        "CPU ns per entry",
        "sums",
        "goal ms",
        "peak GiB",
    ]
    cells = [
        (
            row["case"],
            f"{row['entries']:,}",
            f"{row['median_ms']:.2f}",
            f"{row['cpu_ms']:.2f}",
            f"{1e6 * row['cpu_ms'] / row['entries']:.2f}",
            f"{row['ratio']:.1f}",
            "-" if row["goal"] is None else f"{row['goal']:.0f}",
            f"{row['peak_bytes'] / 2**30:.1f}",
        )
        for row in rows
    ]
    return console.table("projection and mask", headings, cells)


def _measure(
    entries: int,
    functions: dict[str, Callable[[], Any]],
    repetitions: int,
    goals: dict[str, float],
    on_repetition: Callable[[], Any],
) -> list[dict[str, Any]]:
    processor: dict[str, list[float]] = {case: [] for case in functions}

    def counted(case: str) -> Callable[[], None]:
        def call() -> None:
            begin = time.process_time()
            functions[case]()
            processor[case].append(time.process_time() - begin)

        return call

    seconds = common.time_interleaved(
        {case: counted(case) for case in functions},
        repetitions=repetitions,
        on_repetition=on_repetition,
    )
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return [
        {
            "case": case,
            "entries": entries,
            "ratio": common.median_ratio(times, seconds["sum"]),
            "goal": goals.get(case),
            "cpu_ms": 1e3 * min(processor[case]),
            "peak_bytes": peak,
            **common.summarize(times),
        }
        for case, times in seconds.items()
    ]


def _compiled(function: Callable[..., tf.Tensor], *arguments: tf.Tensor) -> Callable[[], Any]:
    """A call that waits: the last entry of the result travels to the host."""
    run = tf.function(function, jit_compile=True, autograph=False)
    return lambda: tf.reshape(run(*arguments), [-1])[-1].numpy()


def _projections(entries: int) -> dict[str, Callable[[], Any]]:
    k = tf.constant(DENSITY * entries, tf.float64)

    def project(z, k, multiplier, method="newton"):
        return project_onto_budget(
            z, k, initial_multiplier=multiplier, method=method, return_multiplier=True
        )

    @tf.function(jit_compile=True, autograph=False)
    def step(s, k, multiplier, index):
        """A projected step with momentum: one direction for all steps, noise of each."""
        noise = [
            tf.random.stateless_normal([entries], tf.stack([7, i]), alg="philox")
            for i in (0, index)
        ]
        z = s + 0.01 * (noise[0] + 0.3 * noise[1])
        s, found = project(z, k, multiplier)
        return z, s, found

    zero = tf.zeros((), tf.float64)
    s, multiplier = tf.fill([entries], 1.0 - 1e-4), zero
    for index in range(1, STEPS):
        _, s, multiplier = step(s, k, multiplier, tf.constant(index))
    z = step(s, k, multiplier, tf.constant(STEPS))[0]
    del s
    return {
        "sum": _compiled(tf.reduce_sum, z),
        "clip": _compiled(lambda z: tf.clip_by_value(z, 0.0, 1.0), z),
        "cold": _compiled(lambda z: project(z, k, zero)[0], z),
        "warm": _compiled(lambda z: project(z, k, multiplier)[0], z),
        "bisection": _compiled(lambda z: project(z, k, zero, "bisection")[0], z),
    }


def _masks(entries: int) -> dict[str, Callable[[], Any]]:
    s = tf.random.stateless_uniform([entries], (1, 2), 0.01, 0.99, alg="philox")
    seed, temperature = tf.constant([3, 4]), tf.constant(0.3)
    weights, groups = tf.ones([entries]), Groups([Grid((entries,), (1,))])

    def both(jit_compile: bool) -> Callable[[], Any]:
        @tf.function(autograph=False)
        def run(s, seed, temperature):
            with tf.GradientTape() as tape:
                tape.watch(s)
                (masked,) = noisy_product(
                    s,
                    [weights],
                    groups,
                    seed=seed,
                    temperature=temperature,
                    settled=tf.constant(False),
                    jit_compile=jit_compile,
                )
            return tape.gradient(masked, s)

        return lambda: run(s, seed, temperature)[-1].numpy()

    return {
        "sum": _compiled(tf.reduce_sum, s),
        "masked weights and gradient, XLA": both(True),
        "masked weights and gradient, graph": both(False),
    }
