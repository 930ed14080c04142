"""Expectations over discrete variables, and the estimators that act on the loss, one a file."""

from tfgumbel.expectations._arm import arm as arm
from tfgumbel.expectations._darn import darn as darn
from tfgumbel.expectations._disarm import disarm as disarm
from tfgumbel.expectations._double_control_variates import (
    double_control_variates as double_control_variates,
)
from tfgumbel.expectations._enumeration import enumeration as enumeration
from tfgumbel.expectations._expectation import expectation as expectation
from tfgumbel.expectations._multi_sample_bound import multi_sample_bound as multi_sample_bound
from tfgumbel.expectations._muprop import muprop as muprop
from tfgumbel.expectations._nvil import NVILBaseline as NVILBaseline
from tfgumbel.expectations._nvil import nvil as nvil
from tfgumbel.expectations._ovis import ovis as ovis
from tfgumbel.expectations._rebar import RebarParameters as RebarParameters
from tfgumbel.expectations._rebar import rebar as rebar
from tfgumbel.expectations._reinforce import reinforce as reinforce
from tfgumbel.expectations._reinforce_baseline import reinforce_baseline as reinforce_baseline
from tfgumbel.expectations._reinforce_loo import reinforce_loo as reinforce_loo
from tfgumbel.expectations._relax import RelaxControl as RelaxControl
from tfgumbel.expectations._relax import relax as relax
from tfgumbel.expectations._running_mean import RunningMean as RunningMean
from tfgumbel.expectations._sum_and_sample import sum_and_sample as sum_and_sample
from tfgumbel.expectations._unordered_set import unordered_set as unordered_set
from tfgumbel.expectations._vimco import vimco as vimco
from tfgumbel.registry import loss_estimators

__all__ = [
    *loss_estimators(),
    "NVILBaseline",
    "RebarParameters",
    "RelaxControl",
    "RunningMean",
    "expectation",
    "multi_sample_bound",
]
