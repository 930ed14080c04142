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
from tfgumbel.expectations.objectives import Mean, Objective
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
        return sum_variables(self.variable.log_prob(self.logits, outcome))


@dataclasses.dataclass(frozen=True)
class Relaxed:
    """An answer whose density is known.

    Attributes:
        sample: What the program gets.
        unsquashed: As `Variable.relax` returns it.
        temperature: At which it was drawn.
    """

    sample: tf.Tensor
    unsquashed: tf.Tensor
    temperature: tf.Tensor


Answer = Callable[[Site], tf.Tensor | Relaxed]


def hard(site: Site) -> tf.Tensor:
    """Answers with an exact sample, without a gradient."""
    return site.variable.sample(site.logits, site.seed)


def sum_variables(per_variable: tf.Tensor) -> tf.Tensor:
    """Sums over all axes but the first, of the rows."""
    return tf.reduce_sum(per_variable, list(range(1, per_variable.shape.rank)))


class Draw:
    """What a program draws with: `draw(distribution)` gives a sample, as the estimator chooses."""

    def __init__(self, answer: Answer, seed: tf.Tensor, rows: int | None):
        self._answer = answer
        self._seed = seed
        self._rows = rows
        self._relaxed: dict[int, Relaxed] = {}
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
        if logits.shape.rank == 0 or not logits.shape[:1].is_compatible_with([self._rows]):
            raise ValueError(
                validation.describe(
                    f"Draw {len(self.sites)} of the program has no batch axis.",
                    expected=f"shape ({self._rows}, ...): the batch, num_samples times",
                    received=tuple(logits.shape),
                    fix="keep the batch first; repeat logits that are the same for all examples",
                )
            )
        index = len(self.sites)
        site = Site(index, variable, logits, random.fold_in(self._seed, index))
        answer = self._answer(site)
        sample = answer.sample if isinstance(answer, Relaxed) else answer
        if isinstance(answer, Relaxed):
            self._relaxed[id(sample)] = answer
        self.sites.append(site)
        self.samples.append(sample)
        return sample

    def log_prob(self, distribution: Any, sample: tf.Tensor, temperature: Any = None) -> tf.Tensor:
        """Log probability of a sample, in nats: of all its variables together.

        Of a discrete sample its log probability, linear in the sample. Of what `draw` returned
        under a relaxed estimator the log density of the Concrete distribution, as Maddison et al.
        2017 train with (eq. 20), in log space (or log odds): the difference of two is the same as
        on the simplex. Write a bound once,
        `log_likelihood + draw.log_prob(prior, d) - draw.log_prob(posterior, d)`.

        Args:
            distribution: As in a draw; its logits broadcast with the sample.
            sample: What `draw` returned. A relaxed one must be handed on as it is.
            temperature: Of the density of a relaxed sample, for this distribution; None for the
                one that it was drawn at. Of no meaning for discrete samples.

        Returns:
            log_prob: Shape (batch,), float32 or float64.
        """
        variable, logits = abilities.resolve(distribution)
        relaxed = self._relaxed.get(id(sample))
        if relaxed is None:
            return sum_variables(variable.log_prob(logits, sample))
        temperature = relaxed.temperature if temperature is None else temperature
        density = variable.relaxed_log_prob(logits, temperature, relaxed.unsquashed)
        return sum_variables(density)


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
        objective: What the costs of one example's samples are made into.

    Raises:
        ValueError: if the inputs have no batch axis, or different ones.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        inputs: Any,
        num_samples: int,
        objective: Objective | None = None,
    ):
        self._function = function
        self.num_samples = validation.positive_integer("num_samples", num_samples)
        self.objective = Mean() if objective is None else objective
        self.inputs = tf.nest.map_structure(tf.convert_to_tensor, inputs)
        leaves = tf.nest.flatten(self.inputs)
        batches = [leaf.shape[0] for leaf in leaves if leaf.shape.rank != 0]
        static = set(batches) - {None}
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
        self._static_batch = static.pop() if static else None
        self.batch_size = self._static_batch or tf.shape(leaves[0])[0]

    def features(self) -> tf.Tensor:
        """The floating inputs of every example as one vector, shape (batch, size), float32."""
        leaves = [leaf for leaf in tf.nest.flatten(self.inputs) if leaf.dtype.is_floating]
        flat = []
        for leaf in leaves:
            size = leaf.shape[1:].num_elements()
            flat.append(tf.reshape(tf.cast(leaf, tf.float32), [self.batch_size, size]))
        return tf.concat(flat, axis=-1)

    def run(self, answer: Answer, seed: tf.Tensor, copies: int = 1) -> Run:
        """Runs the program once on all rows.

        Args:
            answer: What `draw` returns at a site.
            seed: Int [2]; the same seed gives the same seed to the same site.
            copies: How often all rows are repeated, copy by copy.

        Returns:
            run: Its costs have shape (copies * num_samples, batch).

        Raises:
            ValueError: if the costs are of the wrong shape.
        """
        repeats = self.num_samples * copies
        rows = None if self._static_batch is None else self._static_batch * repeats
        draw = Draw(answer, seed, rows)
        inputs = tf.nest.map_structure(lambda leaf: _repeat(leaf, repeats), self.inputs)
        costs = tf.convert_to_tensor(self._function(draw, inputs))
        if not costs.shape.is_compatible_with([rows]):
            raise ValueError(
                validation.describe(
                    "The program returned costs of the wrong shape.",
                    expected=f"({rows},): one for each row of its inputs",
                    received=tuple(costs.shape),
                    fix="keep the batch axis, and sum over the others",
                )
            )
        if not costs.dtype.is_floating:  # the 0-1 loss is boolean
            logits = [site.logits.dtype for site in draw.sites]
            costs = tf.cast(costs, logits[0] if logits else tf.float32)
        costs = tf.cast(costs, validation.compute_dtype(costs.dtype))
        costs = tf.reshape(costs, [repeats, self.batch_size])
        return Run(costs, tuple(draw.sites), tuple(draw.samples))


def _repeat(tensor: tf.Tensor, times: int) -> tf.Tensor:
    return tensor if times == 1 else tf.tile(tensor, [times] + [1] * (tensor.shape.rank - 1))
