"""Expectations over discrete variables, and the estimators that act on the loss, one a file."""

from tfgumbel.expectations._expectation import expectation as expectation
from tfgumbel.expectations._reinforce import reinforce as reinforce
from tfgumbel.expectations._reinforce_baseline import reinforce_baseline as reinforce_baseline
from tfgumbel.expectations._running_mean import RunningMean as RunningMean
from tfgumbel.registry import loss_estimators

__all__ = [*loss_estimators(), "RunningMean", "expectation"]
