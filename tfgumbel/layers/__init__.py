"""Keras layers: thin faces on the estimators, logits in and samples out."""

from tfgumbel.layers.bernoulli import BernoulliLayer
from tfgumbel.layers.binary_concrete import BinaryConcreteLayer
from tfgumbel.layers.categorical import CategoricalLayer
from tfgumbel.layers.gapped_straight_through import GappedStraightThroughLayer
from tfgumbel.layers.gumbel_rao import GumbelRaoLayer
from tfgumbel.layers.gumbel_sinkhorn import GumbelSinkhornLayer
from tfgumbel.layers.gumbel_softmax import GumbelSoftmaxLayer
from tfgumbel.layers.gumbel_top_k import GumbelTopKLayer
from tfgumbel.layers.hard_concrete import HardConcreteLayer
from tfgumbel.layers.kl_divergence import KLDivergenceLayer
from tfgumbel.layers.reinmax import ReinMaxLayer
from tfgumbel.layers.sample import SampleLayer
from tfgumbel.layers.straight_through import StraightThroughLayer
from tfgumbel.layers.straight_through_gumbel_softmax import StraightThroughGumbelSoftmaxLayer

__all__ = [
    "BernoulliLayer",
    "BinaryConcreteLayer",
    "CategoricalLayer",
    "GappedStraightThroughLayer",
    "GumbelRaoLayer",
    "GumbelSinkhornLayer",
    "GumbelSoftmaxLayer",
    "GumbelTopKLayer",
    "HardConcreteLayer",
    "KLDivergenceLayer",
    "ReinMaxLayer",
    "SampleLayer",
    "StraightThroughGumbelSoftmaxLayer",
    "StraightThroughLayer",
]
