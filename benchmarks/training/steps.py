"""The suite as data: every estimator of the registry, and the training step that is timed."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

BATCH_SIZE = 20
NUM_PIXELS = 784
ARITY = 8
LATENT_BITS = 240
TEMPERATURE = 0.5
BASELINE = "straight_through"


@dataclasses.dataclass(frozen=True)
class Case:
    """An estimator; `label` names it in results.

    Attributes:
        label: The estimator's name, and what it learns.
        name: In the registry.
        num_samples: Of each image.
        option: An argument that holds a layer of the estimator's own, or None.
        layer: The name of that layer's class in `tfgumbel.expectations`, or None.
    """

    label: str
    name: str
    num_samples: int = 1
    option: str | None = None
    layer: str | None = None

    def make_layer(self) -> Any:
        """The estimator's state, or None."""
        from tfgumbel import expectations

        return getattr(expectations, self.layer)() if self.layer else None


LEARNED = (
    Case("nvil, network", "nvil", 1, "baseline", "NVILBaseline"),
    Case("rebar, learned", "rebar", 1, "parameters", "RebarParameters"),
    Case("relax, learned", "relax", 1, "control", "RelaxControl"),
)


def cases() -> list[Case]:
    """Every estimator that has a gradient and draws classes, with as few samples as it can do."""
    from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
    from tfgumbel.registry import gradient_estimators

    found = [
        Case(name, name, getattr(entry, "min_samples", 1))
        for name, entry in gradient_estimators(ONE_HOT_CATEGORICAL).items()
    ]
    return [*found, *LEARNED]


class Step:
    """One compiled training step of the discrete VAE of `examples.discrete_vae`, with Adam.

    Args:
        case: The estimator.
        arity: Classes of a variable.
        latent_bits: Bits of the code, a multiple of log2(arity).
        hidden_units: Widths of the encoder's hidden layers, mirrored by the decoder's.

    Attributes:
        runs: How often the program is run on an image in one step, once it was traced.

    Raises:
        ValueError: at the first call, if the estimator cannot train the model.
    """

    def __init__(
        self,
        case: Case,
        *,
        arity: int = ARITY,
        latent_bits: int = LATENT_BITS,
        hidden_units: tuple[int, ...] = (400, 400),
    ):
        import keras
        import tensorflow as tf

        from examples.discrete_vae.model import DiscreteVAE, bernoulli_log_likelihood
        from tfgumbel import expectation, fold_in, registry
        from tfgumbel.objectives import categorical_kl

        self.runs = 0.0
        self.images = tf.constant(
            np.random.default_rng(0).binomial(1, 0.2, (BATCH_SIZE, NUM_PIXELS)), tf.float32
        )
        model = DiscreteVAE(
            NUM_PIXELS, None, arity=arity, latent_bits=latent_bits, hidden_units=hidden_units
        )
        self.model = model
        layer = case.make_layer()
        options = {} if layer is None else {case.option: layer}
        if registry.get(case.name).needs_temperature:
            options["temperature"] = TEMPERATURE
        optimizer = keras.optimizers.Adam(1e-4)
        count = tf.Variable(0, dtype=tf.int64)

        def program(draw, inputs):
            self.runs += inputs["images"].shape[0] / BATCH_SIZE
            log_likelihood = bernoulli_log_likelihood(
                inputs["images"], model.decode(draw(inputs["logits"]))
            )
            return -log_likelihood

        @tf.function(autograph=False)
        def step(images):
            self.runs = 0.0
            with tf.GradientTape() as tape:
                logits = model.posterior_logits(images)
                value = expectation(
                    program,
                    {"images": images, "logits": logits},
                    estimator=case.name,
                    num_samples=case.num_samples,
                    seed=fold_in(0, count),
                    **options,
                )
                loss = tf.reduce_mean(value + tf.reduce_sum(categorical_kl(logits), axis=-1))
                total = loss if layer is None else loss + tf.add_n(layer.losses)
            weights = model.trainable_variables
            weights += [] if layer is None else layer.trainable_variables
            optimizer.apply(tape.gradient(total, weights), weights)
            count.assign_add(1)
            return loss

        self._step = step

    def __call__(self) -> float:
        """Takes a step, and waits for it."""
        return float(self._step(self.images))


def trainable(chosen: list[Case], make: Callable[[Case], Step] = Step) -> tuple[dict, dict]:
    """Compiles steps.

    Returns:
        steps: Label to `Step`, of those that can train the model.
        refused: Label to the first line of the error, of the others.
    """
    steps, refused = {}, {}
    for case in chosen:
        try:
            step = make(case)
            step()
            steps[case.label] = step
        except ValueError as error:
            refused[case.label] = str(error).splitlines()[0]
    return steps, refused
