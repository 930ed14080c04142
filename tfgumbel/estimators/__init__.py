"""Gradient estimators for discrete variables, one a file; `REGISTRY` holds them all."""

from tfgumbel.estimators.bernoulli_rao_blackwellization import (
    bernoulli_gumbel_rao as bernoulli_gumbel_rao,
)
from tfgumbel.estimators.bernoulli_slope_annealing import (
    bernoulli_straight_through as bernoulli_straight_through,
)
from tfgumbel.estimators.bernoulli_straight_through_relaxation import (
    bernoulli_straight_through_gumbel_softmax as bernoulli_straight_through_gumbel_softmax,
)
from tfgumbel.estimators.cold_limit import (
    zero_temperature_gumbel_rao as zero_temperature_gumbel_rao,
)
from tfgumbel.estimators.concrete import gumbel_softmax as gumbel_softmax
from tfgumbel.estimators.decoupled_temperatures import (
    decoupled_straight_through_gumbel_softmax as decoupled_straight_through_gumbel_softmax,
)
from tfgumbel.estimators.gumbel_max_trick import gumbel_max as gumbel_max
from tfgumbel.estimators.heun import reinmax as reinmax
from tfgumbel.estimators.logit_gap import gapped_straight_through as gapped_straight_through
from tfgumbel.estimators.rao_blackwellization import gumbel_rao as gumbel_rao
from tfgumbel.estimators.registry import REGISTRY as REGISTRY
from tfgumbel.estimators.registry import Entry as Entry
from tfgumbel.estimators.registry import get as get
from tfgumbel.estimators.registry import register as register
from tfgumbel.estimators.relaxed_bernoulli import binary_concrete as binary_concrete
from tfgumbel.estimators.slope_annealing import straight_through as straight_through
from tfgumbel.estimators.straight_through_relaxation import (
    straight_through_gumbel_softmax as straight_through_gumbel_softmax,
)
from tfgumbel.estimators.stretched_concrete import hard_concrete as hard_concrete
from tfgumbel.estimators.stretched_concrete import (
    hard_concrete_expected_l0 as hard_concrete_expected_l0,
)

# What `tfgumbel` itself offers: the estimators, not the registry.
__all__ = [*REGISTRY, "hard_concrete_expected_l0"]
