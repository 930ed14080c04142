"""What an estimator may ask of a discrete variable, looked up by its distribution's type.

A variable is a TensorFlow Probability distribution, or its logits alone, which stand for a one-hot
categorical one. Its `Variable` answers in functions of the logits, so that nothing here makes a
distribution, or imports TFP, before there is one.
"""

import abc
import functools
from typing import Any

import tensorflow as tf

from tfgumbel.internal import random, validation
from tfgumbel.numerics import sigmoid, softmax


class Kind(abc.ABC):
    """One kind of variable, as an estimator that acts on the sample needs to know it.

    Attributes:
        distribution: The name of its class in `tfp.distributions`, or in `tfgumbel.distributions`.
        event_rank: Axes of the logits that one variable takes: 1 for classes on the last, else 0.
        parameters: Names of estimators' options that are the variable's own, besides the logits.
    """

    distribution: str
    event_rank: int
    parameters: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return self.distribution

    @abc.abstractmethod
    def check(self, logits: Any) -> tf.Tensor:
        """Converts logits to a tensor, or raises."""

    @abc.abstractmethod
    def make(self, logits: tf.Tensor, **parameters: Any) -> Any:
        """The distribution with these logits; its samples have their dtype."""

    @abc.abstractmethod
    def make_relaxed(self, logits: tf.Tensor, temperature: Any, **parameters: Any) -> Any:
        """The distribution of its relaxed samples."""

    @abc.abstractmethod
    def mean(self, logits: tf.Tensor, **parameters: Any) -> tf.Tensor:
        """The expected sample, the shape of `logits`."""

    @abc.abstractmethod
    def mode(self, logits: tf.Tensor, **parameters: Any) -> tf.Tensor:
        """The most likely outcome, the shape of `logits`."""


