"""Writes the pruning steps as StableHLO, for a machine that has a GPU and XLA but no TensorFlow.

python -m benchmarks.pruning.lowering --directory=runs/stablehlo

Each step becomes NAME.mlirbc, a serialised StableHLO module, and NAME.npz, its arguments in order
(arr_0, arr_1, ...). The first outputs are the next values of the first arguments, as many as the
printed `carry`, so that a step can be run again and again.
"""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from examples.prune_mnist import models
from pruning.budgets.projection import project_onto_budget
from pruning.groups.groups import Grid, Groups
from pruning.groups.structures import parse_structure
from pruning.groups.targets import select
from pruning.masks.product import noisy_product
from pruning.methods.learned import INITIAL_SCORE, SCORE_LEARNING_RATE, Learned
from pruning.methods.method import Moment

FLAGS = flags.FLAGS
flags.DEFINE_string("directory", "runs/stablehlo", "Where the files go.")
flags.DEFINE_integer("entries", 10_000_000, "Scores of the mask-and-projection step.")

TEMPERATURE, DENSITY, LEARNING_RATE = 0.3, 0.05, 1e-3
BATCH_SIZE = 128


def mask_and_projection(entries: int) -> tuple[Callable[..., Any], list[Any], int]:
    """One step on the scores: mask times weights, its gradient, an update, the projection."""
    k = tf.constant(DENSITY * entries, tf.float64)
    groups = Groups([Grid((entries,), (1,))])

    def step(s, multiplier, index, weights):
        with tf.GradientTape() as tape:
            tape.watch(s)
            (masked,) = noisy_product(
                s,
                [weights],
                groups,
                seed=tf.stack([1, index]),
                temperature=tf.constant(TEMPERATURE),
                settled=tf.constant(False),
            )
        gradient = tape.gradient(masked, s)
        s, multiplier = project_onto_budget(
            s - LEARNING_RATE * gradient,
            k,
            initial_multiplier=multiplier,
            return_multiplier=True,
        )
        return s, multiplier, index + 1

    weights = np.random.default_rng(0).normal(size=entries).astype(np.float32)
    s = np.full(entries, INITIAL_SCORE, np.float32)
    return step, [s, np.float64(0.0), np.int32(0), weights], 3


def lenet5_step(batch_size: int) -> tuple[Callable[..., Any], list[Any], int]:
    """A whole training step of LeNet-5 with learned masks: Adam on the weights."""
    model = models.build("lenet5", (28, 28, 1))
    targets, _ = select(model, None, None)
    structure = parse_structure("unstructured")
    groups = structure.groups(targets)
    method = Learned(
        groups,
        structure.budget(targets, groups, DENSITY, "global"),
        seed=0,
        learning_rate=SCORE_LEARNING_RATE,
    )
    masked = [
        next(i for i, v in enumerate(model.trainable_variables) if v is target.variable)
        for target in targets
    ]
    entries = groups.num_groups
    k = tf.constant(DENSITY * entries, tf.float64)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    start = [variable.numpy() for variable in model.trainable_variables]
    count = len(start)

    def step(*arguments):
        values, first, second = (arguments[i * count : (i + 1) * count] for i in range(3))
        scores, momentum, common, multiplier, index, x, y = arguments[3 * count :]
        with tf.GradientTape() as tape:
            tape.watch((values, scores))
            used = list(values)
            noisy = noisy_product(
                scores,
                [used[i] for i in masked],
                groups,
                seed=tf.stack([1, index]),
                temperature=tf.constant(TEMPERATURE),
                settled=tf.constant(False),
            )
            for i, weight in zip(masked, noisy, strict=True):
                used[i] = weight
            outputs, _ = model.stateless_call(used, model.non_trainable_variables, x, training=True)
            loss = loss_of(y, outputs)
        gradients, to_scores = tape.gradient(loss, (values, scores))
        time = tf.cast(index + 1, tf.float32)
        scale = LEARNING_RATE * tf.sqrt(1.0 - 0.999**time) / (1.0 - 0.9**time)
        first = [0.9 * m + 0.1 * g for m, g in zip(first, gradients, strict=True)]
        second = [0.999 * v + 0.001 * g * g for v, g in zip(second, gradients, strict=True)]
        values = [
            w - scale * m / (tf.sqrt(v) + 1e-7)
            for w, m, v in zip(values, first, second, strict=True)
        ]
        moment = Moment(
            scores=scores,
            weights=(),
            memory={"momentum": momentum, "scale": common},
            step=index,
            progress=tf.constant(0.0),
        )
        memory = method.observe(to_scores, moment)
        scores, multiplier = project_onto_budget(
            method.scores(moment._replace(memory=memory)),
            k,
            initial_multiplier=multiplier,
            return_multiplier=True,
        )
        carried = scores, memory["momentum"], memory["scale"], multiplier, index + 1
        return *values, *first, *second, *carried, loss

    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch_size, 28, 28, 1)).astype(np.float32)
    y = rng.integers(0, 10, batch_size).astype(np.int32)
    zeros = [np.zeros_like(value) for value in start]
    scores = np.full(entries, INITIAL_SCORE, np.float32)
    state = [scores, np.zeros_like(scores), np.zeros(1, np.float32), np.float64(0.0), np.int32(0)]
    return step, [*start, *zeros, *zeros, *state, x, y], 3 * count + len(state)


def lower(
    directory: pathlib.Path, name: str, step: Callable[..., Any], arguments: Sequence[Any]
) -> int:
    """Writes one step; returns the size of the module in bytes."""
    compiled = tf.function(step, jit_compile=True, autograph=False)
    tensors = [tf.constant(argument) for argument in arguments]
    module = compiled.experimental_get_compiler_ir(*tensors)(stage="stablehlo_serialized")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.mlirbc").write_bytes(module)
    np.savez(directory / f"{name}.npz", *arguments)
    return len(module)


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Flags only; received {argv[1:]}.")
    directory = pathlib.Path(FLAGS.directory)
    steps = {
        "mask_and_projection": mask_and_projection(FLAGS.entries),
        "lenet5": lenet5_step(BATCH_SIZE),
    }
    for name, (step, arguments, carry) in steps.items():
        size = lower(directory, name, step, arguments)
        print(f"{directory / name}.mlirbc: {size:,} bytes, carry {carry}")


if __name__ == "__main__":
    app.run(main)
