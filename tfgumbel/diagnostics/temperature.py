"""Bias and variance against temperature."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics import style
from tfgumbel.diagnostics.comparison import Measurement, name_specifications
from tfgumbel.diagnostics.moments import resolve
from tfgumbel.diagnostics.table import Comparison
from tfgumbel.distributions import abilities

TEMPERATURES = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5, 2.0)


def compare_temperatures(
    f: Callable[[tf.Tensor], tf.Tensor],
    logits: Any,
    estimators: Iterable[str] | Mapping[str, Any],
    temperatures: Sequence[float] = TEMPERATURES,
    num_draws: int = 10_000,
    seed: Any = 0,
) -> dict[float | None, Comparison]:
    """Compares estimators at each temperature, compiled once for all of them.

    Args:
        f: Maps samples (num, *logits.shape) to values (num,).
        logits: As in `compare_estimators`.
        estimators: As in `compare_estimators`.
        temperatures: For the estimators that lack one.
        num_draws: Draws of each estimator at each temperature.
        seed: Int, pair of ints, or integer tensor of shape [2]; shared by all temperatures.

    Returns:
        comparisons: Temperature to `Comparison`; None to that of the estimators whose temperature
            is given or that have none, where there are any.
    """
    specifications = name_specifications(estimators)
    variable, _ = abilities.resolve(logits)
    varying = {
        label: specification
        for label, specification in specifications.items()
        if resolve(specification, variable)[1]
    }
    fixed = {label: specifications[label] for label in specifications if label not in varying}
    comparisons: dict[float | None, Comparison] = {}
    if varying:
        measurement = Measurement(f, logits, varying, num_draws)
        for temperature in temperatures:
            comparisons[temperature] = measurement.run(seed, tf.constant(temperature, tf.float64))
    if fixed:
        comparisons[None] = Measurement(f, logits, fixed, num_draws).run(seed, 1.0)
    return comparisons


def plot_bias_variance(comparisons: Mapping[float | None, Comparison]) -> Any:
    """Plots squared bias, variance and mean squared error against temperature.

    A hollow marker is a bias within two of its standard errors: it may be none, and a level line
    for an estimator without a temperature is then left out.

    Args:
        comparisons: From `compare_temperatures`.

    Returns:
        figure: A matplotlib Figure.
    """
    temperatures = [temperature for temperature in comparisons if temperature is not None]
    panels = {"bias": "squared bias", "variance": "variance", "mse": "mean squared error"}
    labels = list(dict.fromkeys(label for table in comparisons.values() for label in table.rows))
    with style.new_figure(height=3.3, width=8.4) as figure:
        all_axes = figure.subplots(1, 3)
        for axes, (column, title) in zip(all_axes, panels.items(), strict=True):
            power = 2 if column == "bias" else 1
            for index, label in enumerate(labels):
                look = style.line_style(index)
                if None in comparisons and label in comparisons[None].rows:
                    row = comparisons[None].rows[label]
                    level = getattr(row, column) ** power
                    resolved = column != "bias" or row.bias > 2.0 * row.bias_standard_error
                    if resolved:
                        dash = (0, (1.0 + 3.0 * (index % 3), 1.5))
                        axes.axhline(level, ls=dash, color=look["color"], label=label)
                    continue
                rows = [comparisons[temperature].rows[label] for temperature in temperatures]
                values = np.array([getattr(row, column) for row in rows]) ** power
                axes.plot(temperatures, values, label=label, **look)
                if column == "bias":
                    unresolved = [row.bias < 2.0 * row.bias_standard_error for row in rows]
                    axes.plot(
                        np.array(temperatures)[unresolved],
                        values[unresolved],
                        look["marker"],
                        color=look["color"],
                        markerfacecolor="white",
                        zorder=3,
                    )
            axes.set(xscale="log", yscale="log", xlabel="temperature")
            axes.set_xticks(_round_ticks(temperatures), minor=False)
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter("")
            axes.set_title(title, loc="left")
        handles, names = all_axes[1].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=4)
    return figure


def _round_ticks(temperatures: Sequence[float]) -> list[float]:
    """1, 2 and 5 times powers of ten within the range of the temperatures."""
    ticks = [digit * 10.0**power for power in range(-6, 7) for digit in (1.0, 2.0, 5.0)]
    low, high = 0.99 * min(temperatures), 1.01 * max(temperatures)
    return [float(f"{tick:g}") for tick in ticks if low <= tick <= high]
