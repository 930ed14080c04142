"""The seven pitfalls of discrete layers: how each shows in the statistics, its cause, its fix."""

import dataclasses
from collections.abc import Callable

from tfgumbel.diagnostics.latent_statistics import LatentStatistics
from tfgumbel.registry import SampleEstimator, get


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Where a pitfall begins.

    Attributes:
        extreme_logit: A logit this far from its row's largest is called extreme when there are NaN.
        low_temperature: A temperature called low when there are NaN.
        exploding_gain: `gradient_gain` above it is exploding variance. Straight-through
            Gumbel-Softmax passes it at a temperature of about 0.03.
        deaf_gain: `gradient_gain` below it does not feel the logits: a temperature of about 8.
        collapsed_kl: `kl` below it, in nats a variable, is a collapsed posterior.
        dead_share: Share of classes; more dead ones are too many.
        soft_share: Share of `soft_outputs`; more are not hard.
        truth: `gradient_truth` outside of it, by three standard errors, is a mismatch.
        patience: Measurements in a row that must show a pitfall; one is enough for NaN and for
            outputs that are not hard.
    """

    extreme_logit: float = 80.0
    low_temperature: float = 0.1
    exploding_gain: float = 8.0
    deaf_gain: float = 0.12
    collapsed_kl: float = 0.005
    dead_share: float = 0.75
    soft_share: float = 0.01
    truth: tuple[float, float] = (0.25, 8.0)
    patience: int = 2


Judge = Callable[[LatentStatistics, Thresholds], bool]
Words = Callable[[LatentStatistics, Thresholds], str]


@dataclasses.dataclass(frozen=True)
class Pitfall:
    """One row of the table.

    Attributes:
        name: By which it is warned of.
        lines: The statistics that show it.
        occurs: Whether it does.
        cause: In words and numbers.
        fix: What to do.
        at_once: Whether the first measurement decides.
    """

    name: str
    lines: tuple[str, ...]
    occurs: Judge
    cause: Words
    fix: Words
    at_once: bool = False


class PitfallWarning(UserWarning):
    """A discrete layer shows a known fault; the message names it, its cause and its fix."""

    def __init__(self, message: str):
        super().__init__(message)


def message(pitfall: Pitfall, layer: str, found: LatentStatistics, limits: Thresholds) -> str:
    """What a warning says.

    Args:
        pitfall: That occurs.
        layer: The layer's name.
        found: What was measured of it.
        limits: By which it was judged.
    """
    numbers = ", ".join(f"{line} {getattr(found, line):.3g}" for line in pitfall.lines)
    return (
        f"{pitfall.name} in layer {layer!r} ({found.estimator}): {numbers}\n"
        f"  cause: {pitfall.cause(found, limits)}\n"
        f"  fix: {pitfall.fix(found, limits)}"
    )


def _estimator(found: LatentStatistics) -> SampleEstimator:
    entry = get(found.estimator)
    if not isinstance(entry, SampleEstimator):
        raise TypeError(f"{found.estimator} is no layer's estimator")  # never: a layer has one
    return entry


def _gated(found: LatentStatistics) -> bool:
    """Whether outputs are gates, which may be soft, closed and the same for all by design."""
    return not _estimator(found).exact_sampling


def _cold(found: LatentStatistics, limits: Thresholds) -> bool:
    return found.temperature < limits.low_temperature


def _extreme(found: LatentStatistics, limits: Thresholds) -> bool:
    return not found.largest_logit <= limits.extreme_logit  # NaN is


def _explodes(found: LatentStatistics, limits: Thresholds) -> bool:
    # Colder still, and no draw of a few comes by the rare huge entries: all are zero.
    vanished = found.gradient_gain < limits.deaf_gain and _cold(found, limits)
    return found.gradient_gain > limits.exploding_gain or vanished


def _deaf(found: LatentStatistics, limits: Thresholds) -> bool:
    return found.gradient_gain < limits.deaf_gain and not _cold(found, limits)


def _mismatched(found: LatentStatistics, limits: Thresholds) -> bool:
    if _deaf(found, limits) or _explodes(found, limits):
        return False
    low, high = limits.truth
    margin = 3.0 * found.gradient_truth_error
    return found.gradient_truth + margin < low or found.gradient_truth - margin > high


def _nan_cause(found: LatentStatistics, limits: Thresholds) -> str:
    causes = []
    if _cold(found, limits):
        causes.append(
            f"a temperature of {found.temperature:.3g}: relaxed samples are exactly 0 and 1, and "
            "their logarithms and quotients infinite"
        )
    if _extreme(found, limits):
        causes.append(
            f"extreme logits, up to {found.largest_logit:.3g}: the layer before diverges, or "
            "their exponential overflows outside of the layer"
        )
    return "; ".join(causes) or (
        "not this layer's temperature or logits, as far as can be seen: the loss itself, or what "
        "follows"
    )


def _nan_fix(found: LatentStatistics, limits: Thresholds) -> str:
    fixes = []
    if _cold(found, limits):
        fixes.append(
            "raise the temperature, or take the log probability from the logits "
            "(layer.distribution, draw.log_prob) rather than the logarithm of a sample"
        )
    if _extreme(found, limits):
        fixes.append("lower the learning rate, clip gradients, or penalise large logits")
    return "; ".join(fixes) or "run eagerly with tf.debugging.enable_check_numerics()"


def _explodes_fix(found: LatentStatistics, limits: Thresholds) -> str:
    if _estimator(found).takes_temperature:
        return (
            "raise the temperature, or take gumbel_rao, whose variance stays bounded as it falls "
            "(bernoulli_gumbel_rao for binary variables)"
        )
    return "take gumbel_rao (bernoulli_gumbel_rao), or clip the gradient"


def _deaf_cause(found: LatentStatistics, limits: Thresholds) -> str:
    if not _estimator(found).differentiable:
        return f"{found.estimator} has no gradient"
    if found.gradient_gain == 0.0:
        return "no gradient comes through the layer: its logits are cut off, or all is saturated"
    return (
        f"a temperature of {found.temperature:.3g} is too high: the relaxed sample is nearly "
        "uniform whatever the logits, and the gradient a temperature-th of what it should be"
    )


def _deaf_fix(found: LatentStatistics, limits: Thresholds) -> str:
    if not _estimator(found).differentiable:
        return "take an estimator with a gradient, such as gumbel_rao"
    return "lower the temperature (1 or below), or anneal it: tfgumbel.schedules"


def _soft_cause(found: LatentStatistics, limits: Thresholds) -> str:
    share = f"{100 * found.soft_outputs:.0f}% of the outputs outside training are between 0 and 1: "
    if _estimator(found).hard:
        return share + 'the layer has inference="probs"'
    return share + (
        'either inference="probs", or the layer is called with training=True in evaluation; what '
        "is evaluated is the relaxation and not the discrete model"
    )


PITFALLS: tuple[Pitfall, ...] = (
    Pitfall(
        name="NaN",
        lines=("temperature", "largest_logit"),
        occurs=lambda found, limits: not found.finite,
        cause=_nan_cause,
        fix=_nan_fix,
        at_once=True,
    ),
    Pitfall(
        name="exploding gradient variance",
        lines=("gradient_gain", "gradient_snr", "temperature"),
        occurs=_explodes,
        cause=lambda found, limits: (
            f"a temperature of {found.temperature:.3g} is too low for this estimator: most draws "
            "give no gradient, and a few a huge one; the variance grows as 1 / temperature"
        ),
        fix=_explodes_fix,
    ),
    Pitfall(
        name="not actually hard",
        lines=("soft_outputs",),
        occurs=lambda found, limits: found.soft_outputs > limits.soft_share and not _gated(found),
        cause=_soft_cause,
        fix=lambda found, limits: (
            'layer.inference = "sample" (or "argmax"), and hand `training` on in the model\'s call'
        ),
        at_once=True,
    ),
    Pitfall(
        name="posterior collapse",
        lines=("kl", "entropy"),
        occurs=lambda found, limits: found.kl < limits.collapsed_kl and not _gated(found),
        cause=lambda found, limits: (
            "the posterior is the prior for every example: the codes say nothing, because their "
            "KL term outweighs what they are worth, or the decoder does without them"
        ),
        fix=lambda found, limits: (
            "warm the KL term up from 0, give it free bits, or weaken the decoder"
        ),
    ),
    Pitfall(
        name="unused classes",
        lines=("dead_classes", "perplexity"),
        occurs=lambda found, limits: (
            found.dead_classes > limits.dead_share * found.num_classes and not _gated(found)
        ),
        cause=lambda found, limits: (
            f"{found.dead_classes} of {found.num_classes} classes are never chosen, by no example: "
            "those that were first ahead got all the gradient"
        ),
        fix=lambda found, limits: (
            "add the KL to a uniform prior, or an entropy bonus on the codes in use, start with "
            "small logits and a higher temperature, or take fewer classes"
        ),
    ),
    Pitfall(
        name="gradients do not feel the logits",
        lines=("gradient_gain", "temperature"),
        occurs=_deaf,
        cause=_deaf_cause,
        fix=_deaf_fix,
    ),
    Pitfall(
        name="forward and backward do not match",
        lines=("gradient_truth", "gradient_truth_error"),
        occurs=_mismatched,
        cause=lambda found, limits: (
            "a step along the gradient changes the loss by "
            f"{found.gradient_truth:.2g} of what the gradient says: what the loss gets is not what "
            "the gradient is of, as when the sample is replaced, rounded or shuffled behind the "
            "layer, or drawn at another temperature"
        ),
        fix=lambda found, limits: (
            "hand the layer's output on as it is, and take hard samples from the estimator, "
            "forward and backward from one draw"
        ),
    ),
)
