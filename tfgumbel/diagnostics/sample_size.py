"""How the variance of a gradient estimate falls with the number of samples."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics import style
from tfgumbel.diagnostics.specifications import name_specifications, resolve
from tfgumbel.expectations import expectation
from tfgumbel.internal import random

NUM_SAMPLES = (1, 3, 10, 30, 100, 300, 1000)


@dataclasses.dataclass(frozen=True)
class VarianceCurves:
    """Total variance, tr Var(g), of estimates that average over samples.

    Attributes:
        num_samples: The numbers of samples, shape (points,).
        num_trials: Independent estimates behind each variance.
        variances: Label to variances, shape (points,).
        standard_errors: Label to their standard errors, shape (points,).
    """

    num_samples: np.ndarray
    num_trials: int
    variances: dict[str, np.ndarray]
    standard_errors: dict[str, np.ndarray]

    def slopes(self) -> dict[str, float]:
        """Label to the slope of log variance against log number of samples; -1 is averaging."""
        return {
            label: float(np.polyfit(np.log(self.num_samples), np.log(variance), 1)[0])
            for label, variance in self.variances.items()
        }


def variance_by_num_samples(
    program: Callable[..., Any],
    inputs: Any,
    estimators: Iterable[str] | Mapping[str, Any] = ("reinforce", "gumbel_softmax"),
    *,
    num_samples: Sequence[int] = NUM_SAMPLES,
    num_trials: int = 200,
    temperature: float = 0.5,
    seed: Any = 0,
) -> VarianceCurves:
    """Measures the variance of `expectation`'s gradient for growing numbers of samples.

    Args:
        program: As in `compare_estimators`.
        inputs: Floating tensor, the batch on the first axis; the gradient is for it.
        estimators: As in `compare_estimators`.
        num_samples: Numbers of samples of one estimate.
        num_trials: Independent estimates; the variance is known to about sqrt(2 / num_trials).
        temperature: Of the estimators that lack one.
        seed: Int, pair of ints, or integer tensor of shape [2].

    Returns:
        curves: The variances and their slopes.
    """
    inputs = tf.convert_to_tensor(inputs)
    repeated = tf.tile(inputs, [num_trials] + [1] * (inputs.shape.rank - 1))
    seeds = random.split(seed, len(num_samples))
    variances: dict[str, np.ndarray] = {}
    errors: dict[str, np.ndarray] = {}
    for label, specification in name_specifications(estimators).items():
        arguments, lacks_temperature = resolve(specification)
        if lacks_temperature:
            arguments["temperature"] = temperature

        points = [
            _variance(
                _gradients(program, repeated, {**arguments, "num_samples": count})(trial_seed),
                num_trials,
            )
            for count, trial_seed in zip(num_samples, seeds, strict=True)
        ]
        variances[label], errors[label] = np.array(points).T
    return VarianceCurves(np.array(num_samples), num_trials, variances, errors)


def plot_variance_against_num_samples(curves: VarianceCurves) -> Any:
    """Plots variance against the number of samples, log-log, beside the line of slope -1.

    Args:
        curves: From `variance_by_num_samples`; error bars are one standard error.

    Returns:
        figure: A matplotlib Figure.
    """
    count = curves.num_samples
    slopes = curves.slopes()
    with style.new_figure(height=3.6, width=5.2) as figure:
        axes = figure.subplots()
        for index, (label, variance) in enumerate(curves.variances.items()):
            axes.plot(count, variance[0] * count[0] / count, ":", color=style.GREY, linewidth=1.0)
            axes.errorbar(
                count,
                variance,
                curves.standard_errors[label],
                label=f"{label}: slope {slopes[label]:.2f}",
                capsize=2.0,
                **style.line_style(index),
            )
        axes.plot([], [], ":", color=style.GREY, linewidth=1.0, label="slope -1")
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="samples averaged in one estimate",
            ylabel="total variance of the gradient",
        )
        axes.set_title(f"Variance over {curves.num_trials} trials", loc="left")
        axes.legend()
    return figure


def _gradients(
    program: Callable[..., Any], repeated: tf.Tensor, arguments: Mapping[str, Any]
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Compiles a function of a seed: the gradients of independent trials."""

    @tf.function(autograph=False)
    def gradients(seed: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(repeated)
            value = expectation(program, repeated, seed=seed, **arguments)
        return tape.gradient(value, repeated)

    return gradients


def _variance(gradients: tf.Tensor, num_trials: int) -> tuple[float, float]:
    """Total variance of independent trials, and its standard error."""
    gradients = np.asarray(tf.cast(gradients, tf.float64)).reshape(num_trials, -1)
    distances = np.sum((gradients - gradients.mean(0)) ** 2, axis=1)
    return distances.sum() / (num_trials - 1), distances.std(ddof=1) / np.sqrt(num_trials)
