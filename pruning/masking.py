"""Weights times masks, fused: the one place that touches every weight of every step."""

from collections.abc import Sequence

import tensorflow as tf

from pruning.relaxation import draw_mask, mask_slope
from pruning.structures import Grid


def mask_weights(
    mask: tf.Tensor, weights: Sequence[tf.Tensor], grids: Sequence[Grid]
) -> list[tf.Tensor]:
    """Multiplies every weight by its group's entry of a flat mask, shape (num_groups,)."""
    parts = tf.split(mask, [grid.num_groups for grid in grids])
    return [
        weight * tf.cast(grid.expand(part), weight.dtype)
        for weight, grid, part in zip(weights, grids, parts, strict=True)
    ]


def noisy_weights(
    scores: tf.Tensor,
    weights: Sequence[tf.Tensor],
    grids: Sequence[Grid],
    *,
    seed: tf.Tensor,
    temperature: tf.Tensor,
    settled: tf.Tensor,
    hard: bool = False,
    jit_compile: bool = True,
) -> list[tf.Tensor]:
    """Multiplies every weight by a relaxed mask drawn with its group's score.

    Equals `mask_weights(relaxed_mask(scores, ...), ...)` in value and gradient, except that a score
    of exactly 0 gives a mask and a gradient of 0. Drawing and
    multiplying are one compiled pass, so are their gradients, and only the mask of the groups is
    kept between the two.

    Args:
        scores: keep probabilities, float32, shape (num_groups,).
        weights: one tensor a target.
        grids: their groups.
        seed: int tensor, shape [2].
        temperature: scalar tensor > 0.
        settled: scalar boolean tensor; if true the scores are 0 or 1 and are the mask themselves.
        hard: whether the forward mask is rounded to 0 or 1.
        jit_compile: whether to compile with XLA.

    Returns:
        masked: one tensor a target, shapes and dtypes of `weights`.
    """

    grids = tuple(grids)
    forward = _compiled_forward if jit_compile else _forward
    backward = _compiled_backward if jit_compile else _backward

    @tf.custom_gradient
    def multiply(scores, seed, temperature, settled, *weights):
        mask, masked = forward(scores, seed, temperature, settled, weights, grids, hard)

        def gradient(*upstream):
            to_scores, to_weights = backward(
                upstream, mask, scores, temperature, settled, weights, grids, hard
            )
            return (to_scores, None, None, None, *to_weights)

        return masked, gradient

    return multiply(scores, seed, temperature, settled, *weights)


def _rounded(mask, hard):
    return tf.cast(mask >= 0.5, mask.dtype) if hard else mask


# The branches are inside the compiled functions: a gradient through tf.cond around a custom
# gradient would need tensors of its branch that no output carries.
def _forward(scores, seed, temperature, settled, weights, grids, hard):
    def draw():
        # A score of 0 is out, without mask or gradient: the limit of both, as s tends to 0, at any
        # temperature below 1. Otherwise an optimizer that scales gradients up, as Adam does, would
        # bring the discarded weights back at random.
        return tf.where(scores > 0.0, draw_mask(scores, seed, temperature), 0.0)

    mask = tf.cond(settled, lambda: scores, draw)
    return mask, mask_weights(_rounded(mask, hard), weights, grids)


def _backward(upstream, mask, scores, temperature, settled, weights, grids, hard):
    value = _rounded(mask, hard)
    with tf.GradientTape() as tape:
        tape.watch([value, *weights])
        masked = mask_weights(value, weights, grids)
    to_mask, *to_weights = tape.gradient(masked, [value, *weights], list(upstream))
    to_scores = tf.cond(
        settled,
        lambda: tf.zeros_like(scores),
        lambda: tf.where(scores > 0.0, mask_slope(to_mask, mask, scores, temperature), 0.0),
    )
    return to_scores, to_weights


_compiled_forward = tf.function(_forward, jit_compile=True, autograph=False)
_compiled_backward = tf.function(_backward, jit_compile=True, autograph=False)
