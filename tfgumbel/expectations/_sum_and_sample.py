"""Sum and sample: the likely classes exactly, one of the others by chance."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.expectations.program import Program, Site
from tfgumbel.expectations.score_function import without_value
from tfgumbel.expectations.single import only_site
from tfgumbel.internal import validation
from tfgumbel.registry import LossEstimator, register


@register(
    LossEstimator,
    bias="unbiased",
    use_when="one variable of many classes, few of them likely",
    reference="Liu, Regier, Tripuraneni, Jordan & McAuliffe, ICML 2019, eq. 9",
    kinds=(ONE_HOT_CATEGORICAL,),
    cascades=False,
)
def sum_and_sample(program: Program, *, seed: tf.Tensor, num_summed: int = 1) -> tf.Tensor:
    """Sums the most likely classes exactly, and samples one of the rest: Rao-Blackwellised.

    With C the most likely classes and v ~ p restricted to the others,

        Sum_{c in C} f(c) grad p_c + (1 - p(C)) f(v) grad log p_v

    less a baseline, the mean cost over C. The value is the sum in the same way.

    Args:
        program: The program, with one draw of one variable for each row; run once, with every row
            num_summed + 1 times.
        seed: Int tensor of shape [2].
        num_summed: Classes in C, an int >= 1 and below the number of classes.

    Returns:
        value: Shape (batch,).

    Raises:
        ValueError: for several draws or variables, or a wrong number.

    References: Liu et al., "Rao-Blackwellized stochastic gradients for discrete distributions",
    ICML 2019, eq. 9.
    """
    num_summed = validation.positive_integer("num_summed", num_summed)
    copies = num_summed + 1
    state: dict[str, Any] = {}

    def answer(site: Site) -> tf.Tensor:
        rows = only_site("sum_and_sample", site, copies)
        num_classes = rows.shape[-1]
        if num_classes is not None and num_summed >= num_classes:
            raise ValueError(
                validation.describe(
                    "`num_summed` leaves no class to sample.",
                    expected=f"less than {num_classes} classes",
                    received=num_summed,
                    fix="'enumeration' sums them all",
                )
            )
        top = tf.math.top_k(rows, num_summed).indices
        likely = tf.one_hot(tf.transpose(top), tf.shape(rows)[-1], dtype=rows.dtype)
        summed = tf.reduce_sum(likely, axis=0) > 0
        rest = tf.where(~summed, rows, float("-inf"))
        # Where nothing is left its probability is 0, and any class will do.
        rest = tf.where(tf.reduce_max(rest, -1, keepdims=True) > float("-inf"), rest, 0.0)
        other = site.variable.sample(rest, site.seed)
        outcome = tf.concat([likely, other[tf.newaxis]], axis=0)
        log_probs = tf.nn.log_softmax(tf.cast(rows, validation.compute_dtype(rows.dtype)))
        state["log_prob"] = site.variable.log_prob(log_probs, outcome)
        return tf.reshape(outcome, tf.shape(site.logits))

    run = program.run(answer, seed, copies=copies)
    shape = [copies, program.num_samples, program.batch_size]
    costs = tf.reshape(run.costs, shape)
    log_prob = tf.cast(tf.reshape(state["log_prob"], shape), costs.dtype)
    probs = tf.stop_gradient(tf.exp(log_prob))
    covered = tf.reduce_sum(probs[:-1], axis=0)
    weight = tf.concat([probs[:-1], tf.maximum(1.0 - covered, 0.0)[tf.newaxis]], axis=0)
    baseline = tf.math.divide_no_nan(tf.reduce_sum(probs[:-1] * costs[:-1], axis=0), covered)
    signal = tf.stop_gradient(weight * (costs - baseline))
    finite = tf.where(weight > 0, log_prob, tf.zeros_like(log_prob))
    total = tf.reduce_sum(weight * costs + signal * without_value(finite), axis=0)
    return program.objective.value(total)
