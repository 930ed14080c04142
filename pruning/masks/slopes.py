"""The slope dm/ds of a mask in its score, by which the gradient of a mask becomes a score's.

- `"pathwise"` is the relaxed mask's own, `m (1 - m) / (temperature s (1 - s))`: nearly always 0 and
  sometimes huge at a low temperature. At s = 0 and 1 it is that of the held score.
- `"straight_through"` is its mean over the noise as the temperature tends to 0, which is 1: of far
  less variance, and exact where the loss is linear in each mask by itself.
- `"reinmax"` weighs the two ends of a mask alike: `1 / (2 P(m))` with P(m) = s where m rounds to 1,
  else 1 - s. It is exact where the loss is quadratic in each mask by itself. P is held above .1
  against rare, huge steps.

With a noise scale other than 1 a group is kept with the probability P of `relaxation` in place of
s, and the latter two are slopes in that, dm/dP: a score moves by what its group is worth, however
little noise is left.

Reference: Y. Bengio, N. Leonard, A. Courville (2013), "Estimating or Propagating Gradients Through
Stochastic Neurons", section 4 (straight-through); L. Liu, C. Dong, X. Liu, B. Yu, J. Gao (2023),
"Bridging Discrete and Backpropagation: Straight-Through and Beyond", NeurIPS (ReinMax, here for
two classes).
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pruning.masks.relaxation import held, probability
from tfgumbel.numerics.sigmoid import reinmax_probability_slope

# ReinMax divides by the probability of the mask that was drawn; nothing rarer is followed further.
RAREST = 0.1


def reinmax_slope(
    mask: tf.Tensor, scores: tf.Tensor, temperature: tf.Tensor, noise_scale: float = 1.0
) -> tf.Tensor:
    kept = probability(scores, noise_scale)
    drawn = tf.where(mask >= 0.5, kept, 1.0 - kept)
    return reinmax_probability_slope(tf.maximum(drawn, RAREST))


def straight_through_slope(
    mask: tf.Tensor, scores: tf.Tensor, temperature: tf.Tensor, noise_scale: float = 1.0
) -> float:
    return 1.0


def pathwise_slope(
    mask: tf.Tensor, scores: tf.Tensor, temperature: tf.Tensor, noise_scale: float = 1.0
) -> tf.Tensor:
    s = held(scores, mask.dtype)
    return (mask * (1.0 - mask)) / (temperature * (s * (1.0 - s)))


# By the name of prune's `score_gradient`: relaxed mask, scores, temperature, noise scale -> dm/ds.
SLOPES: dict[str, Callable[[tf.Tensor, tf.Tensor, tf.Tensor, float], Any]] = {
    "reinmax": reinmax_slope,
    "straight_through": straight_through_slope,
    "pathwise": pathwise_slope,
}
