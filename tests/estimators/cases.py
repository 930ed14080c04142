"""Every registered estimator, in the forms the shared suite runs, and what runs them."""

import dataclasses
import functools
from typing import Any

import tensorflow as tf

from tfgumbel.distributions.abilities import BERNOULLI, ONE_HOT_CATEGORICAL
from tfgumbel.registry import SampleEstimator, sample_estimators


@dataclasses.dataclass(frozen=True)
class Case:
    """An estimator with one choice of its options."""

    entry: SampleEstimator
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        return "-".join([self.entry.name, *(str(value) for _, value in self.options)])

    @property
    def classes(self) -> bool:
        """Whether the last axis holds classes."""
        return self.entry.variable.event_rank == 1

    @property
    def total(self) -> int:
        """The number of classes in a sample."""
        return dict(self.options).get("k", 1)

    def __call__(self, logits: Any, temperature: Any, seed: Any) -> tf.Tensor:
        return self.entry(logits, temperature=temperature, seed=seed, **dict(self.options))


# Permutations, of matrices, have a suite of their own.
ESTIMATORS = {
    name: entry for name, entry in sample_estimators().items() if entry.variable.event_rank < 2
}
# Subsets need a size; 2 of the suite's 3 classes.
CASES = [
    *(
        Case(entry, tuple((name, 2) for name in entry.variable.parameters))
        for entry in ESTIMATORS.values()
    ),
    Case(ESTIMATORS["gumbel_rao"], (("num_samples", 5),)),
    Case(ESTIMATORS["gumbel_rao"], (("num_samples", 5), ("noise", "independent"))),
    Case(ESTIMATORS["decoupled_straight_through_gumbel_softmax"], (("forward_temperature", 0.5),)),
]
CATEGORICAL = [case for case in CASES if case.entry.variable is ONE_HOT_CATEGORICAL]
BERNOULLI = [case for case in CASES if case.entry.variable is BERNOULLI]


def run(
    case: Case, logits: tf.Tensor, upstream: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The sample, and the gradients of sum(sample * upstream) for logits and temperature."""
    with tf.GradientTape() as tape:
        tape.watch([logits, temperature])
        sample = case(logits, temperature, seed)
        loss = tf.reduce_sum(sample * upstream)
    return sample, *tape.gradient(loss, [logits, temperature], unconnected_gradients="zero")


@functools.cache
def runner(case: Case, mode: str) -> Any:
    """`run` for a case in "eager", "graph" or "xla" mode, traced once for all the tests."""
    function = functools.partial(run, case)
    return function if mode == "eager" else tf.function(function, jit_compile=mode == "xla")
