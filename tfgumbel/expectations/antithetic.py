"""Antithetic pairs of binary variables: what ARM and DisARM share.

A categorical variable is taken apart into binary ones by stick breaking: stick k succeeds with the
probability of class k among classes k, k + 1, ...; the outcome is the first success, the last class
if there is none. Classes that are masked have logits of -inf, and sticks that cannot matter a
gradient of 0.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from tfgumbel.expectations.program import Program, Site, sum_variables
from tfgumbel.expectations.score_function import refuse_cascade, without_value
from tfgumbel.internal import random, validation

# Log odds beyond which an outcome is certain, and a slope 0, in float32 and float64 alike.
_CERTAIN = 1e4


@dataclasses.dataclass(frozen=True)
class Pair:
    """Binary variables of one site drawn twice.

    Attributes:
        logits: Shape (rows, ..., binary variables), finite.
        noise: u, uniform.
        first: [u > sigmoid(-logits)], 0 or 1.
        second: [1 - u > sigmoid(-logits)].
        counts: Whether a variable may have changed what the program got, 0 or 1.
    """

    logits: tf.Tensor
    noise: tf.Tensor
    first: tf.Tensor
    second: tf.Tensor
    counts: tf.Tensor


def estimate(
    name: str, program: Program, seed: tf.Tensor, slope: Callable[[Pair], tf.Tensor]
) -> tf.Tensor:
    """Runs a program on both halves of every pair.

    Args:
        name: The estimator's, for errors.
        program: Run twice.
        seed: Int tensor of shape [2].
        slope: The gradient of each binary logit, by which f(first) - f(second) is multiplied.

    Returns:
        value: The mean of both runs, shape (batch,).
    """
    pairs: list[Pair] = []
    samples: list[tuple[tf.Tensor, tf.Tensor]] = []
    with tf.GradientTape(persistent=True) as tape:

        def first(site: Site) -> tf.Tensor:
            pair, sample = _draw(site)
            pairs.append(pair)
            samples.append(sample)
            tape.watch(sample[0])
            return sample[0]

        run = program.run(first, seed)
    refuse_cascade(name, run, tape)
    other = program.run(lambda site: samples[site.index][1], seed)
    difference = tf.stop_gradient(run.costs - other.costs)
    shape = tf.shape(run.costs)
    score = tf.zeros_like(run.costs)
    for pair in pairs:
        factor = tf.stop_gradient(pair.counts * slope(pair))
        term = tf.reshape(sum_variables(factor * without_value(pair.logits)), shape)
        score += difference * tf.cast(term, difference.dtype)
    return program.objective.value(0.5 * (run.costs + other.costs) + score)


def _draw(site: Site) -> tuple[Pair, tuple[tf.Tensor, tf.Tensor]]:
    wide = tf.cast(site.logits, validation.compute_dtype(site.logits.dtype))
    if site.variable.event_rank:
        wide = _sticks(wide)
    wide = tf.clip_by_value(wide, -_CERTAIN, _CERTAIN)
    noise = random.uniform(tf.shape(wide), site.seed, wide.dtype)
    threshold = tf.stop_gradient(tf.sigmoid(-wide))
    first, second = (tf.cast(half > threshold, wide.dtype) for half in (noise, 1.0 - noise))
    samples = first, second
    counts = tf.ones_like(wide)
    if site.variable.event_rank:
        samples = _first_success(first), _first_success(second)
        # Sticks past the later of the two outcomes were seen by neither run.
        reached = [tf.cumsum(sample, axis=-1, reverse=True)[..., :-1] for sample in samples]
        counts = tf.maximum(*reached)
    pair = Pair(wide, noise, first, second, counts)
    dtype = site.logits.dtype
    return pair, (tf.cast(samples[0], dtype), tf.cast(samples[1], dtype))


def _sticks(logits: tf.Tensor) -> tf.Tensor:
    """Log odds of class k against all later ones, shape (..., num_classes - 1)."""
    # A masked class keeps no chance, and what follows the last class with one is never reached.
    centered = tf.maximum(logits - tf.reduce_max(logits, -1, keepdims=True), -_CERTAIN)
    later = tf.math.cumulative_logsumexp(centered, axis=-1, reverse=True)
    return centered[..., :-1] - later[..., 1:]


def _first_success(sticks: tf.Tensor) -> tf.Tensor:
    """One-hot vectors, one entry longer than the sticks."""
    last = tf.ones_like(sticks[..., :1])
    failed = tf.math.cumprod(1.0 - sticks, axis=-1)
    before = tf.concat([last, failed], axis=-1)
    return before * tf.concat([sticks, last], axis=-1)
