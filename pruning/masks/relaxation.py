"""Relaxed Bernoulli masks: the Concrete distribution on (0, 1), with a gradient to its probability.

Reference: C. J. Maddison, A. Mnih, Y. W. Teh (2017), "The Concrete Distribution", ICLR, appendix B
(Binary Concrete); X. Zhou, W. Zhang, H. Xu, T. Zhang (2021), "Effective Sparsification of Neural
Networks with Global Sparsity Constraint", CVPR, section 3.
"""

from typing import Any

import tensorflow as tf

from tfgumbel.internal import random, validation

# Probabilities are held this far from 0 and 1, where the log odds are infinite.
MARGIN = 1e-6


def relaxed_mask(
    keep_probability: Any,
    seed: Any,
    temperature: Any,
    hard: bool = False,
    jit_compile: bool = True,
) -> tf.Tensor:
    """Draws masks that tend to Bernoulli(keep_probability) as the temperature tends to 0.

    Forward: `m = sigmoid((log(s / (1 - s)) + noise) / temperature)` with s the keep probability,
    held within [1e-6, 1 - 1e-6], and noise logistic; `hard` rounds m to 0 or 1, which makes it
    exactly Bernoulli(s).

    Gradient: `dm/ds = m (1 - m) / (temperature s (1 - s))`, the derivative of the forward formula;
    with `hard` too, where it is a biased, straight-through gradient. It is finite everywhere: at
    s = 0 and 1 it is that of the held probability, at most 1 / (4 * 1e-6 * temperature). Seed and
    temperature get none. Nothing but m is kept for the backward pass.

    Args:
        keep_probability: Floating-point tensor of any shape, values in [0, 1].
        seed: An int, a pair of ints or an integer tensor of shape [2]; the same seed repeats the
            same mask.
        temperature: Number or scalar tensor > 0; no retrace when it changes.
        hard: Whether the forward value is rounded.
        jit_compile: Whether to compile forward and backward pass with XLA, which fuses each into
            one loop.

    Returns:
        mask: values in [0, 1], shape and dtype of keep_probability.

    Raises:
        TypeError: for probabilities that are not floating point, or a seed not of integers.
        ValueError: for a temperature that is not a finite scalar above 0.

    >>> import tensorflow as tf
    >>> from pruning.masks.relaxation import relaxed_mask
    >>> mask = relaxed_mask(tf.fill([10_000], 0.3), seed=1, temperature=0.5, hard=True)
    >>> round(float(tf.reduce_mean(mask)), 1)
    0.3
    """
    keep_probability = validation.floating_tensor("keep_probability", keep_probability)
    seed = random.normalize_seed(seed)
    dtype = validation.compute_dtype(keep_probability.dtype)
    temperature = validation.temperature_tensor(temperature, dtype)
    draw = _compiled_draw if jit_compile else draw_mask
    slope = _compiled_slope if jit_compile else mask_slope

    @tf.custom_gradient
    def mask_of(keep_probability, seed, temperature):
        mask = draw(keep_probability, seed, temperature, jit_compile)

        def gradient(upstream):
            return slope(upstream, mask, keep_probability, temperature), None, None

        # m = 1/2 has probability 0 in exact arithmetic; it counts as kept.
        value = tf.cast(mask >= 0.5, mask.dtype) if hard else mask
        return tf.cast(value, keep_probability.dtype), gradient

    return mask_of(keep_probability, seed, temperature)


def _held(keep_probability, dtype):
    return tf.clip_by_value(tf.cast(keep_probability, dtype), MARGIN, 1.0 - MARGIN)


def draw_mask(
    keep_probability: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor, jit_compile: bool
) -> tf.Tensor:
    """The relaxed mask, without a gradient of its own, in the dtype of `temperature`."""
    noise = mask_noise(keep_probability, seed, temperature, jit_compile)
    return mask_at(keep_probability, noise, temperature)


def mask_noise(
    keep_probability: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor, jit_compile: bool
) -> tf.Tensor:
    """The uniform noise of a relaxed mask, shape of `keep_probability`.

    `jit_compile` says whether XLA compiles the caller, and may be given the faster generator.
    """
    algorithm = random.COMPILED_ALGORITHM if jit_compile else random.ALGORITHM
    return random.uniform(tf.shape(keep_probability), seed, temperature.dtype, algorithm)


def mask_at(keep_probability: tf.Tensor, noise: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
    """The relaxed mask of given uniform noise."""
    s = _held(keep_probability, temperature.dtype)
    # logit(s) + logit(noise) as one logarithm; the ratio stays within 1e-14 and 1e14.
    log_odds = tf.math.log((s * noise) / ((1.0 - s) * (1.0 - noise)))
    # exp overflows to infinity far on the left, where 1 / infinity = 0 is right.
    return 1.0 / (1.0 + tf.exp(-log_odds / temperature))


def mask_slope(
    upstream: tf.Tensor, mask: tf.Tensor, keep_probability: tf.Tensor, temperature: tf.Tensor
) -> tf.Tensor:
    """`upstream` times the derivative of `mask` with respect to its keep probability."""
    s = _held(keep_probability, mask.dtype)
    slope = (mask * (1.0 - mask)) / (temperature * (s * (1.0 - s)))
    return tf.cast(tf.cast(upstream, mask.dtype) * slope, keep_probability.dtype)


_compiled_draw = tf.function(draw_mask, jit_compile=True, autograph=False)
_compiled_slope = tf.function(mask_slope, jit_compile=True, autograph=False)
