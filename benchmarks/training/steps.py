"""The training step that is timed, with any estimator of the registry."""

import functools
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from examples.common.estimator import Estimator
from examples.common.files import RunError
from examples.discrete_vae.model import DiscreteVAE
from tfgumbel import fold_in
from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.registry import gradient_estimators

BATCH_SIZE = 20
NUM_PIXELS = 784
NUM_VARIABLES = 80
ARITY = 8
HIDDEN_UNITS = (400, 400)
BASELINE = "straight_through"


def names() -> list[str]:
    """Every estimator that has a gradient and draws classes."""
    return list(gradient_estimators(ONE_HOT_CATEGORICAL))


class Step:
    """One compiled training step of the discrete VAE of `examples.discrete_vae`, with Adam.

    The estimator has the options that the examples give it: what can learn does, with as few
    samples of each image as it can do.

    Args:
        name: The estimator's.
        num_variables: Of the code.
        arity: Classes of each.
        hidden_units: Widths of the encoder's hidden layers, mirrored by the decoder's.

    Attributes:
        num_samples: Of each image.
        runs: How often the program is run on an image in one step, once it was traced.

    Raises:
        RunError: if the estimator cannot train the model.
    """

    def __init__(
        self,
        name: str,
        *,
        num_variables: int = NUM_VARIABLES,
        arity: int = ARITY,
        hidden_units: tuple[int, ...] = HIDDEN_UNITS,
    ):
        model = DiscreteVAE(
            NUM_PIXELS,
            estimator=functools.partial(Estimator, name),
            num_variables=num_variables,
            arity=arity,
            hidden_units=hidden_units,
        )
        self.model, self.runs = model, 0.0
        self.num_samples = model.estimator.program_samples
        self._images = tf.constant(
            np.random.default_rng(0).binomial(1, 0.2, (BATCH_SIZE, NUM_PIXELS)), tf.float32
        )
        optimizer = keras.optimizers.Adam(1e-4)
        count = tf.Variable(0, dtype=tf.int64)
        program = model.program

        def counted(draw, inputs):
            self.runs += inputs[0].shape[0] / BATCH_SIZE
            return program(draw, inputs)

        model.program = counted

        @tf.function(autograph=False)
        def step(images):
            self.runs = 0.0
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(model.negative_elbo(images, fold_in(0, count), count))
                total = tf.add_n([loss, *model.losses])
            weights = model.trainable_variables
            optimizer.apply(tape.gradient(total, weights), weights)
            count.assign_add(1)
            return loss

        self._step = step

    def __call__(self) -> float:
        """Takes a step, and waits for it."""
        return float(self._step(self._images))


def trainable(
    chosen: Iterable[str], make: Callable[[str], Step] = Step
) -> tuple[dict[str, Step], dict[str, str]]:
    """Compiles steps.

    Returns:
        steps: Name to `Step`, of those that can train the model.
        refused: Name to why it cannot, of the others.
    """
    steps, refused = {}, {}
    for name in chosen:
        try:
            steps[name] = make(name)
            steps[name]()
        except RunError as error:
            refused[name] = str(error).splitlines()[1]
    return steps, refused
