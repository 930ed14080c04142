"""Bias and variance against temperature."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics import style
from tfgumbel.diagnostics.comparison import Measurement
from tfgumbel.diagnostics.problem import Problem
from tfgumbel.diagnostics.specifications import name_specifications, resolve
from tfgumbel.diagnostics.table import Comparison, Row

TEMPERATURES = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5, 2.0)


def compare_temperatures(
    program: Callable[..., Any],
    inputs: Any,
    estimators: Iterable[str] | Mapping[str, Any],
    temperatures: Sequence[float] = TEMPERATURES,
    num_draws: int = 10_000,
    seed: Any = 0,
) -> dict[float | None, Comparison]:
    """Compares estimators at each temperature, compiled once for all of them.

    Args:
        program: As in `compare_estimators`.
        inputs: As in `compare_estimators`; the gradient is for these.
        estimators: As in `compare_estimators`.
        temperatures: For the estimators that lack one.
        num_draws: Draws of each estimator at each temperature.
        seed: Int, pair of ints, or integer tensor of shape [2]; shared by all temperatures.

    Returns:
        comparisons: Temperature to `Comparison`; None to that of the estimators whose temperature
            is given or that have none, where there are any.
    """
    specifications = name_specifications(estimators)
    problem = Problem(program, inputs)
    varying = {
        label: specification
        for label, specification in specifications.items()
        if resolve(specification)[1]
    }
    fixed = {label: specifications[label] for label in specifications if label not in varying}
    comparisons: dict[float | None, Comparison] = {}
    if varying:
        measurement = Measurement(problem, varying, num_draws)
        for temperature in temperatures:
            comparisons[temperature] = measurement.run(seed, tf.constant(temperature, tf.float64))
    if fixed:
        comparisons[None] = Measurement(problem, fixed, num_draws).run(seed, 1.0)
    return comparisons


def plot_bias_variance(comparisons: Mapping[float | None, Comparison]) -> Any:
    """Plots squared bias, variance and mean squared error against temperature, with error bars.

    The squared bias is |m|^2 - s^2: the mean error m of the draws has the length s by chance alone,
    in root mean square. Where |m| < 2 s there may be no bias: a hollow marker shows how large it
    can be (two standard errors above the estimate), and the level line of an estimator without a
    temperature is left out. Bars and bands are standard errors, of the squared bias
    sqrt(2 s^4 + 4 b^2 s^2) at most, b^2 its estimate, whatever the correlation of the entries.

    Args:
        comparisons: From `compare_temperatures`.

    Returns:
        figure: A matplotlib Figure.
    """
    temperatures = [temperature for temperature in comparisons if temperature is not None]
    labels = list(dict.fromkeys(label for table in comparisons.values() for label in table.rows))
    with style.new_figure(height=3.3, width=8.4) as figure:
        all_axes = figure.subplots(1, 3)
        for axes, (title, measure) in zip(all_axes, _PANELS.items(), strict=True):
            for index, label in enumerate(labels):
                look = style.line_style(index)
                if None in comparisons and label in comparisons[None].rows:
                    level, error, resolved = measure(comparisons[None].rows[label])
                    if resolved:
                        dash = (0, (1.0 + 3.0 * (index % 3), 1.5))
                        axes.axhline(level, ls=dash, color=look["color"], label=label)
                        axes.axhspan(level - error, level + error, color=look["color"], alpha=0.15)
                    continue
                rows = [comparisons[temperature].rows[label] for temperature in temperatures]
                values, errors, known = map(np.array, zip(*map(measure, rows), strict=True))
                values, limits = np.where(known, values, np.nan), values + 2.0 * errors
                axes.errorbar(temperatures, values, errors, label=label, capsize=2.0, **look)
                axes.plot(
                    np.array(temperatures)[~known],
                    limits[~known],
                    look["marker"],
                    color=look["color"],
                    markerfacecolor="white",
                    zorder=3,
                )
            axes.set_xscale("log")
            axes.set_yscale("log", nonpositive="clip")
            axes.set(xlabel="temperature")
            axes.set_xticks(_round_ticks(temperatures), minor=False)
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter("")
            axes.set_title(title, loc="left")
        handles, names = all_axes[1].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=4)
    return figure


def _squared_bias(row: Row) -> tuple[float, float, bool]:
    """Estimate (at least 0), largest standard error, and whether there is surely a bias."""
    share = row.bias_standard_error**2
    squared = max(row.bias**2 - share, 0.0)
    error = np.sqrt(2.0 * share**2 + 4.0 * squared * share)
    rounding = 1e-6 * np.linalg.norm(row.mean)
    return squared, float(error), bool(row.bias > 2.0 * row.bias_standard_error + rounding)


def _variance(row: Row) -> tuple[float, float, bool]:
    """Estimate and largest standard error: it is the mean squared error less the squared bias."""
    return row.variance, row.mse_standard_error + _squared_bias(row)[1], True


def _mean_squared_error(row: Row) -> tuple[float, float, bool]:
    """Estimate and standard error."""
    return row.mse, row.mse_standard_error, True


_PANELS = {
    "squared bias": _squared_bias,
    "variance": _variance,
    "mean squared error": _mean_squared_error,
}


def _round_ticks(temperatures: Sequence[float]) -> list[float]:
    """1, 2 and 5 times powers of ten within the range of the temperatures."""
    ticks = [digit * 10.0**power for power in range(-6, 7) for digit in (1.0, 2.0, 5.0)]
    low, high = 0.99 * min(temperatures), 1.01 * max(temperatures)
    return [float(f"{tick:g}") for tick in ticks if low <= tick <= high]