class Variable(Kind):
    """A kind of variable that a program can draw: what can be asked of it.

    Attributes:
        relaxed_distribution: The name of its relaxation, the Concrete distribution, in
            `tfp.distributions`.
    """

    relaxed_distribution: str

    def make(self, logits: tf.Tensor, **parameters: Any) -> Any:
        return getattr(_tfd(), self.distribution)(logits=logits, dtype=logits.dtype)

    def make_relaxed(self, logits: tf.Tensor, temperature: Any, **parameters: Any) -> Any:
        return getattr(_tfd(), self.relaxed_distribution)(
            tf.cast(temperature, logits.dtype), logits=logits
        )

    @abc.abstractmethod
    def sample(self, logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws exact samples of 0 and 1, the shape and dtype of `logits`; no gradient."""

    @abc.abstractmethod
    def log_prob(self, logits: tf.Tensor, outcome: tf.Tensor) -> tf.Tensor:
        """Log probability of each variable's outcome, float32 or wider, without the event's axis.

        Linear in the outcome: at a mean it is the expected one, and its derivative for the outcome
        is what straight-through estimators follow. Classes of probability 0 add nothing where they
        were not drawn, nor to the gradient.
        """

    @abc.abstractmethod
    def perturb(self, logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Scores with noise, reparameterised, in the compute dtype: what decides the outcome."""

    @abc.abstractmethod
    def perturb_given(self, logits: tf.Tensor, outcome: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The same, of the noise given the outcome; reparameterised in the logits."""

    @abc.abstractmethod
    def decide(self, scores: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        """The outcome of scores with noise."""

    @abc.abstractmethod
    def squash(self, scores: tf.Tensor, temperature: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        """The relaxed sample of scores with noise."""

    @abc.abstractmethod
    def relax(
        self, logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws a reparameterised sample of the relaxation.

        Returns:
            sample: The shape and dtype of `logits`.
            unsquashed: The sample before the map that makes it a probability, from which
                `relaxed_log_prob` is stable: its logarithm, or its log odds.
        """

    @abc.abstractmethod
    def relaxed_log_prob(
        self, logits: tf.Tensor, temperature: tf.Tensor, unsquashed: tf.Tensor
    ) -> tf.Tensor:
        """Log density of `unsquashed` under the relaxation, without the event's axis."""

    @abc.abstractmethod
    def num_outcomes(self, shape: Any) -> int | None:
        """The number of outcomes of one variable, from the static shape of the logits."""

    @abc.abstractmethod
    def probabilities(self, logits: tf.Tensor) -> tf.Tensor:
        """The probability of each outcome, on a new or the last axis: shape (..., outcomes)."""

    @abc.abstractmethod
    def from_one_hot(self, outcome: Any) -> Any:
        """Turns outcomes given as one-hot vectors (..., outcomes) into samples."""

    @abc.abstractmethod
    def index(self, sample: tf.Tensor) -> tf.Tensor:
        """The outcome's number, int32; of a relaxed sample, that of what it rounds to."""


def _weighted(outcome: tf.Tensor, log_probs: tf.Tensor) -> tf.Tensor:
    """outcome * log_probs, 0 for what is impossible and did not happen."""
    possible = log_probs > float("-inf")
    outcome = tf.cast(outcome, log_probs.dtype)
    happened = tf.where(outcome > 0, log_probs, tf.zeros_like(log_probs))
    return tf.where(possible, outcome * tf.where(possible, log_probs, 0.0), happened)


def _tempered(scores: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
    """scores / temperature; infinite ones, of certain outcomes, stay, and out of its derivative."""
    finite = tf.math.is_finite(scores)
    tempered = sigmoid.temper(tf.where(finite, scores, tf.zeros_like(scores)), temperature)
    return tf.where(finite, tempered, tf.stop_gradient(scores))


class OneHotCategorical(Variable):
    """Classes on the last axis; samples are one-hot."""

    distribution = "OneHotCategorical"
    relaxed_distribution = "RelaxedOneHotCategorical"
    event_rank = 1

    def check(self, logits: Any) -> tf.Tensor:
        return validation.categorical_logits(logits)

    def sample(self, logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return tf.stop_gradient(softmax.sample(softmax.center(logits), seed, logits.dtype))

    def log_prob(self, logits: tf.Tensor, outcome: tf.Tensor) -> tf.Tensor:
        log_probs = tf.nn.log_softmax(tf.cast(logits, validation.compute_dtype(logits.dtype)))
        return tf.reduce_sum(_weighted(outcome, log_probs), axis=-1)

    def perturb(self, logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return softmax.perturb(softmax.center(logits), seed)

    def perturb_given(self, logits: tf.Tensor, outcome: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        # Paulus et al. 2021, eq. 9: -log E_i at the outcome i, else -log(E_j / p_j + E_i).
        log_probs = tf.nn.log_softmax(tf.cast(logits, validation.compute_dtype(logits.dtype)))
        present = log_probs > float("-inf")
        log_noise = -random.gumbel(tf.shape(log_probs), seed, log_probs.dtype)
        drawn = tf.reduce_sum(tf.where(outcome > 0, log_noise, 0.0), axis=-1, keepdims=True)
        others = log_noise - tf.where(present, log_probs, 0.0)
        scores = -tf.where(outcome > 0, log_noise, drawn + tf.nn.softplus(others - drawn))
        return tf.where(present, scores, float("-inf"))

    def decide(self, scores: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        return softmax.one_hot_argmax(scores, dtype)

    def squash(self, scores: tf.Tensor, temperature: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        heat = softmax.per_class(tf.cast(temperature, scores.dtype))
        return tf.cast(tf.nn.softmax(_tempered(scores, heat)), dtype)

    def relax(
        self, logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        scores = self.perturb(logits, seed)
        heat = softmax.per_class(tf.cast(temperature, scores.dtype))
        logarithm = tf.nn.log_softmax(_tempered(scores, heat))
        return tf.cast(tf.exp(logarithm), logits.dtype), logarithm

    def relaxed_log_prob(
        self, logits: tf.Tensor, temperature: tf.Tensor, unsquashed: tf.Tensor
    ) -> tf.Tensor:
        # ExpConcrete, Maddison et al. 2017, eq. 24, over the classes that are not masked.
        present = unsquashed > float("-inf")
        temperature = tf.cast(temperature, unsquashed.dtype)
        finite = tf.where(present, unsquashed, tf.zeros_like(unsquashed))
        scores = tf.cast(logits, unsquashed.dtype) - softmax.per_class(temperature) * finite
        count = tf.reduce_sum(tf.cast(present, unsquashed.dtype), axis=-1)
        total = tf.reduce_logsumexp(tf.where(present, scores, float("-inf")), axis=-1)
        return (
            tf.math.lgamma(count)
            + (count - 1.0) * tf.math.log(temperature)
            + tf.reduce_sum(tf.where(present, scores, 0.0), axis=-1)
            - count * total
        )

    def mean(self, logits: tf.Tensor, **parameters: Any) -> tf.Tensor:
        return tf.nn.softmax(logits)

    def mode(self, logits: tf.Tensor, **parameters: Any) -> tf.Tensor:
        return softmax.one_hot_argmax(logits, logits.dtype)

    def num_outcomes(self, shape: Any) -> int | None:
        return shape[-1]

    def probabilities(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(logits)

    def from_one_hot(self, outcome: Any) -> Any:
        return outcome

    def index(self, sample: tf.Tensor) -> tf.Tensor:
        return tf.argmax(sample, axis=-1, output_type=tf.int32)


class Bernoulli(Variable):
    """One log odds a variable; samples are 0 or 1."""

    distribution = "Bernoulli"
    relaxed_distribution = "RelaxedBernoulli"
    event_rank = 0

    def check(self, logits: Any) -> tf.Tensor:
        return validation.bernoulli_logits(logits)

    def sample(self, logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return tf.stop_gradient(sigmoid.threshold(sigmoid.perturb(logits, seed), logits.dtype))

    def log_prob(self, logits: tf.Tensor, outcome: tf.Tensor) -> tf.Tensor:
        wide = tf.cast(logits, validation.compute_dtype(logits.dtype))
        return _weighted(outcome, tf.math.log_sigmoid(wide)) + _weighted(
            1.0 - outcome, tf.math.log_sigmoid(-wide)
        )

    def perturb(self, logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return sigmoid.perturb(logits, seed)

    def perturb_given(self, logits: tf.Tensor, outcome: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        # Tucker et al. 2017, appendix C: with R logistic, log(1 + e^R / (1 - p)) for a 1, and
        # -log(1 + e^R / p) for a 0.
        wide = tf.cast(logits, validation.compute_dtype(logits.dtype))
        sign = 2.0 * tf.cast(outcome, wide.dtype) - 1.0
        noise = random.logistic(tf.shape(wide), seed, wide.dtype)
        return sign * tf.nn.softplus(noise + tf.nn.softplus(sign * wide))

    def decide(self, scores: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        return sigmoid.threshold(scores, dtype)

    def squash(self, scores: tf.Tensor, temperature: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        return tf.cast(tf.sigmoid(_tempered(scores, tf.cast(temperature, scores.dtype))), dtype)

    def relax(
        self, logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        scores = self.perturb(logits, seed)
        odds = _tempered(scores, tf.cast(temperature, scores.dtype))
        return tf.cast(tf.sigmoid(odds), logits.dtype), odds

    def relaxed_log_prob(
        self, logits: tf.Tensor, temperature: tf.Tensor, unsquashed: tf.Tensor
    ) -> tf.Tensor:
        # The logistic density, Maddison et al. 2017, appendix B, eq. 25.
        temperature = tf.cast(temperature, unsquashed.dtype)
        noise = temperature * unsquashed - tf.cast(logits, unsquashed.dtype)
        density = tf.math.log_sigmoid(noise) + tf.math.log_sigmoid(-noise)
        return tf.math.log(temperature) + density

    def mean(self, logits: tf.Tensor, **parameters: Any) -> tf.Tensor:
        return tf.sigmoid(logits)

    def mode(self, logits: tf.Tensor, **parameters: Any) -> tf.Tensor:
        return sigmoid.threshold(logits, logits.dtype)

    def num_outcomes(self, shape: Any) -> int | None:
        return 2

    def probabilities(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.stack([tf.sigmoid(-logits), tf.sigmoid(logits)], axis=-1)

    def from_one_hot(self, outcome: Any) -> Any:
        return outcome[..., 1]

    def index(self, sample: tf.Tensor) -> tf.Tensor:
        return tf.cast(sample > 0.5, tf.int32)


ONE_HOT_CATEGORICAL = OneHotCategorical()
BERNOULLI = Bernoulli()
# One line a kind of variable.
VARIABLES: tuple[Variable, ...] = (ONE_HOT_CATEGORICAL, BERNOULLI)


def is_discrete(distribution: Any) -> bool:
    """Whether `resolve` takes it: logits, or a distribution of a kind in `VARIABLES`.

    A `tfd.Categorical` is left to `resolve`, which says what it should be.
    """
    if not hasattr(distribution, "event_shape"):
        return True
    while isinstance(distribution, _tfd().Independent):
        distribution = distribution.distribution
    kinds = tuple(getattr(_tfd(), variable.distribution) for variable in VARIABLES)
    return isinstance(distribution, (*kinds, _tfd().Categorical))


def is_reparameterized(distribution: Any) -> bool:
    """Whether samples of a TFP distribution carry the gradient of its parameters."""
    kind = distribution.reparameterization_type
    return kind is _tfd().FULLY_REPARAMETERIZED


def distribution_class(name: str) -> Any:
    """The class of that name in `tfp.distributions`, or None."""
    found = getattr(_tfd(), name, None)
    return found if isinstance(found, type) and issubclass(found, _tfd().Distribution) else None


def kl_divergence(distribution: Any, prior: Any) -> tf.Tensor:
    """TFP's closed form; NotImplementedError where it has none."""
    return _tfd().kl_divergence(distribution, prior)


def resolve(distribution: Any) -> tuple[Variable, tf.Tensor]:
    """Returns what a distribution is and its checked logits.

    Args:
        distribution: A TFP distribution of a kind in `VARIABLES`, also under `tfd.Independent`; or
            logits, shape (..., num_classes), short for a `OneHotCategorical`.

    Raises:
        TypeError: if it is a distribution of another kind, or logits that are not floating point.
        ValueError: if the logits are of a wrong shape, or in eager mode hold no outcome to draw.
    """
    if not hasattr(distribution, "event_shape"):
        return ONE_HOT_CATEGORICAL, ONE_HOT_CATEGORICAL.check(distribution)
    while isinstance(distribution, _tfd().Independent):
        distribution = distribution.distribution
    for variable in VARIABLES:
        if isinstance(distribution, getattr(_tfd(), variable.distribution)):
            return variable, variable.check(distribution.logits_parameter())
    raise TypeError(
        validation.describe(
            "No estimator here can draw from this distribution.",
            expected="logits, or one of " + ", ".join(f"tfd.{v.distribution}" for v in VARIABLES),
            received=type(distribution).__name__,
            fix="a tfd.Categorical is a tfd.OneHotCategorical with the same logits",
        )
    )


@functools.cache
def _tfd() -> Any:
    """TFP's distributions, whose import takes seconds: at the first use of one."""
    import tensorflow_probability

    return tensorflow_probability.distributions
