"""What a monitor says of a discrete layer, and the sums it is made from."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics.latent_probe import Call
from tfgumbel.layers.base import DiscreteLayer

# Less than this share of what uniform classes would have, and a class is dead.
_DEAD = 0.01
# A variable whose likeliest class has more than this is decided.
_DECIDED = 0.99


@dataclasses.dataclass(frozen=True)
class LatentStatistics:
    """What was measured of one discrete layer; NaN where it has no meaning.

    A variable is one softmax, or one log odds. Entropies and divergences are in nats.

    Attributes:
        entropy: Of the posterior, a mean over variables and examples.
        kl: Divergence of the posterior from the prior, a mean over variables and examples.
        perplexity: exp of the entropy of the codes in use (the posterior averaged over examples), a
            mean over variables: between 1 and the number of classes.
        dead_classes: Classes, of all variables together, that get less than a hundredth of what
            they would get were all used alike. Masked ones do not count.
        gradient_snr: Signal-to-noise ratio of one draw of the gradient at the logits: the norm of
            its mean over the root of its variance, both of all entries together.
        gradient_gain: Root mean square of the gradient at the logits, in units of what the
            Jacobian of softmax(logits) makes of the same gradient at the sample. About 1; hot
            relaxations have about 1 / temperature.
        temperature: The current one.
        saturation: Share of variables whose likeliest class has more than 0.99.
        discrete_gap: The loss at discrete samples less that at the relaxed ones they are rounded
            from; 0 where samples are discrete already.
        gradient_truth: How much the loss falls in a small step of the logits against the mean
            gradient, in units of what the gradient says. 1 is right, 0 says nothing.
        gradient_truth_error: Its standard error.
        soft_outputs: Share of outputs that are neither 0 nor 1 outside training.
        num_classes: Classes that may be drawn, of all variables together.
        largest_logit: The largest distance of a logit from its row's largest, masked ones aside;
            the largest magnitude of a log odds.
        finite: Whether loss, logits, samples and gradients all were.
        estimator: The layer's.
    """

    entropy: float
    kl: float
    perplexity: float
    dead_classes: int
    gradient_snr: float
    gradient_gain: float
    temperature: float
    saturation: float
    discrete_gap: float
    gradient_truth: float
    gradient_truth_error: float
    soft_outputs: float
    num_classes: int
    largest_logit: float
    finite: bool
    estimator: str


class CallSums:
    """Sums over batches of what belongs to one call of a layer."""

    def __init__(self, layer: DiscreteLayer, prior: Any, shared: bool):
        self.layer, self._prior, self._shared = layer, prior, shared
        self.variables = 0
        self.entropy = self.kl = self.decided = 0.0
        self.usage: Any = 0.0
        self.possible: Any = False
        self.largest = 0.0
        self.signal = self.noise = self.gained = self.reference = 0.0
        self.gap: list[float] = []
        self.falls: list[float] = []
        self.predicted: list[float] = []
        self.soft = float("nan")
        self.finite = True

    def add(self, calls: Sequence[Call], scaled: bool) -> tf.Tensor:
        """Takes in the same batch's draws; returns the mean gradient at the logits."""
        for call in calls:
            self._add_posterior(call.logits)
        gradients = tf.stack([tf.cast(call.gradient, tf.float64) for call in calls])
        tensors = [call.sample for call in calls] + ([] if scaled else [gradients])
        self.finite &= all(bool(tf.reduce_all(tf.math.is_finite(tensor))) for tensor in tensors)
        mean = tf.reduce_mean(gradients, axis=0)
        count = len(calls)
        noise = float(tf.reduce_sum((gradients - mean) ** 2)) / max(count - 1, 1)
        # The mean of the draws holds a count-th of the noise.
        self.signal += float(tf.reduce_sum(mean**2)) - noise / count
        self.noise += noise
        for call in calls:
            self.gained += float(tf.reduce_sum(tf.cast(call.gradient, tf.float64) ** 2))
            self.reference += float(tf.reduce_sum(_straight(call) ** 2))
        return mean

    def _add_posterior(self, logits: tf.Tensor) -> None:
        log_probs, possible = _log_probs(self.layer, tf.cast(logits, tf.float64))
        finite = tf.where(possible, log_probs, 0.0)
        self.finite &= not bool(tf.reduce_any(tf.math.is_nan(log_probs)))
        probs = tf.where(possible, tf.exp(log_probs), 0.0)
        entropy = -tf.reduce_sum(probs * finite, axis=-1)
        self.entropy += float(tf.reduce_sum(entropy))
        self.kl += float(
            tf.reduce_sum(-entropy - tf.reduce_sum(probs * self._log_prior(possible), -1))
        )
        self.decided += float(tf.reduce_sum(tf.cast(tf.reduce_max(probs, -1) > _DECIDED, tf.int64)))
        self.variables += int(tf.size(entropy))
        self.largest = max(self.largest, _largest(self.layer, logits))
        examples = (0,) if entropy.shape.rank else ()
        axes = tuple(range(entropy.shape.rank)) if self._shared else examples
        self.usage = self.usage + np.sum(probs.numpy(), axis=axes)
        self.possible = self.possible | np.any(possible.numpy(), axis=axes)

    def _log_prior(self, possible: tf.Tensor) -> tf.Tensor:
        if self._prior is None:
            number = tf.reduce_sum(tf.cast(possible, tf.float64), axis=-1, keepdims=True)
            return -tf.math.log(tf.maximum(number, 1.0)) * tf.ones_like(number)
        log_prior, _ = _log_probs(self.layer, tf.cast(self._prior, tf.float64))
        return tf.where(possible, log_prior, 0.0)

    def usages(self) -> tuple[np.ndarray, int, int]:
        """Perplexities of the variables, dead classes, possible classes."""
        total = np.sum(self.usage, axis=-1, keepdims=True)
        share = np.asarray(self.usage / np.maximum(total, 1e-300))
        entropy = -np.sum(share * np.log(np.maximum(share, 1e-300)), axis=-1)
        number = np.sum(self.possible, axis=-1, keepdims=True)
        dead = self.possible & (share < _DEAD / np.maximum(number, 1))
        return np.ravel(np.exp(entropy)), int(np.sum(dead)), int(np.sum(number))


