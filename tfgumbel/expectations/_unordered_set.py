"""The unordered-set estimator: samples without replacement."""

from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.expectations.program import Program, Site
from tfgumbel.expectations.score_function import without_value
from tfgumbel.expectations.single import only_site
from tfgumbel.internal import validation
from tfgumbel.registry import LossEstimator, register

# Nodes of a trapezoidal rule in log x, for integrals of exp(-x) Prod_s (1 - exp(-a_s x)).
_LOG_X = np.arange(-60.0, 4.3, 0.25)


@register(
    LossEstimator,
    bias="unbiased",
    use_when="one variable of many classes, several of them tried, none twice",
    reference="Kool, van Hoof & Welling, ICLR 2020, eq. 11 and 17",
    kinds=(ONE_HOT_CATEGORICAL,),
    cascades=False,
)
def unordered_set(program: Program, *, seed: tf.Tensor, set_size: int = 2) -> tf.Tensor:
    """Draws classes without replacement, weighted by the probability of their set.

    With S the set of the `set_size` largest perturbed logits, whatever their order,

        Sum_{s in S} grad p(s) R(S, s) (f(s) - Sum_{s' in S} p(s') R_s(S, s') f(s'))

    R(S, s) = p(S | s is first) / p(S), and R_s the same with s first already. The value is
    Sum_s p(s) R(S, s) f(s).

    Args:
        program: The program, with one draw of one variable for each row; run once, with every row
            set_size times.
        seed: Int tensor of shape [2].
        set_size: Classes drawn, an int >= 2, at most the number of classes that are not masked.

    Returns:
        value: Shape (batch,).

    Raises:
        ValueError: for several draws or variables, or a wrong number.

    References: Kool, van Hoof & Welling, "Estimating gradients for discrete random variables by
    sampling without replacement", ICLR 2020, eq. 11, 17 and appendix B.
    """
    if validation.positive_integer("set_size", set_size) < 2:
        raise ValueError(
            validation.describe(
                "`set_size` is too small.",
                expected="an int >= 2: a single class has no other to be compared with",
                received=set_size,
                fix="'reinforce' draws one",
            )
        )
    state: dict[str, Any] = {}

    def answer(site: Site) -> tf.Tensor:
        rows = only_site("unordered_set", site, set_size)
        if rows.shape[-1] is not None and set_size > rows.shape[-1]:
            raise ValueError(
                validation.describe(
                    "`set_size` is larger than the set of classes.",
                    expected=f"at most {rows.shape[-1]}",
                    received=set_size,
                    fix="'enumeration' tries all of them",
                )
            )
        scores = site.variable.perturb(rows, site.seed)
        chosen = tf.transpose(tf.math.top_k(scores, set_size).indices)
        outcome = tf.one_hot(chosen, tf.shape(rows)[-1], dtype=rows.dtype)
        state["log_prob"] = site.variable.log_prob(rows, outcome)
        probs = tf.nn.softmax(tf.cast(rows, state["log_prob"].dtype))
        taken = tf.reduce_sum(outcome, axis=0) > 0
        state["rest"] = tf.reduce_sum(tf.where(~taken, probs, 0.0), axis=-1)
        return tf.reshape(outcome, tf.shape(site.logits))

    run = program.run(answer, seed, copies=set_size)
    shape = [set_size, program.num_samples * program.batch_size]
    costs = tf.reshape(run.costs, shape)
    log_prob = state["log_prob"]
    probs = tf.stop_gradient(tf.exp(log_prob))
    # Masked classes make up the number where too few can be drawn; they weigh nothing.
    log_prob = tf.where(probs > 0, log_prob, tf.zeros_like(log_prob))
    rest = tf.stop_gradient(state["rest"])
    first, second = (tf.cast(ratio, costs.dtype) for ratio in _ratios(probs, rest))
    weight = tf.cast(probs, costs.dtype) * first
    baseline = tf.reduce_sum(second * tf.cast(probs, costs.dtype) * costs, axis=1)
    signal = tf.stop_gradient(weight * (costs - baseline))
    score = signal * without_value(tf.cast(log_prob, costs.dtype))
    total = tf.reduce_sum(weight * costs + score, axis=0)
    return program.objective.value(tf.reshape(total, [program.num_samples, program.batch_size]))


def _ratios(probs: tf.Tensor, rest: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """R(S, s), shape (k, rows), and R_s(S, s'), shape (k, k, rows), s first.

    p(S) = integral of exp(-x) Prod_{s in S} (1 - exp(-x p_s / rest)) over x > 0, and removing s
    from the domain removes its factor alone (Kool et al. 2020, appendix B).
    """
    size = probs.shape[0]
    x = np.exp(_LOG_X)
    # The tails of float32: what is left over is never quite nothing.
    rate = probs / tf.maximum(rest, 1e-30)
    log_factor = tf.math.log(
        tf.maximum(-tf.math.expm1(-rate[..., tf.newaxis] * tf.constant(x, probs.dtype)), 1e-37)
    )
    weight = tf.constant(_LOG_X - x, probs.dtype)

    def log_integral(kept: np.ndarray) -> tf.Tensor:
        terms = tf.reduce_sum(
            tf.where(tf.constant(kept)[:, tf.newaxis, tf.newaxis], log_factor, 0.0), axis=0
        )
        return tf.reduce_logsumexp(terms + weight, axis=-1)

    def removed(*gone: int) -> tf.Tensor:
        return log_integral(~np.isin(np.arange(size), gone))

    whole = removed()
    without = [removed(s) for s in range(size)]
    pairs = {(s, t): removed(s, t) for s in range(size) for t in range(s)}
    pairs |= {(t, s): both for (s, t), both in pairs.items()}
    pairs |= {(s, s): one for s, one in enumerate(without)}
    first = tf.stack([tf.exp(one - whole) for one in without])
    second = tf.stack(
        [tf.stack([tf.exp(pairs[s, t] - without[s]) for t in range(size)]) for s in range(size)]
    )
    return first, second
