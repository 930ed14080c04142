"""See that a gradient is right: estimators against enumeration, in numbers and in pictures."""

from tfgumbel.diagnostics.comparison import compare_estimators
from tfgumbel.diagnostics.enumeration import exact_expectation
from tfgumbel.diagnostics.table import Comparison, Row

__all__ = ["Comparison", "Row", "compare_estimators", "exact_expectation"]
