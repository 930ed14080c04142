"""Gumbel-Rao's conditional expectation by Monte Carlo: noise given the sample, streamed in chunks.

Given D = onehot(i), the perturbed logits s have (Paulus et al. 2021, eq. 9), for independent
standard exponentials E,

    W_j = exp((s_j - s_i) / temperature) = (1 + E_j / (E_i p_j))^(-1 / temperature),    W_i = 1

so softmax(s / temperature) = W / Sum(W), and the largest entry is at i without a clamp. With
v = upstream, the estimate averages over K draws

    g_j = S_j (v_j - S.v) / temperature,    S = W / Sum(W)
"""

import tensorflow as tf

from tfgumbel.internal import random
from tfgumbel.numerics import softmax

# Elements of noise in one chunk: 128 KiB of float32, so that a chunk stays in a core's L2 cache.
CHUNK_ELEMENTS = 32768

# exp(SPLIT) times the largest ratio of two exponentials (3e8) is still a float32.
SPLIT = 60.0


@tf.autograph.experimental.do_not_convert
def categorical_gumbel_rao_monte_carlo_vjp(
    logits: tf.Tensor,
    sample: tf.Tensor,
    upstream: tf.Tensor,
    temperature: tf.Tensor,
    seed: tf.Tensor,
    *,
    num_samples: int,
    stratified: bool,
    with_temperature: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Estimates Gumbel-Rao's VJP from `num_samples` draws of the noise given the sample.

    Memory does not grow with `num_samples`. Noise and weights are carried from one iteration to the
    next, so that XLA stores them: left inside one iteration, it would draw the noise again in every
    fusion that reads it.

    Args:
        logits: float32 or float64, shape (..., num_classes); -inf masks a class.
        sample: One-hot, the shape and dtype of `logits`.
        upstream: Derivative of the loss for the sample, the shape and dtype of `logits`.
        temperature: Positive, of the same dtype, a scalar or broadcasting with the variables.
        seed: Integer tensor of shape [2].
        num_samples: K, a Python int.
        stratified: Draw a randomly shifted lattice in place of independent noise.
        with_temperature: Whether to estimate the derivative for the temperature (0 if not).

    Returns:
        grad_logits: The shape and dtype of `logits`.
        grad_temperature: The shape of `temperature`.
    """
    num_classes = logits.shape[-1] or tf.shape(logits)[-1]
    # A lattice has a step for each class, chosen in Python.
    stratified = stratified and not isinstance(num_classes, tf.Tensor)
    by_class = tf.stack([num_classes, 1, -1])

    def class_major(values: tf.Tensor) -> tf.Tensor:
        # Sums over classes become sums of contiguous rows.
        return tf.reshape(tf.transpose(tf.reshape(values, [-1, num_classes])), by_class)

    surprise = -tf.nn.log_softmax(logits)
    gain = upstream - tf.reduce_sum(tf.where(sample > 0, upstream, 0), axis=-1, keepdims=True)
    # -log W_j = (log1p(exp(surprise_j) E_j / E_i)) / temperature, the exponent split so that it
    # neither overflows nor drops digits; the drawn class is left out of W and counted by hand.
    rate = class_major(tf.exp(tf.minimum(surprise, SPLIT)))
    rest = tf.exp(-tf.nn.relu(surprise - SPLIT) / softmax.per_class(temperature))
    rest = class_major(tf.where(sample > 0, tf.zeros_like(rest), rest))
    gain = class_major(gain)

    by_row = temperature  # a scalar, or one of every row
    if temperature.shape.rank > 0:
        by_row = tf.reshape(tf.broadcast_to(temperature, tf.shape(logits)[:-1]), [-1])
    rows = gain.shape[-1]
    if rows is None or isinstance(num_classes, tf.Tensor):
        rows = tf.shape(gain)[-1]
        chunk = CHUNK_ELEMENTS // tf.maximum(num_classes * rows, 1)
        chunk = tf.clip_by_value(chunk, 1, num_samples)
    else:
        chunk = min(max(CHUNK_ELEMENTS // max(num_classes * rows, 1), 1), num_samples)
    num_chunks = -(-num_samples // chunk)
    dtype = logits.dtype
    if stratified:
        shift = random.uniform(tf.stack([num_classes + 1, 1, rows]), seed, dtype)

    def draw(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Uniform noise of the other classes and of the drawn one; their exponentials are -log."""
        if stratified:
            noise = random.lattice(shift, step * chunk, chunk)
            return noise[1:], noise[:1]
        others, winner = random.split(random.fold_in(seed, step))
        return (
            random.uniform(tf.stack([num_classes, chunk, rows]), others, dtype),
            random.uniform(tf.stack([1, chunk, rows]), winner, dtype),
        )

    def body(step, others, winner, weight, logits_sum, temperature_sum):
        # The noise is of chunk step - 1, `weight` of chunk step - 2; those before 0 do not count.
        index = (step - 2) * chunk + tf.range(chunk)
        counts = tf.cast((index >= 0) & (index < num_samples), dtype)[:, tf.newaxis]
        share = weight * (counts / (1.0 + tf.reduce_sum(weight, axis=0, keepdims=True)))
        pull = share * (gain - tf.reduce_sum(share * gain, axis=0, keepdims=True))
        logits_sum += tf.reduce_sum(pull, axis=1)
        if with_temperature:
            reached = tf.math.xlogy(pull, weight)
            temperature_sum -= tf.reduce_sum(reached, [0, 1] if by_row.shape.rank else None)
        ratio = tf.math.log(others) * (rate / tf.math.log(winner))
        weight = rest * tf.exp(tf.math.log1p(ratio) * (-1.0 / by_row))
        return step + 1, *draw(step), weight, logits_sum, temperature_sum

    *_, logits_sum, temperature_sum = tf.while_loop(
        lambda step, *_: step < num_chunks + 2,
        body,
        (
            tf.constant(0),
            tf.fill(tf.stack([num_classes, chunk, rows]), tf.constant(0.5, dtype)),
            tf.fill(tf.stack([1, chunk, rows]), tf.constant(0.5, dtype)),
            tf.zeros(tf.stack([num_classes, chunk, rows]), dtype),
            tf.zeros(tf.stack([num_classes, rows]), dtype),
            tf.zeros_like(by_row),
        ),
        parallel_iterations=1,
    )
    scale = by_row * num_samples
    others_grad = tf.reshape(tf.transpose(logits_sum / scale), tf.shape(logits))
    drawn_grad = -tf.reduce_sum(others_grad, axis=-1, keepdims=True)
    grad_logits = tf.where(sample > 0, drawn_grad, others_grad)
    grad_temperature = temperature_sum / scale
    if by_row.shape.rank > 0:
        grad_temperature = tf.reshape(grad_temperature, tf.shape(logits)[:-1])
    return grad_logits, softmax.sum_like(grad_temperature, temperature)