def by_layer(sums: Sequence[CallSums], finite: bool) -> dict[str, LatentStatistics]:
    layers = {id(total.layer): total.layer for total in sums}
    found: dict[str, LatentStatistics] = {}
    for key, layer in layers.items():
        name, number = layer.name, 1
        while name in found:  # Nested models may use a name twice.
            name, number = f"{layer.name}_{number}", number + 1
        found[name] = _statistics(layer, [t for t in sums if id(t.layer) == key], finite)
    return found


def _statistics(layer: DiscreteLayer, sums: Sequence[CallSums], finite: bool) -> LatentStatistics:
    def total(name: str) -> float:
        return sum(getattr(call, name) for call in sums)

    variables = max(sum(call.variables for call in sums), 1)
    usages = [call.usages() for call in sums]
    gap = [value for call in sums for value in call.gap]
    truth, error = _truth(sums)
    signal, noise = max(total("signal"), 0.0), total("noise")
    soft = np.array([call.soft for call in sums])
    return LatentStatistics(
        entropy=total("entropy") / variables,
        kl=total("kl") / variables,
        perplexity=float(np.mean(np.concatenate([usage[0] for usage in usages]))),
        dead_classes=sum(usage[1] for usage in usages),
        gradient_snr=float(np.sqrt(signal / noise)) if noise > 0 else float("nan"),
        gradient_gain=float(np.sqrt(total("gained") / total("reference")))
        if total("reference") > 0
        else float("nan"),
        temperature=float("nan") if layer.temperature is None else float(layer.temperature),
        saturation=total("decided") / variables,
        discrete_gap=float(np.mean(gap)) if gap else 0.0 if layer._entry.hard else float("nan"),
        gradient_truth=truth,
        gradient_truth_error=error,
        soft_outputs=float(np.mean(soft)),
        num_classes=sum(usage[2] for usage in usages),
        largest_logit=max(call.largest for call in sums),
        finite=finite and all(call.finite for call in sums),
        estimator=layer.estimator,
    )


def _truth(sums: Sequence[CallSums]) -> tuple[float, float]:
    """The ratio of what the loss did to what was predicted, and its standard error."""
    falls = np.array([value for call in sums for value in call.falls])
    predicted = np.sum([value for call in sums for value in call.predicted])
    if len(falls) < 2 or not predicted > 0:
        return float("nan"), float("nan")
    error = np.std(falls, ddof=1) * np.sqrt(len(falls))
    return float(np.sum(falls) / predicted), float(error / predicted)


def _log_probs(layer: DiscreteLayer, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Log probabilities of the outcomes, on the last axis, and which are possible."""
    if not layer.variable.event_rank:
        logits = tf.stack([tf.zeros_like(logits), logits], axis=-1)
    return tf.nn.log_softmax(logits), logits > float("-inf")


def _largest(layer: DiscreteLayer, logits: tf.Tensor) -> float:
    """The largest distance of a logit from its row's largest; inf where that is inf."""
    if bool(tf.reduce_any(logits == float("inf"))) and layer.variable.event_rank:
        return float("inf")
    distance = logits - tf.reduce_max(logits, -1, keepdims=True) * layer.variable.event_rank
    known = tf.where(tf.math.is_finite(distance), distance, tf.zeros_like(distance))
    return float(tf.reduce_max(tf.abs(known)))


def _straight(call: Call) -> tf.Tensor:
    """The gradient at the sample through the Jacobian of the mean: straight-through's."""
    with tf.GradientTape() as tape:
        logits = tf.cast(call.logits, tf.float64)
        tape.watch(logits)
        mean = call.layer.variable.mean(logits)
    return tape.gradient(mean, logits, output_gradients=tf.cast(call.upstream, tf.float64))
