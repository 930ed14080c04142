"""A program: the user's function of discrete draws, and one run of it.

An estimator that acts on the loss is a way of answering `draw`, and of running the program as often
as it needs. It sees rows: the batch repeated `num_samples` times, sample by sample.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfgumbel.distributions import abilities
from tfgumbel.distributions.abilities import Variable
from tfgumbel.internal import random, validation


@dataclasses.dataclass(frozen=True)
class Site:
    """A place where a program draws: a variable, and its logits given what was drawn before.

    Attributes:
        index: Which draw of the run it is, from 0.
        variable: What the logits describe.
        logits: Shape (rows, ...).
        seed: Its own in this run, int [2].
    """

    index: int
    variable: Variable
    logits: tf.Tensor
    seed: tf.Tensor

    def log_prob(self, outcome: tf.Tensor) -> tf.Tensor:
        """Log probability of an outcome, all its variables together, shape (rows,)."""
        log_prob = self.variable.log_prob(self.logits, outcome)
        return tf.reduce_sum(log_prob, list(range(1, log_prob.shape.rank)))


Answer = Callable[[Site], tf.Tensor]


def hard(site: Site) -> tf.Tensor:
    """Answers with an exact sample, without a gradient."""
    return site.variable.sample(site.logits, site.seed)


class Draw:
    """What a program draws with: `draw(distribution)` gives a sample, as the estimator chooses."""

    def __init__(self, answer: Answer, seed: tf.Tensor, rows: Any):
        self._answer = answer
        self._seed = seed
        self._rows = rows
        self.sites: list[Site] = []
        self.samples: list[tf.Tensor] = []

    def __call__(self, distribution: Any) -> tf.Tensor:
        """Draws from a distribution whose first axis is the program's batch.

        Args:
            distribution: A TFP `OneHotCategorical` or `Bernoulli`; or logits, floating, shape
                (batch, ..., num_classes), short for the first.

        Returns:
            sample: The shape and dtype of the logits; relaxed under a relaxed estimator.
        """
        return self.variable(*abilities.resolve(distribution))

    def variable(self, variable: Variable, logits: tf.Tensor) -> tf.Tensor:
        """Draws from a variable and its logits, as abilities hold them."""
        if logits.shape.rank == 0 or not tf.TensorShape(self._rows).is_compatible_with(
            logits.shape[:1]
        ):
            raise ValueError(
                validation.describe(
                    f"Draw {len(self.sites)} of the program has no batch axis.",
                    expected=f"shape ({self._rows[0]}, ...): the batch, num_samples times",
                    received=tuple(logits.shape),
                    fix="keep the batch first; repeat logits that are the same for all examples",
                )
            )
        site = Site(len(self.sites), variable, logits, random.fold_in(self._seed, len(self.sites)))
        sample = self._answer(site)
        self.sites.append(site)
        self.samples.append(sample)
        return sample


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a program.

    Attributes:
        costs: Shape (num_samples, batch), float32 or float64.
        sites: Where it drew.
        samples: What it drew there, one a site.
    """

    costs: tf.Tensor
    sites: tuple[Site, ...]
    samples: tuple[tf.Tensor, ...]

    def log_prob(self) -> tf.Tensor:
        """Log probability of all that was drawn, shape (num_samples, batch), dtype of the costs."""
        total = tf.zeros_like(self.costs)
        for site, sample in zip(self.sites, self.samples, strict=True):
            term = tf.reshape(site.log_prob(sample), tf.shape(self.costs))
            total += tf.cast(term, self.costs.dtype)
        return total


class Program:
    """A user's function with its inputs, ready to run.

    Args:
        function: `function(draw, inputs) -> cost`, one cost for each row of the inputs.
        inputs: Tensor or nest of tensors, the batch on the first axis.
        num_samples: How often the batch is repeated.

    Raises:
        ValueError: if the inputs have no batch axis, or different ones.
    """

    def __init__(self, function: Callable[..., Any], inputs: Any, num_samples: int):
        self._function = function
        self.num_samples = validation.positive_integer("num_samples", num_samples)
        self.inputs = tf.nest.map_structure(tf.convert_to_tensor, inputs)
        leaves = tf.nest.flatten(self.inputs)
        batches = [tuple(leaf.shape[:1]) for leaf in leaves if leaf.shape.rank != 0]
        static = {batch[0] for batch in batches} - {None}
        if len(batches) < len(leaves) or not leaves or len(static) > 1:
            raise ValueError(
                validation.describe(
                    "`inputs` have no batch axis in common.",
                    expected="a tensor or nest of tensors, shape (batch, ...) each",
                    received=[tuple(leaf.shape) for leaf in leaves],
                    fix="logits of a single example are logits[tf.newaxis]; what has no batch, "
                    "the program can close over",
                )
            )
        self.batch_size = static.pop() if static else None
        self._batch = tf.shape(leaves[0])[0] if self.batch_size is None else self.batch_size
        self._rows = None if self.batch_size is None else self.batch_size * self.num_samples
        self._repeated = tf.nest.map_structure(self._repeat, self.inputs)

    def _repeat(self, tensor: tf.Tensor) -> tf.Tensor:
        if self.num_samples == 1:
            return tensor
        return tf.tile(tensor, [self.num_samples] + [1] * (tensor.shape.rank - 1))

    def run(self, answer: Answer, seed: tf.Tensor) -> Run:
        """Runs the program once on all rows.

        Args:
            answer: What `draw` returns at a site.
            seed: Int [2]; the same seed gives the same seed to the same site.

        Raises:
            ValueError: if the costs are of the wrong shape.
        """
        draw = Draw(answer, seed, [self._rows])
        costs = tf.convert_to_tensor(self._function(draw, self._repeated))
        if not costs.shape.is_compatible_with([self._rows]):
            raise ValueError(
                validation.describe(
                    "The program returned costs of the wrong shape.",
                    expected=f"({self._rows},): one for each row of its inputs",
                    received=tuple(costs.shape),
                    fix="keep the batch axis, and sum over the others",
                )
            )
        if not costs.dtype.is_floating:  # the 0-1 loss is boolean
            logits = [site.logits.dtype for site in draw.sites]
            costs = tf.cast(costs, logits[0] if logits else tf.float32)
        costs = tf.cast(costs, validation.compute_dtype(costs.dtype))
        costs = tf.reshape(costs, [self.num_samples, self._batch])
        return Run(costs, tuple(draw.sites), tuple(draw.samples))
