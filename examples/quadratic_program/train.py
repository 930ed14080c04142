"""Minimises an expected cost by SGD, with any estimator, in many runs at once."""

import dataclasses

import numpy as np
import tensorflow as tf

import tfgumbel
from examples.common import figures
from examples.quadratic_program.programs import PROGRAMS
from tfgumbel import diagnostics, registry

ESTIMATORS = (
    "reinforce",
    "reinforce_baseline",
    "straight_through",
    "straight_through_gumbel_softmax",
    "gumbel_rao",
    "reinmax",
)
STEPS_PER_CALL = 50
TEMPERATURES = (0.1, 0.5, 1.0)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What decides a result; see the flags in main.py."""

    program: str = "simplex"
    temperature: float = 0.1
    steps: int = PROGRAMS["simplex"].steps
    learning_rate: float = PROGRAMS["simplex"].learning_rate
    num_runs: int = 256
    seed: int = 0


def minimize(estimator, settings, on_progress=lambda steps: None):
    """Runs SGD on the logits from the program's start, one sample a step.

    Args:
        estimator: A name that `tfgumbel.expectation` knows.
        settings: `Settings`.
        on_progress: Called with the number of steps done since the last call.

    Returns:
        gaps: Expected cost minus the least one, shape (1 + calls, num_runs), float64.
    """
    program = PROGRAMS[settings.program]
    start = np.tile(np.log(program.start), (settings.num_runs, 1))
    logits = tf.Variable(tf.constant(start, tf.float32))
    entry = registry.get(estimator)
    # Those that have a temperature by default keep it.
    options = {"temperature": settings.temperature} if entry.needs_temperature else {}
    if estimator == "reinforce_baseline":
        options["baseline"] = tfgumbel.RunningMean(shape=(settings.num_runs,))

    def stochastic(draw, logits):
        # Through the probabilities too: the cost's own gradient at fixed draws is exact.
        return program.cost(draw(logits), tf.nn.softmax(logits))

    @tf.function
    def run(first_step):
        for step in tf.range(first_step, first_step + STEPS_PER_CALL):
            with tf.GradientTape() as tape:
                value = tfgumbel.expectation(
                    stochastic,
                    logits,
                    estimator=estimator,
                    seed=tfgumbel.fold_in(settings.seed, step),
                    **options,
                )
            logits.assign_sub(settings.learning_rate * tape.gradient(value, logits))

    gaps = [gap(program, logits)]
    for first_step in range(0, settings.steps, STEPS_PER_CALL):
        run(tf.constant(first_step))
        gaps.append(gap(program, logits))
        on_progress(STEPS_PER_CALL)
    return np.array(gaps)


def gap(program, logits):
    """E[cost] minus the least there is, by enumeration, for each row of logits."""
    probs = tf.nn.softmax(tf.cast(logits, tf.float64))
    return (program.expected(probs) - program.least).numpy()


def summarize(gaps):
    """Last gap: its mean over the runs, their standard deviation, the share of them at the minimum.

    A run is at the minimum if it has closed nine tenths of the gap it started with.
    """
    last = gaps[-1]
    return last.mean(), last.std(ddof=1), np.mean(last < 0.1 * gaps[0])


def measure_variances(
    program, temperatures=TEMPERATURES, *, on_progress=lambda done: None, **options
):
    """`diagnostics.simplex_variances` of a program's cost, a temperature at a time.

    Args:
        program: a `Program`.
        temperatures: of the panels of the picture.
        on_progress: Called with 1 after each temperature.
        **options: as `simplex_variances` takes.
    """
    parts = []
    for temperature in temperatures:
        parts.append(diagnostics.simplex_variances(program.cost, [temperature], **options))
        on_progress(1)
    variances = np.concatenate([part.variances for part in parts])
    return dataclasses.replace(parts[0], temperatures=tuple(temperatures), variances=variances)


def plot_curves(all_gaps):
    """Plots the mean gap of each estimator against steps, and how far its runs scatter."""
    with figures.new_figure(7.6, 3.9) as figure:
        left, right = figure.subplots(1, 2)
        for name, gaps in all_gaps.items():
            steps = STEPS_PER_CALL * np.arange(len(gaps))
            left.plot(steps, gaps.mean(1), label=name)
            right.plot(steps, gaps.std(1, ddof=1), label=name)
        left.set_title("mean gap to the minimum")
        right.set_title("standard deviation over the runs")
        for axes in (left, right):
            axes.set(xlabel="SGD steps, one sample each")
            axes.set_ylim(bottom=0.0)
            axes.margins(x=0.0)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
