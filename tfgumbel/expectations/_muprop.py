"""MuProp: a Taylor expansion around the mean field as control variate."""

import tensorflow as tf

from tfgumbel.expectations.program import Program, Site, hard, sum_variables
from tfgumbel.expectations.score_function import mean_of_others, without_value
from tfgumbel.registry import LossEstimator, register


@register(
    LossEstimator,
    bias="unbiased",
    use_when="smooth costs, where one sample must do; cascades too",
    reference="Gu, Levine, Sutskever & Mnih, ICLR 2016, eq. 4 to 8",
)
def muprop(program: Program, *, seed: tf.Tensor) -> tf.Tensor:
    """MuProp: REINFORCE for what a linear function of the sample leaves over.

    A second run of the program answers every draw with its mean; f is its cost, f'_i the total
    derivative of f for the mean m_i of site i, later means included. With the hard run's D_i, the
    signal of site i is

        cost - f - f'_i . (D_i - m_i)

    less the mean of all other rows' residuals, and the gradient of f'_i . E[D_i | parents] is
    added, the parents being those that were sampled. The program must accept means, and its cost be
    differentiable in them.

    Args:
        program: The program, run twice.
        seed: Int tensor of shape [2].

    Returns:
        value: Shape (batch,).

    References: Gu, Levine, Sutskever & Mnih, "MuProp: unbiased backpropagation for stochastic
    neural networks", ICLR 2016, eq. 4 to 8.
    """
    run = program.run(hard, seed)
    with tf.GradientTape() as tape:

        def mean(site: Site) -> tf.Tensor:
            value = site.variable.mean(site.logits)
            tape.watch(value)
            return value

        field = program.run(mean, seed)
    slopes = tape.gradient(field.costs, field.samples, unconnected_gradients="zero")
    residual = tf.stop_gradient(run.costs - field.costs)
    shape = tf.shape(run.costs)
    score = tf.zeros_like(run.costs)
    for site, sample, center, slope in zip(
        run.sites, run.samples, field.samples, slopes, strict=True
    ):
        slope, center = tf.stop_gradient(slope), tf.stop_gradient(center)
        linear = tf.reshape(sum_variables(slope * (sample - center)), shape)
        signal = residual - tf.cast(linear, residual.dtype)
        signal -= mean_of_others(signal)
        log_prob = tf.cast(tf.reshape(site.log_prob(sample), shape), score.dtype)
        expected = tf.reshape(sum_variables(slope * site.variable.mean(site.logits)), shape)
        score += tf.stop_gradient(signal) * without_value(log_prob)
        score += without_value(tf.cast(expected, score.dtype))
    return program.objective.value(run.costs + score)
