"""Expectations of functions of discrete variables, with every estimator's gradient."""

from tfgumbel.expectations.baselines import RunningMean
from tfgumbel.expectations.monte_carlo import expectation
from tfgumbel.expectations.score_function import SCORE_FUNCTIONS

__all__ = ["SCORE_FUNCTIONS", "RunningMean", "expectation"]
