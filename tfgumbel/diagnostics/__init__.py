"""See that a gradient is right, estimators against enumeration; and what layers do in training."""

from tfgumbel.diagnostics.comparison import compare_estimators
from tfgumbel.diagnostics.enumeration import exact_expectation
from tfgumbel.diagnostics.latent_meter import measure_latents
from tfgumbel.diagnostics.latent_monitor import LatentMonitor
from tfgumbel.diagnostics.latent_statistics import LatentStatistics
from tfgumbel.diagnostics.pitfalls import PitfallWarning, Thresholds
from tfgumbel.diagnostics.relaxation_plot import plot_gumbel_softmax_samples
from tfgumbel.diagnostics.sample_size import (
    VarianceCurves,
    plot_variance_against_num_samples,
    variance_by_num_samples,
)
from tfgumbel.diagnostics.simplex import (
    SimplexVariances,
    plot_simplex_contours,
    quadratic_program,
    simplex_variances,
)
from tfgumbel.diagnostics.table import Comparison, Row
from tfgumbel.diagnostics.temperature import compare_temperatures, plot_bias_variance

__all__ = [
    "Comparison",
    "LatentMonitor",
    "LatentStatistics",
    "PitfallWarning",
    "Row",
    "SimplexVariances",
    "Thresholds",
    "VarianceCurves",
    "compare_estimators",
    "compare_temperatures",
    "exact_expectation",
    "measure_latents",
    "plot_bias_variance",
    "plot_gumbel_softmax_samples",
    "plot_simplex_contours",
    "plot_variance_against_num_samples",
    "quadratic_program",
    "simplex_variances",
    "variance_by_num_samples",
]
