"""SIMPLE: exact subsets of size k, differentiated as their exact marginals."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.subsets import CONDITIONAL_BERNOULLI
from tfgumbel.internal import random, validation
from tfgumbel.numerics import conditional_bernoulli, top_k
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=CONDITIONAL_BERNOULLI,
    hard=True,
    bias="biased; exact where the loss is linear in the sample",
    use_when="subsets of k classes: no temperature, and no noise beyond the sample's own",
    reference="Ahmed, Zeng, Niepert & Van den Broeck, ICLR 2023, eq. 5 and theorem 1",
)
def simple_subset(logits: Any, k: int, *, seed: Any) -> tf.Tensor:
    """Draws k-hot samples exactly, differentiated as the probability of each class given k.

    Forward: a subset S of k classes with probability proportional to exp(sum of its logits), which
    is that of independent Bernoulli variables of these log odds given that k of them are 1 (the
    conditional Bernoulli, or conditional Poisson, distribution). It is *not* that of
    `gumbel_top_k`, but for k = 1, where both are softmax(logits). Gradient: that of the marginals
    mu = E[sample], which is the sample's covariance:

        (dL/dlogits)_i = sum_j Cov(z_i, z_j) dL/dz_j

    For k = 1 it is `straight_through` at temperature 1. Sample, marginals and covariances are exact
    but for rounding: a recursion over a tree of the classes, O(k num_classes) operations in
    log2(num_classes) steps.

    Args:
        logits: Log odds of each class before the condition, floating, shape (..., num_classes); a
            constant added to a row changes nothing. -inf masks a class; a row with fewer than k
            left raises in eager mode and gives NaN in graph mode.
        k: Number of classes drawn, an int from 1 to num_classes.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draw.

    Returns:
        sample: k-hot, shape (..., num_classes), the dtype of `logits`.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if a shape or k is wrong, or in eager mode a row has too few classes.

    >>> import tfgumbel
    >>> sample = tfgumbel.simple_subset([[0.0, 1.0, 2.0]], 2, seed=0)
    >>> sorted(sample[0].numpy().tolist())
    [0.0, 1.0, 1.0]

    References:
        Ahmed, Zeng, Niepert & Van den Broeck, "SIMPLE: a gradient estimator for k-subset sampling",
        ICLR 2023.
        Chen, Dempster & Liu, "Weighted finite population sampling to maximize entropy", Biometrika
        1994 (the distribution and its recursions).
    """
    logits, k = top_k.checked(logits, k)
    seed = random.normalize_seed(seed)
    classes = logits.shape[-1]

    @tf.custom_gradient
    def hard(logits: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            vector = tf.reshape(tf.cast(upstream, rows.dtype), [-1, classes])
            tree = conditional_bernoulli.grow(conditional_bernoulli.tilt(rows, k)[0], k)
            product = conditional_bernoulli.covariance_product(tree, vector)
            return tf.cast(tf.reshape(product, tf.shape(logits)), logits.dtype)

        rows = tf.cast(logits, validation.compute_dtype(logits.dtype))
        rows = tf.reshape(rows, [-1, classes])
        tilted, _ = conditional_bernoulli.tilt(rows, k)
        drawn = conditional_bernoulli.sample(conditional_bernoulli.grow(tilted, k), seed)
        enough = top_k.count(rows) >= k
        sample = tf.where(enough[:, tf.newaxis], tf.cast(drawn, logits.dtype), float("nan"))
        return tf.reshape(sample, tf.shape(logits)), gradient

    return tf.ensure_shape(hard(logits), logits.shape)
