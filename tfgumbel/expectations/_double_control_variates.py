"""Double control variates: leave-one-out with the slopes of an example's other samples."""

from typing import Any

import tensorflow as tf

from tfgumbel.expectations._running_mean import RunningMean
from tfgumbel.expectations.program import Program, Run, Site, hard, sum_variables
from tfgumbel.expectations.score_function import with_score, without_value
from tfgumbel.registry import LossEstimator, register


@register(
    LossEstimator,
    bias="unbiased",
    use_when="smooth costs, 2 samples or more: muprop's idea without its second run; cascades too",
    reference="Titsias & Shi, AISTATS 2022, section 3",
    min_samples=2,
)
def double_control_variates(program: Program, *, seed: tf.Tensor, scale: Any = 0.5) -> tf.Tensor:
    """REINFORCE with leave-one-out, for what a linear function of the sample leaves over.

    With f'_j the cost's derivative at sample j of an example, s_k the mean of f'_j over j != k,
    m_k the mean of what k was drawn from, softmax(logits) at the parents that were sampled, and

        r_k = cost_k - scale s_k . (D_k - m_k)

    summed over the draws, the signal of sample k is (r_k - mean_{j != k} r_j) / num_samples, and
    the gradient of scale s_k . m_k, its mean over k, is added. s_k knows nothing of D_k, so that
    any scale is unbiased; 0 is `reinforce_loo`. The derivatives are for the samples as the cost
    uses them, not through later draws. The program must be differentiable in its samples: where it
    is not, this is `reinforce_loo`.

    Args:
        program: The program, run once.
        seed: Int tensor of shape [2].
        scale: Minus the paper's alpha, a scalar, taken as a constant; 1 is for costs nearly linear
            in the sample. Or a `tfgumbel.RunningMean(shape=(2,))`, made once, which finds the one
            of least variance: with A the gradient of leave-one-out for the logits and B what a
            scale of 1 adds, it keeps A . B and B . B, read before this call's costs enter them.

    Returns:
        value: Shape (batch,).

    Raises:
        ValueError: for a single sample.

    References: Titsias & Shi, "Double control variates for gradient estimation in discrete latent
    variable models", AISTATS 2022, section 3; for binary variables there.
    """
    with tf.GradientTape() as tape:

        def answer(site: Site) -> tf.Tensor:
            sample = hard(site)
            tape.watch(sample)
            return sample

        run = program.run(answer, seed)
    slopes = tape.gradient(run.costs, run.samples, unconnected_gradients="zero")
    shape = tf.shape(run.costs)
    others = [_mean_of_other_samples(slope, program.num_samples) for slope in slopes]
    linear = expected = tf.zeros_like(run.costs)
    for site, sample, slope in zip(run.sites, run.samples, others, strict=True):
        mean = site.variable.mean(site.logits)
        away = sum_variables(slope * (sample - tf.stop_gradient(mean)))
        linear += tf.cast(tf.reshape(away, shape), linear.dtype)
        toward = tf.reshape(sum_variables(slope * mean), shape)
        expected += without_value(tf.cast(toward, expected.dtype))
    dtype = run.costs.dtype
    if isinstance(scale, RunningMean):
        products = scale
        scale = -tf.math.divide_no_nan(products.value[0], products.value[1])
        products.update(_products(program, run, others, linear))
    scale = tf.stop_gradient(tf.cast(tf.convert_to_tensor(scale, dtype_hint=dtype), dtype))
    signal = program.objective.leave_one_out(tf.stop_gradient(run.costs - scale * linear))
    return with_score(program, run, signal) + program.objective.value(scale * expected)


def _products(program: Program, run: Run, others: list[tf.Tensor], linear: tf.Tensor) -> tf.Tensor:
    """A . B and B . B over the logits of an example, a mean over the examples, shape (2,)."""
    plain, added = (
        tf.reshape(program.objective.leave_one_out(costs), [-1]) for costs in (run.costs, -linear)
    )
    total = tf.zeros([2], run.costs.dtype)
    for site, sample, slope in zip(run.sites, run.samples, others, strict=True):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(site.logits)
            log_prob = site.log_prob(sample)
            toward = sum_variables(slope * site.variable.mean(site.logits)) / program.num_samples
        score, drift = (tape.gradient(part, site.logits) for part in (log_prob, toward))
        shape = [-1] + [1] * (site.logits.shape.rank - 1)
        first, second = (
            tf.reduce_sum(_by_sample(part, program.num_samples), axis=0)
            for part in (
                tf.cast(tf.reshape(plain, shape), score.dtype) * score,
                tf.cast(tf.reshape(added, shape), score.dtype) * score + drift,
            )
        )
        parts = tf.reduce_sum(first * second), tf.reduce_sum(second**2)
        total += tf.cast(tf.stack(parts), total.dtype)
    return total / tf.cast(program.batch_size, total.dtype)


def _mean_of_other_samples(slope: tf.Tensor, num_samples: int) -> tf.Tensor:
    """For each row the mean over the other samples of its example, taken as a constant."""
    by_sample = _by_sample(slope, num_samples)
    total = tf.reduce_sum(by_sample, axis=0, keepdims=True)
    others = (total - by_sample) / (num_samples - 1)
    return tf.stop_gradient(tf.reshape(others, tf.shape(slope)))


def _by_sample(rows: tf.Tensor, num_samples: int) -> tf.Tensor:
    """From (num_samples * batch, ...), sample by sample, to (num_samples, batch, ...)."""
    return tf.reshape(rows, tf.concat([[num_samples, -1], tf.shape(rows)[1:]], axis=0))
