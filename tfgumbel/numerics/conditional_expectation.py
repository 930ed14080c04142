"""Gumbel-Rao's product given the sample: by quadrature, or by a number of draws."""

import numbers
from typing import Any, NamedTuple

import tensorflow as tf

from tfgumbel.internal import validation
from tfgumbel.numerics.conditional_monte_carlo import categorical_gumbel_rao_monte_carlo_vjp
from tfgumbel.numerics.quadrature import categorical_gumbel_rao_vjp
from tfgumbel.numerics.temperatures import by_temperature


class Rule(NamedTuple):
    """How the conditional expectation is taken.

    Attributes:
        num_samples: "exact", or the number of draws.
        stratified: Whether the draws are a randomly shifted lattice.
        with_temperature: Whether the temperature's derivative is wanted.
    """

    num_samples: Any
    stratified: bool
    with_temperature: bool

    @property
    def exact(self) -> bool:
        """Whether by quadrature, which has a value at temperature 0 too."""
        return self.num_samples == "exact"

    @classmethod
    def of(cls, num_samples: Any, noise: str, temperature: Any) -> "Rule":
        """Checks the arguments of an estimator."""
        if num_samples != "exact":
            num_samples = validation.positive_integer("num_samples", num_samples)
        noise = validation.one_of("noise", noise, ("independent", "stratified"))
        return cls(num_samples, noise == "stratified", not isinstance(temperature, numbers.Real))

    def vjp(
        self,
        logits: tf.Tensor,
        sample: tf.Tensor,
        upstream: tf.Tensor,
        temperature: tf.Tensor,
        seed: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """E[diag(S) - S S^T | D] v / temperature, and the derivative for the temperature.

        Args:
            logits: Centered, float32 or float64, shape (..., num_classes).
            sample: D, of the same shape and dtype.
            upstream: v, of the same shape and dtype.
            temperature: Of the same dtype, a shape that broadcasts with (...).
            seed: Int [2], of the draws.
        """
        if self.exact:
            tensors = [logits, sample, upstream]
            return by_temperature(categorical_gumbel_rao_vjp, tensors, temperature, event_rank=1)
        return categorical_gumbel_rao_monte_carlo_vjp(
            logits,
            sample,
            upstream,
            temperature,
            seed,
            num_samples=self.num_samples,
            stratified=self.stratified,
            with_temperature=self.with_temperature,
        )
