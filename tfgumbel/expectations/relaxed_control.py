"""A relaxation as control variate: what REBAR and RELAX share.

With z the scores with noise that decide D, z~ the same given D, and c a function of scores,

    (f(D) - c(z~)) grad log p(D) + grad c(z) - grad c(z~)

is unbiased: z~ has the law of z (Tucker et al. 2017, eq. 5; Grathwohl et al. 2018, eq. 10).
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from tfgumbel.expectations.program import Program, Run, Site
from tfgumbel.expectations.score_function import mean_of_others, refuse_cascade, without_value
from tfgumbel.internal import random

# Maps the scores of all sites to the control variate's value: costs' shape.
Control = Callable[[list[tf.Tensor], "Relaxation"], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Relaxation:
    """What a control variate may ask for.

    Attributes:
        program: To run at relaxed samples.
        seed: Of such runs.
        sites: Of the hard run.
    """

    program: Program
    seed: tf.Tensor
    sites: tuple[Site, ...]

    def cost(self, scores: list[tf.Tensor], temperature: tf.Tensor) -> tf.Tensor:
        """The program's costs at the relaxed samples of these scores."""

        def answer(site: Site) -> tf.Tensor:
            return site.variable.squash(scores[site.index], temperature, site.logits.dtype)

        return self.program.run(answer, self.seed).costs


@dataclasses.dataclass(frozen=True)
class Parts:
    """The pieces of the estimate, costs' shape each, and where the hard run drew.

    Attributes:
        run: The hard run.
        log_prob: Of what it drew.
        given: c(z~).
        difference: c(z) - c(z~).
    """

    run: Run
    log_prob: tf.Tensor
    given: tf.Tensor
    difference: tf.Tensor

    def value(self, program: Program) -> tf.Tensor:
        """The objective with the estimate as its gradient, shape (batch,)."""
        signal = tf.stop_gradient(self.run.costs - self.given)
        signal -= mean_of_others(signal)
        costs = self.run.costs + signal * without_value(self.log_prob)
        return program.objective.value(costs + without_value(self.difference))

    def squared_gradient(self, tape: tf.GradientTape) -> tf.Tensor:
        """The squared norm of the estimate for the logits, a mean over rows: it trains c.

        Args:
            tape: The persistent one that recorded the parts.
        """
        total = tf.zeros([], self.run.costs.dtype)
        signal = tf.reshape(self.run.costs - self.given, [-1])
        for site in self.run.sites:
            parts = [
                tape.gradient(part, site.logits, unconnected_gradients="zero")
                for part in (self.log_prob, self.difference)
            ]
            rows = tf.reshape(signal, [-1] + [1] * (site.logits.shape.rank - 1))
            estimate = tf.cast(rows, parts[0].dtype) * parts[0] + parts[1]
            total += tf.cast(tf.reduce_sum(estimate**2), total.dtype)
        return total / tf.cast(tf.size(signal), total.dtype)


def parts(
    name: str,
    program: Program,
    seed: tf.Tensor,
    control: Control,
    recorder: tf.GradientTape | None = None,
) -> Parts:
    """Runs a program on hard samples, and a control variate on both kinds of scores.

    Args:
        name: The estimator's, for errors.
        program: To run.
        seed: Int tensor of shape [2].
        control: The control variate.
        recorder: A tape around the call that is to watch the logits.

    Raises:
        ValueError: for a cascade: z~ would have to be drawn given logits that are not those of the
            relaxed run.
    """
    noise, given_noise = random.split(seed)
    scores: list[tf.Tensor] = []
    given: list[tf.Tensor] = []
    with tf.GradientTape(persistent=True) as tape:

        def answer(site: Site) -> tf.Tensor:
            if recorder is not None:
                recorder.watch(site.logits)
            scores.append(site.variable.perturb(site.logits, random.fold_in(noise, site.index)))
            outcome = site.variable.decide(scores[-1], site.logits.dtype)
            outcome = tf.stop_gradient(outcome)
            given.append(
                site.variable.perturb_given(
                    site.logits, outcome, random.fold_in(given_noise, site.index)
                )
            )
            tape.watch(outcome)
            return outcome

        run = program.run(answer, seed)
    refuse_cascade(name, run, tape)
    relaxation = Relaxation(program, seed, run.sites)
    relaxed, conditional = control(scores, relaxation), control(given, relaxation)
    return Parts(run, run.log_prob(), conditional, relaxed - conditional)
