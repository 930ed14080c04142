"""The expectation of a program's cost, differentiated by any estimator."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tfgumbel import registry
from tfgumbel.expectations.program import Answer, Program, Site
from tfgumbel.internal import random, validation


def expectation(
    program: Callable[..., Any],
    inputs: Any,
    *,
    estimator: str | tuple[str, Mapping[str, Any]] | Callable[..., tf.Tensor],
    seed: Any,
    num_samples: int = 1,
    temperature: Any = None,
    **options: Any,
) -> tf.Tensor:
    """Estimates E[cost] of a program with discrete draws; the gradient is the estimator's.

    A program is written once, and any estimator trains it:

        def program(draw, x):                                   # x: (batch, ...)
            first = draw(encoder(x))                            # logits -> one-hot, same shape
            second = draw(tfd.Bernoulli(logits=hidden(first)))  # a cascade: depends on the first
            return cost(x, first, second)                       # (batch,)

    Value: the mean over the samples. Gradient, for all that the program closes over and for the
    inputs: the estimator's, see `tfgumbel.registry.REGISTRY`. One that acts on the sample
    ("gumbel_rao", ...) answers every `draw` with its function; one that acts on the loss
    ("reinforce", ...) with exact samples, and adds the gradient of their log probability.

    Args:
        program: `program(draw, inputs) -> cost`. `draw(distribution)`, any number of times, takes
            a TFP `OneHotCategorical` or `Bernoulli`, or logits (batch, ..., num_classes), short for
            the first. The cost has shape (batch,); integers and booleans count as numbers.
        inputs: Tensor or nest of tensors, the batch on the first axis. What can be computed once,
            an encoder's logits, is best computed outside and passed here.
        estimator: A name in `tfgumbel.registry.REGISTRY`; a pair (name, options), which can say
            ("gumbel_rao", {"num_samples": 10}); or a callable (logits, *, seed) -> sample.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draws.
            In a loop: `tfgumbel.fold_in(seed, step)`.
        num_samples: Samples of each example, an int >= 1, as one batch: a program sees the inputs
            repeated along the batch axis. Default: 1.
        temperature: Of estimators that have one; a missing one, or one too many, is an error.
        **options: Further arguments of the estimator, such as `baseline` of "reinforce_baseline".

    Returns:
        value: Shape (batch,), float32, or float64 where the cost is.

    Raises:
        TypeError: if `seed` is not made of integers, or an option is unknown.
        ValueError: if a name, a number or a shape is wrong, the estimator has no gradient, or it
            cannot draw from a distribution of the program.

    >>> import tensorflow as tf
    >>> import tfgumbel
    >>> cost = tf.constant([1.0, 2.0, 4.0])
    >>> logits = tf.Variable([[0.0, 0.0, 0.0]])
    >>> with tf.GradientTape() as tape:
    ...     value = tfgumbel.expectation(
    ...         lambda draw, logits: tf.linalg.matvec(draw(logits), cost), logits,
    ...         estimator="reinforce", num_samples=1000, seed=0)
    >>> gradient = tape.gradient(value, logits)[0]  # its mean is (cost - 7 / 3) / 3
    >>> bool(abs(value[0] - 7 / 3) < 0.2), bool(gradient[0] < 0.0 < gradient[2])
    (True, True)

    References: Schulman, Heess, Weber & Abbeel, "Gradient estimation using stochastic computation
    graphs", NeurIPS 2015; Paulus, Maddison & Krause, ICLR 2021, appendix B, for relaxed cascades.
    """
    bound = Program(program, inputs, num_samples)
    seed = random.normalize_seed(seed)
    if isinstance(estimator, tuple):
        estimator, given = estimator
        options = {**given, **options}
    if not isinstance(estimator, str):
        function = estimator
        chosen = {} if temperature is None else {"temperature": temperature}
        costs = bound.run(
            lambda site: function(site.logits, seed=site.seed, **chosen, **options), seed
        ).costs
        return tf.reduce_mean(costs, axis=0)
    entry = registry.get(estimator)
    options = _checked_options(entry, temperature, options)
    if isinstance(entry, registry.SampleEstimator):
        costs = bound.run(_answer(entry, options), seed).costs
    else:
        costs = entry.function(bound, seed=seed, **options)
    return tf.reduce_mean(costs, axis=0)


def _checked_options(
    entry: registry.Entry, temperature: Any, options: dict[str, Any]
) -> dict[str, Any]:
    """The estimator's options, the temperature among them, or an error that says what is wrong."""
    if not entry.differentiable:
        raise ValueError(
            validation.describe(
                f"Estimator {entry.name!r} has no gradient.",
                expected="an estimator of gradients",
                received=entry.name,
                fix='"reinforce" draws exact samples too, and has one',
            )
        )
    if temperature is not None and "temperature" not in options:
        options = {**options, "temperature": temperature}
    if entry.needs_temperature and "temperature" not in options:
        raise ValueError(
            validation.describe(
                f"Estimator {entry.name!r} needs a temperature.",
                expected="a positive number, tensor or variable",
                received=None,
                fix="pass `temperature=0.5`, say",
            )
        )
    known = [name for name in entry.parameters if name not in ("logits", "program", "seed")]
    for name in options:
        if name not in known:
            raise TypeError(
                validation.describe(
                    f"Estimator {entry.name!r} has no option {name!r}.",
                    expected="one of " + ", ".join(known) if known else "no option",
                    received=name,
                    fix="leave it out, or change the estimator",
                )
            )
    return options


def _answer(entry: registry.SampleEstimator, options: Mapping[str, Any]) -> Answer:
    """Answers every draw by an estimator, or by what it is for another kind of variable."""

    def answer(site: Site) -> tf.Tensor:
        chosen = registry.counterpart(entry, site.variable)
        known = {name: value for name, value in options.items() if name in chosen.parameters}
        return chosen.function(site.logits, seed=site.seed, **known)

    return answer
