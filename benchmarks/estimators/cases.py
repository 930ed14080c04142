"""The suite as data: problem sizes, estimators from the registry, and the step that is timed."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

# (batch, variables, classes)
SHAPES = ((20, 60, 16), (200, 60, 16), (4096, 32, 8), (20, 240, 2), (200, 240, 2))
BASELINE = "gumbel_rao exact"
MONTE_CARLO = (10, 100, 1000)
# Those too slow for many repetitions form a group of their own, timed beside the baseline.
SLOW_NUM_SAMPLES = 100
TEMPERATURE = 0.5


@dataclasses.dataclass(frozen=True)
class Case:
    """An estimator with its options; `label` names it in results."""

    label: str
    name: str
    num_samples: int | None = None

    @property
    def slow(self) -> bool:
        """Whether it belongs to the group of few repetitions."""
        return self.num_samples is not None and self.num_samples >= SLOW_NUM_SAMPLES

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments besides temperature and seed."""
        if self.num_samples is None:
            return {}
        return {"num_samples": self.num_samples, "noise": "independent"}  # as the peers'


def cases() -> list[Case]:
    """Every categorical estimator that has a gradient, and Gumbel-Rao at several K."""
    from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
    from tfgumbel.registry import sample_estimators

    found = [
        Case(BASELINE if name == "gumbel_rao" else name, name)
        for name, entry in sample_estimators(ONE_HOT_CATEGORICAL).items()
        if entry.differentiable
    ]
    return found + [Case(f"gumbel_rao K={k}", "gumbel_rao", k) for k in MONTE_CARLO]


def arguments(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, upstream gradient and seed for a problem size."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=shape).astype(np.float32)
    upstream = rng.normal(size=shape).astype(np.float32)
    return logits, upstream, np.array([1, 2], np.int32)


def step(case: Case, *, jit_compile: bool) -> Callable[..., Any]:
    """The timed function: (logits, upstream, seed) -> (sample, gradient for the logits)."""
    import tensorflow as tf

    from tfgumbel.registry import sample_estimators

    entry = sample_estimators()[case.name]

    @tf.function(jit_compile=jit_compile)
    def forward_and_backward(logits, upstream, seed):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            sample = entry(logits, temperature=TEMPERATURE, seed=seed, **case.options)
        return sample, tape.gradient(sample, logits, output_gradients=upstream)

    return forward_and_backward
