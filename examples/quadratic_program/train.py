"""Minimises the expectation of a quadratic by SGD, with any estimator, in many runs at once."""

import dataclasses

import numpy as np
import tensorflow as tf

import tfgumbel
from tfgumbel import registry
from tfgumbel.diagnostics import quadratic_program, style

ESTIMATORS = (
    "reinforce",
    "reinforce_baseline",
    "straight_through",
    "straight_through_gumbel_softmax",
    "gumbel_rao",
    "reinmax",
)
STEPS_PER_CALL = 50
NUM_CLASSES = 3


@dataclasses.dataclass(frozen=True)
class Settings:
    """What decides a result; see the flags in main.py."""

    temperature: float = 0.1
    steps: int = 2_000
    learning_rate: float = 0.1
    num_runs: int = 256
    seed: int = 0


def vertex_values():
    """The program's value for each class, shape (3,)."""
    return quadratic_program(tf.eye(NUM_CLASSES))


def minimize(estimator, settings, on_progress=lambda steps: None):
    """Runs SGD on the logits from uniform probabilities, one sample a step.

    Args:
        estimator: A name that `tfgumbel.expectation` knows.
        settings: `Settings`.
        on_progress: Called with the number of steps done since the last call.

    Returns:
        gaps: Expected value minus the least one, shape (1 + calls, num_runs), float64.
    """
    logits = tf.Variable(tf.zeros([settings.num_runs, NUM_CLASSES]))
    entry = registry.get(estimator)
    # Those that have a temperature by default keep it.
    options = {"temperature": settings.temperature} if entry.needs_temperature else {}
    if "baseline" in entry.parameters:
        options["baseline"] = tfgumbel.RunningMean(shape=(settings.num_runs,))

    @tf.function
    def run(first_step):
        for step in tf.range(first_step, first_step + STEPS_PER_CALL):
            with tf.GradientTape() as tape:
                value = tfgumbel.expectation(
                    lambda draw, logits: quadratic_program(draw(logits)),
                    logits,
                    estimator=estimator,
                    seed=tfgumbel.fold_in(settings.seed, step),
                    **options,
                )
            logits.assign_sub(settings.learning_rate * tape.gradient(value, logits))

    gaps = [gap(logits)]
    for first_step in range(0, settings.steps, STEPS_PER_CALL):
        run(tf.constant(first_step))
        gaps.append(gap(logits))
        on_progress(STEPS_PER_CALL)
    return np.array(gaps)


def gap(logits):
    """E[f(D)] minus the least f(D), by enumeration, for each row of logits."""
    values = tf.cast(vertex_values(), tf.float64)
    probs = tf.nn.softmax(tf.cast(logits, tf.float64))
    return (tf.linalg.matvec(probs, values) - tf.reduce_min(values)).numpy()


def summarize(gaps):
    """Last gap: its mean over the runs and standard error; and the share of runs at the minimum.

    A run is at the minimum if it has closed nine tenths of the gap it started with.
    """
    last = gaps[-1]
    error = last.std(ddof=1) / np.sqrt(len(last))
    return last.mean(), error, np.mean(last < 0.1 * gaps[0])


def plot_curves(all_gaps):
    """Plots the mean gap of each estimator against steps, with bands of two standard errors."""
    with style.new_figure(height=4.2, width=6.4) as figure:
        axes = figure.subplots()
        for index, (name, gaps) in enumerate(all_gaps.items()):
            steps = STEPS_PER_CALL * np.arange(len(gaps))
            mean = gaps.mean(1)
            error = 2.0 * gaps.std(1, ddof=1) / np.sqrt(gaps.shape[1])
            color = style.COLORS[index % len(style.COLORS)]
            axes.plot(steps, mean, color=color, label=name)
            axes.fill_between(steps, mean - error, mean + error, color=color, alpha=0.15, lw=0)
        axes.set(xlabel="SGD steps, one sample each", ylabel="E[f(D)] minus its minimum")
        axes.set_ylim(bottom=0.0)
        axes.margins(x=0.0)
        runs = next(iter(all_gaps.values())).shape[1]
        axes.set_title(f"Mean of {runs} runs, bands of two standard errors", loc="left")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
