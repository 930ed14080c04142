"""A program: the user's function of draws, and one run of it.

An estimator that acts on the loss is a way of answering `draw`, and of running the program as often
as it needs. It sees rows: the batch repeated `num_samples` times, sample by sample.

Of other distributions than those in abilities an estimator is not asked. A reparameterised sample
is noise from outside as far as it is concerned, the same in every run of the same seed. One that is
not is a `ScoreSite`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfgumbel.distributions import abilities, pathwise
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
        position: Which draw of the run it is, reparameterised ones included.
    """

    index: int
    variable: Variable
    logits: tf.Tensor
    seed: tf.Tensor
    position: int = 0

    @property
    def dtype(self) -> tf.DType:
        """Of the sample."""
        return self.logits.dtype

    def log_prob(self, outcome: tf.Tensor) -> tf.Tensor:
        """Log probability of an outcome, all its variables together, shape (rows,)."""
        return sum_variables(self.variable.log_prob(self.logits, outcome))


@dataclasses.dataclass(frozen=True)
class ScoreSite:
    """A place where a program draws from a distribution without reparameterised samples.

    Attributes:
        index: As in `Site`.
        distribution: TFP's, the rows on the first axis of its batch shape.
        seed: Its own in this run, int [2].
    """

    index: int
    distribution: Any
    seed: tf.Tensor

    @property
    def dtype(self) -> tf.DType:
        """Of numbers computed from the sample, which may be an integer."""
        return self.distribution.dtype if self.distribution.dtype.is_floating else tf.float32

    def sample(self) -> tf.Tensor:
        """Draws, without a gradient."""
        return tf.stop_gradient(self.distribution.sample(seed=self.seed))

    def log_prob(self, outcome: tf.Tensor) -> tf.Tensor:
        """Log probability of an outcome, all its variables together, shape (rows,)."""
        return _wide(sum_variables(self.distribution.log_prob(outcome)))


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


def _wide(tensor: tf.Tensor) -> tf.Tensor:
    return tf.cast(tensor, validation.compute_dtype(tensor.dtype))


class Draw:
    """What a program draws with: `draw(distribution)` gives a sample, as the estimator chooses."""

    def __init__(self, answer: Answer, seed: tf.Tensor, rows: int | None, refusing: str = ""):
        self._answer = answer
        self._refusing = refusing
        self._position = 0
        self._seed = seed
        self._rows = rows
        self._relaxed: dict[int, Relaxed] = {}
        self.sites: list[Site | ScoreSite] = []
        self.samples: list[tf.Tensor] = []

    def __call__(self, distribution: Any) -> tf.Tensor:
        """Draws from a distribution whose first axis is the program's batch.

        Args:
            distribution: A TFP `OneHotCategorical` or `Bernoulli`; logits, floating, shape
                (batch, ..., num_classes), short for the first; or any other distribution of TFP,
                its batch shape (batch, ...).

        Returns:
            sample: The shape and dtype of the logits; relaxed under a relaxed estimator. Of other
            distributions theirs: with the pathwise gradient where TFP reparameterises them
            (`FULLY_REPARAMETERIZED`), else without one, the score function being the estimator's.

        Raises:
            TypeError: if it is no distribution, or a `Categorical`.
            ValueError: if the first axis is not the batch, or the estimator can do nothing with a
                distribution that is neither one of its own nor reparameterised.
        """
        if abilities.is_discrete(distribution):
            return self.variable(*abilities.resolve(distribution))
        self._check_rows(distribution.batch_shape)
        seed = self._next_seed()
        if abilities.is_reparameterized(distribution):
            return pathwise.sample(distribution, seed)
        if self._refusing:
            raise ValueError(
                validation.describe(
                    f"Estimator {self._refusing!r} cannot draw from a "
                    f"{type(distribution).__name__}, which is not reparameterized.",
                    expected="one that acts on the sample, or one of "
                    + ", ".join(_score_functions()),
                    received=self._refusing,
                    fix="'reinforce_loo' with two samples or more, or 'reinforce_baseline'",
                )
            )
        site = ScoreSite(len(self.sites), distribution, seed)
        self.sites.append(site)
        self.samples.append(site.sample())
        return self.samples[-1]

    def variable(self, variable: Variable, logits: tf.Tensor) -> tf.Tensor:
        """Draws from a variable and its logits, as abilities hold them."""
        self._check_rows(logits.shape)
        position, index = self._position, len(self.sites)
        site = Site(index, variable, logits, self._next_seed(), position)
        answer = self._answer(site)
        sample = answer.sample if isinstance(answer, Relaxed) else answer
        if isinstance(answer, Relaxed):
            self._relaxed[id(sample)] = answer
        self.sites.append(site)
        self.samples.append(sample)
        return sample

    def _check_rows(self, shape: tf.TensorShape) -> None:
        if shape.rank == 0 or not shape[:1].is_compatible_with([self._rows]):
            raise ValueError(
                validation.describe(
                    f"Draw {self._position} of the program has no batch axis.",
                    expected=f"shape ({self._rows}, ...): the batch, num_samples times",
                    received=tuple(shape),
                    fix="keep the batch first; repeat logits that are the same for all examples",
                )
            )

    def _next_seed(self) -> tf.Tensor:
        self._position += 1
        return random.fold_in(self._seed, self._position - 1)

    def log_prob(self, distribution: Any, sample: tf.Tensor, temperature: Any = None) -> tf.Tensor:
        """Log probability, or log density, of a sample, in nats: of all its variables together.

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
        if not abilities.is_discrete(distribution):
            return _wide(sum_variables(distribution.log_prob(sample)))
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
        sites: Where it drew, `Site` or `ScoreSite`; reparameterised draws are none.
        samples: What it drew there, one a site.
    """

    costs: tf.Tensor
    sites: tuple[Any, ...]
    samples: tuple[tf.Tensor, ...]

    @property
    def scored(self) -> bool:
        """Whether there are draws that only a score function differentiates."""
        return any(isinstance(site, ScoreSite) for site in self.sites)

    def log_prob(self, scored_only: bool = False) -> tf.Tensor:
        """Log probability of what was drawn, shape (num_samples, batch), dtype of the costs.

        Args:
            scored_only: Leaves out the draws that an estimator answered.
        """
        total = tf.zeros_like(self.costs)
        for site, sample in zip(self.sites, self.samples, strict=True):
            if scored_only and not isinstance(site, ScoreSite):
                continue
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
        self.refusing = ""  # The estimator that can do nothing with a ScoreSite.
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
        draw = Draw(answer, seed, rows, self.refusing)
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
            dtypes = [site.dtype for site in draw.sites]
            costs = tf.cast(costs, dtypes[0] if dtypes else tf.float32)
        costs = tf.cast(costs, validation.compute_dtype(costs.dtype))
        costs = tf.reshape(costs, [repeats, self.batch_size])
        return Run(costs, tuple(draw.sites), tuple(draw.samples))


def _score_functions() -> list[str]:
    from tfgumbel import registry  # it imports what imports this module

    entries = registry.loss_estimators().items()
    return [name for name, entry in entries if entry.any_distribution]


def _repeat(tensor: tf.Tensor, times: int) -> tf.Tensor:
    return tensor if times == 1 else tf.tile(tensor, [times] + [1] * (tensor.shape.rank - 1))
