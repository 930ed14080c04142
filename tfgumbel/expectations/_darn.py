"""The estimator of deep autoregressive networks: REINFORCE with a first-order baseline."""

import tensorflow as tf

from tfgumbel.expectations.program import Program, Site, hard
from tfgumbel.expectations.score_function import without_value
from tfgumbel.registry import LossEstimator, register


@register(
    LossEstimator,
    bias="biased; exact for binary variables where the cost is quadratic in each",
    use_when="comparison with the literature; bernoulli_reinmax is the same for one layer",
    reference="Gregor, Danihelka, Mnih, Blundell & Wierstra, ICML 2014; Gu et al., ICLR 2016",
)
def darn(program: Program, *, seed: tf.Tensor) -> tf.Tensor:
    """DARN's estimator: the cost, less its expansion to the middle of the outcomes.

    With f'(D) the cost's derivative at the sample, the signal of each variable v is

        f'(D)_v . (D_v - middle)

    where middle is 1/2 for a binary variable and 1 / num_classes for a class: REINFORCE with the
    baseline f(D) + f'(D)_v . (middle - D_v), whose own mean is left out. That makes it biased but
    for costs quadratic in each binary variable. The derivative passes later draws of a cascade by
    straight-through.

    Args:
        program: The program, run once.
        seed: Int tensor of shape [2].

    Returns:
        value: Shape (batch,).

    References: Gregor et al., "Deep autoregressive networks", ICML 2014; as described by Gu et al.,
    ICLR 2016, and Jang, Gu & Poole, ICLR 2017, section 3.
    """
    with tf.GradientTape() as tape:

        def answer(site: Site) -> tf.Tensor:
            sample = hard(site) + without_value(site.variable.mean(site.logits))
            tape.watch(sample)
            return sample

        run = program.run(answer, seed)
    slopes = tape.gradient(run.costs, run.samples, unconnected_gradients="zero")
    # At fixed draws: the straight-through slopes were for the derivative alone.
    fixed = program.run(lambda site: tf.stop_gradient(run.samples[site.index]), seed)
    shape = tf.shape(run.costs)
    score = tf.zeros_like(run.costs)
    for site, sample, slope in zip(fixed.sites, fixed.samples, slopes, strict=True):
        middle = 1.0 / (site.variable.num_outcomes(site.logits.shape) or 1)
        log_prob = site.variable.log_prob(site.logits, sample)
        signal = slope * (sample - middle)
        if site.variable.event_rank:
            signal = tf.reduce_sum(signal, axis=-1)
        term = tf.stop_gradient(tf.cast(signal, log_prob.dtype)) * without_value(log_prob)
        term = tf.reduce_sum(term, list(range(1, term.shape.rank)))
        score += tf.cast(tf.reshape(term, shape), score.dtype)
    return program.objective.value(fixed.costs + score)
