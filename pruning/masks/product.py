"""Weights times masks, fused: the one place that touches every weight of every step."""

from collections.abc import Sequence

import tensorflow as tf

from pruning.groups.structures import Grid
from pruning.masks.relaxation import mask_at, mask_noise, mask_slope

SCORE_GRADIENTS = ("reinmax", "straight_through", "pathwise")
# ReinMax divides by the probability of the mask that was drawn; nothing rarer is followed further.
RAREST = 0.1


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
    score_gradient: str = "reinmax",
    jit_compile: bool = True,
) -> list[tf.Tensor]:
    """Multiplies every weight by a relaxed mask drawn with its group's score.

    Equals `mask_weights(relaxed_mask(scores, ...), ...)` in value, except that a score of exactly 0
    gives a mask of 0. Drawing and multiplying are one compiled pass, so are their gradients, and
    only the mask of the groups is kept between the two.

    The gradient of a score is `dL/dm` times a slope dm/ds. `"pathwise"` takes the relaxed mask's
    own, `m (1 - m) / (temperature s (1 - s))`, which is nearly always 0 and sometimes huge at a low
    temperature. `"straight_through"` takes its mean over the noise of that mask as the temperature
    tends to 0, which is 1: of far less variance, and exact where the loss is linear in each mask by
    itself. But the loss is not: once w is at its best, dL/dm is 0 at m = 1, and only masks of 0 say
    what a weight is worth. `"reinmax"` weighs the two ends alike, by the slope `1 / (2 P(m))`
    with P(m) = s where m rounds to 1, else 1 - s; this is ReinMax (Liu et al. 2023, "Bridging
    Discrete and Backpropagation: Straight-Through and Beyond", NeurIPS) for two classes, exact
    where the loss is quadratic in each mask by itself. P is held above .1 against rare, huge steps.

    A score of 0 has a gradient too, but for `"pathwise"`: its weight can come back.

    Args:
        scores: keep probabilities, float32, shape (num_groups,).
        weights: one tensor a target.
        grids: their groups.
        seed: int tensor, shape [2].
        temperature: scalar tensor > 0.
        settled: scalar boolean tensor; if true the scores are 0 or 1 and are the mask themselves.
        hard: whether the forward mask is rounded to 0 or 1.
        score_gradient: `"reinmax"`, `"straight_through"` or `"pathwise"`.
        jit_compile: whether to compile with XLA.

    Returns:
        masked: one tensor a target, shapes and dtypes of `weights`.
    """

    grids = tuple(grids)
    forward = _compiled_forward if jit_compile else _forward
    backward = _compiled_backward if jit_compile else _backward

    @tf.custom_gradient
    def multiply(scores, seed, temperature, settled, *weights):
        mask, masked, _ = forward(
            scores, seed, temperature, settled, weights, grids, hard, jit_compile
        )

        def gradient(*upstream):
            to_scores, to_weights = backward(
                upstream, mask, scores, temperature, settled, weights, grids, hard, score_gradient
            )
            return (to_scores, None, None, None, *to_weights)

        return masked, gradient

    return multiply(scores, seed, temperature, settled, *weights)


def _rounded(mask, hard):
    return tf.cast(mask >= 0.5, mask.dtype) if hard else mask


# The branches are inside the compiled functions: a gradient through tf.cond around a custom
# gradient would need tensors of its branch that no output carries.
def _forward(scores, seed, temperature, settled, weights, grids, hard, jit_compile):
    def draw():
        noise = mask_noise(scores, seed, temperature, jit_compile)
        # A score of 0 is out: the limit of its mask as s tends to 0, at any temperature below 1.
        return tf.where(scores > 0.0, mask_at(scores, noise, temperature), 0.0), noise

    mask, noise = tf.cond(settled, lambda: (scores, scores), draw)
    # The noise is returned because a compiler would otherwise fuse its generator into what uses
    # it, and run it more than once.
    return mask, mask_weights(_rounded(mask, hard), weights, grids), noise


def _backward(upstream, mask, scores, temperature, settled, weights, grids, hard, score_gradient):
    value = _rounded(mask, hard)
    with tf.GradientTape() as tape:
        tape.watch([value, *weights])
        masked = mask_weights(value, weights, grids)
    to_mask, *to_weights = tape.gradient(masked, [value, *weights], list(upstream))

    def learn():
        if score_gradient == "pathwise":
            return mask_slope(to_mask, mask, scores, temperature)
        if score_gradient == "reinmax":
            probability = tf.where(mask >= 0.5, scores, 1.0 - scores)
            return to_mask * (0.5 / tf.maximum(probability, RAREST))
        return to_mask

    return tf.cond(settled, lambda: tf.zeros_like(scores), learn), to_weights


_compiled_forward = tf.function(_forward, jit_compile=True, autograph=False)
_compiled_backward = tf.function(_backward, jit_compile=True, autograph=False)
