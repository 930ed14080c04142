"""Gradient estimators that act on the sample, one a file; a line here adds one to the registry."""

from tfgumbel.estimators._bernoulli_gumbel_rao import bernoulli_gumbel_rao as bernoulli_gumbel_rao
from tfgumbel.estimators._bernoulli_reinmax import bernoulli_reinmax as bernoulli_reinmax
from tfgumbel.estimators._bernoulli_straight_through import (
    bernoulli_straight_through as bernoulli_straight_through,
)
from tfgumbel.estimators._bernoulli_straight_through_gumbel_softmax import (
    bernoulli_straight_through_gumbel_softmax as bernoulli_straight_through_gumbel_softmax,
)
from tfgumbel.estimators._binary_concrete import binary_concrete as binary_concrete
from tfgumbel.estimators._decoupled_straight_through_gumbel_softmax import (
    decoupled_straight_through_gumbel_softmax as decoupled_straight_through_gumbel_softmax,
)
from tfgumbel.estimators._gapped_straight_through import (
    gapped_straight_through as gapped_straight_through,
)
from tfgumbel.estimators._gumbel_max import gumbel_max as gumbel_max
from tfgumbel.estimators._gumbel_rao import gumbel_rao as gumbel_rao
from tfgumbel.estimators._gumbel_sinkhorn import gumbel_sinkhorn as gumbel_sinkhorn
from tfgumbel.estimators._gumbel_softmax import gumbel_softmax as gumbel_softmax
from tfgumbel.estimators._gumbel_top_k import gumbel_top_k as gumbel_top_k
from tfgumbel.estimators._hard_concrete import hard_concrete as hard_concrete
from tfgumbel.estimators._hard_concrete import (
    hard_concrete_expected_l0 as hard_concrete_expected_l0,
)
from tfgumbel.estimators._matching import matching as matching
from tfgumbel.estimators._reinmax import reinmax as reinmax
from tfgumbel.estimators._reinmax_cv import reinmax_cv as reinmax_cv
from tfgumbel.estimators._reinmax_rao import reinmax_rao as reinmax_rao
from tfgumbel.estimators._relaxed_subset import relaxed_subset as relaxed_subset
from tfgumbel.estimators._simple_subset import simple_subset as simple_subset
from tfgumbel.estimators._sinkhorn import sinkhorn as sinkhorn
from tfgumbel.estimators._straight_through import straight_through as straight_through
from tfgumbel.estimators._straight_through_gumbel_sinkhorn import (
    straight_through_gumbel_sinkhorn as straight_through_gumbel_sinkhorn,
)
from tfgumbel.estimators._straight_through_gumbel_softmax import (
    straight_through_gumbel_softmax as straight_through_gumbel_softmax,
)
from tfgumbel.estimators._straight_through_subset import (
    straight_through_subset as straight_through_subset,
)
from tfgumbel.estimators._zero_temperature_gumbel_rao import (
    zero_temperature_gumbel_rao as zero_temperature_gumbel_rao,
)
from tfgumbel.registry import sample_estimators

# What `tfgumbel` itself offers.
__all__ = [*sample_estimators(), "hard_concrete_expected_l0", "matching", "sinkhorn"]
