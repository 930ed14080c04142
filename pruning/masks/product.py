"""Weights times random masks, fused: the one place that touches every weight of every step."""

from collections.abc import Sequence

import tensorflow as tf

from pruning.groups.groups import Groups
from pruning.masks.relaxation import mask_at, mask_noise
from pruning.masks.slopes import SLOPES


def noisy_product(
    scores: tf.Tensor,
    weights: Sequence[tf.Tensor],
    groups: Groups,
    *,
    seed: tf.Tensor,
    temperature: tf.Tensor,
    settled: tf.Tensor,
    hard: bool = False,
    score_gradient: str = "reinmax",
    noise_scale: float = 1.0,
    jit_compile: bool = True,
) -> list[tf.Tensor]:
    """Multiplies every weight by a relaxed mask drawn with its group's score.

    Equals `groups.multiply(mask, weights)` with the mask of `relaxation.mask_at`, except that a
    score of exactly 0 gives a mask of 0. Drawing and multiplying are one compiled pass, so are
    their gradients, and only the mask of the groups is kept between the two.

    The gradient of a score is `dL/dm` times a slope dm/ds of `masks.slopes`. A score of 0 has one
    too, but for `"pathwise"`: its weights can come back.

    Args:
        scores: keep probabilities, float32, shape (num_groups,).
        weights: one tensor for each variable.
        groups: their `Groups`.
        seed: int tensor, shape [2].
        temperature: scalar tensor > 0.
        settled: scalar boolean tensor; if true the scores are 0 or 1 and are the mask themselves.
        hard: whether the forward mask is rounded to 0 or 1.
        score_gradient: a name of `SLOPES`.
        noise_scale: of the logistic noise, > 0; see `relaxation`.
        jit_compile: whether to compile with XLA.

    Returns:
        masked: one tensor for each variable, shapes and dtypes of `weights`.
    """
    forward = _compiled_forward if jit_compile else _forward
    backward = _compiled_backward if jit_compile else _backward

    @tf.custom_gradient
    def multiply(scores, seed, temperature, settled, *weights):
        shared = (scores, temperature, settled, weights, groups, hard, noise_scale)
        mask, masked, _ = forward(seed, jit_compile, *shared)

        def gradient(*upstream):
            to_scores, to_weights = backward(upstream, mask, score_gradient, *shared)
            return (to_scores, None, None, None, *to_weights)

        return masked, gradient

    return multiply(scores, seed, temperature, settled, *weights)


def _rounded(mask, hard):
    # m = 1/2 has probability 0 in exact arithmetic; it counts as kept.
    return tf.cast(mask >= 0.5, mask.dtype) if hard else mask


# The branches are inside the compiled functions: a gradient through tf.cond around a custom
# gradient would need tensors of its branch that no output carries.
def _forward(seed, jit_compile, scores, temperature, settled, weights, groups, hard, noise_scale):
    def draw():
        noise = mask_noise(scores, seed, temperature, jit_compile)
        # A score of 0 is out: the limit of its mask as s tends to 0, at any temperature below 1.
        return tf.where(scores > 0.0, mask_at(scores, noise, temperature, noise_scale), 0.0), noise

    mask, noise = tf.cond(settled, lambda: (scores, scores), draw)
    # The noise is returned because a compiler would otherwise fuse its generator into what uses
    # it, and run it more than once.
    return mask, groups.multiply(_rounded(mask, hard), weights), noise


def _backward(
    upstream,
    mask,
    score_gradient,
    scores,
    temperature,
    settled,
    weights,
    groups,
    hard,
    noise_scale,
):
    value = _rounded(mask, hard)
    with tf.GradientTape() as tape:
        tape.watch([value, *weights])
        masked = groups.multiply(value, weights)
    to_mask, *to_weights = tape.gradient(masked, [value, *weights], list(upstream))
    slope = SLOPES[score_gradient]
    to_scores = tf.cond(
        settled,
        lambda: tf.zeros_like(scores),
        lambda: to_mask * slope(mask, scores, temperature, noise_scale),
    )
    return to_scores, to_weights


_compiled_forward = tf.function(_forward, jit_compile=True, autograph=False)
_compiled_backward = tf.function(_backward, jit_compile=True, autograph=False)
