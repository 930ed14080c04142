"""A training loop of which every step is a function of the seed and the step's number.

So a run that was killed and goes on equals one that was not, bit for bit.
"""

import dataclasses
import json
import time

import numpy as np
import tensorflow as tf

from examples.common import batches
from examples.common.console import Progress
from examples.common.files import RunError, reading, whole_file, write_json
from examples.common.settings import make_optimizer


class Diverged(RunError):
    """The loss of a run is no number any more."""


class Training:
    """A model, its optimizer and its data: advanced, saved and restored.

    Batches (an epoch is a permutation) and noise depend on the seed and the step alone.

    Args:
        model: keras.Model with all its variables made; what is in its `losses` after `loss` was
            called is added to the loss, such as that of a baseline that learns.
        loss: callable (batch, seed) -> scalar; the batch is as `data` with batch_size rows, `seed`
            an int tensor of shape [2].
        data: array or nest of arrays, examples on the first axis.
        settings: `RunSettings`.

    Attributes:
        step: steps taken.
        seconds: spent in them.
        history: a dict for every evaluation, see `fit`.
    """

    def __init__(self, model, loss, data, settings):
        self.model, self.loss, self.settings = model, loss, settings
        self.data = tf.nest.map_structure(tf.constant, data)
        self.count = len(tf.nest.flatten(data)[0])
        batches.check_size(settings.batch_size, self.count)
        self.optimizer = make_optimizer(settings)
        self.optimizer.build(model.trainable_variables)
        self.step = 0
        self.seconds = 0.0
        self.history = []
        self._advance = tf.function(self._steps)

    def batch(self, step):
        """Rows of a step, see `batches.rows`."""
        return batches.rows(self.data, step, self.settings.batch_size, self.settings.seed)

    def _steps(self, first, count):
        """Runs steps first to first + count - 1 in one graph; returns their mean loss."""
        variables = self.model.trainable_variables
        # One fused pass over weights and momenta: 2.8 ms where the separate operations take 4.5.
        update = tf.function(lambda *g: self.optimizer.apply(g, variables), jit_compile=True)
        total = 0.0
        for step in tf.range(first, first + count):
            seed = batches.noise_seed(step, self.settings.seed)
            loss, gradient = self.gradient(self.batch(step), seed)
            update(*gradient)
            total += loss
        return total / tf.cast(count, tf.float32)

    def gradient(self, batch, seed):
        """Loss of a batch, and the gradient for the trainable variables; inside a `tf.function`."""
        with tf.GradientTape() as tape:
            loss = self.loss(batch, seed)
            learned = tf.add_n([tf.cast(one, loss.dtype) for one in self.model.losses] or [0.0])
            whole = loss + learned
        return loss, tape.gradient(whole, self.model.trainable_variables)

    def advance(self, count):
        """Takes `count` optimizer steps; returns the mean loss over them."""
        start = time.monotonic()
        first = tf.constant(self.step, tf.int64)
        loss = float(self._advance(first, tf.constant(count, tf.int64)))
        self.seconds += time.monotonic() - start
        self.step += count
        return loss

    def fit(self, run_dir, *, name, validate, metric="validation_bound", scalars=None):
        """Trains to the end, from the checkpoint in `run_dir` if there is one; keeps the best.

        Leaves checkpoint.npz (the latest), best.npz (lowest on validation) and TensorBoard's events
        in `run_dir`, and this object at the best weights. `history` gets {"step", "loss", metric}
        of every evaluation.

        Args:
            run_dir: pathlib.Path of the run's folder, claimed.
            name: what progress calls it.
            validate: callable () -> float, lower is better.
            metric: what `validate` returns.
            scalars: callable (step) -> dict of further numbers for TensorBoard, or None.

        Returns:
            seconds: float, that all steps took.

        Raises:
            Diverged: the loss is no number any more.
        """
        settings = self.settings
        if (run_dir / "checkpoint.npz").exists():
            self.restore(run_dir / "checkpoint.npz")
        writer = tf.summary.create_file_writer(str(run_dir))
        progress = Progress(name, settings.steps, done=self.step, unit="steps")
        with progress, writer.as_default():
            while self.step < settings.steps:
                every = settings.eval_every
                until = min(settings.steps, (self.step // every + 1) * every)
                losses = []
                while self.step < until:
                    losses.append(self.advance(min(500, until - self.step)))
                    tf.summary.scalar("train/loss", losses[-1], self.step)
                    progress.update(self.step)
                loss = float(np.mean(losses))
                if not np.isfinite(loss):
                    raise Diverged(
                        f"The loss is {loss} at step {self.step}. Lower --learning_rate, lengthen "
                        "--warmup_steps or set --clip_norm."
                    )
                value = float(validate())
                rate = float(self.optimizer.learning_rate)
                further = {"learning_rate": rate, **(scalars(self.step) if scalars else {})}
                tf.summary.scalar(f"validation/{metric}", value, self.step)
                for key, one in further.items():
                    tf.summary.scalar(f"train/{key}", one, self.step)
                writer.flush()
                self.history.append({"step": self.step, "loss": loss, metric: value})
                progress.update(self.step, f"{name}, validation {value:.2f}")
                if value <= min(entry[metric] for entry in self.history):
                    self.save(run_dir / "best.npz")
                self.save(run_dir / "checkpoint.npz")
        history, seconds = self.history, self.seconds
        self.restore(run_dir / "best.npz")
        self.history = history
        return seconds

    def finish(self, run_dir, seconds, **measured):
        """Writes result.json, by which a run is known to be done.

        Args:
            run_dir: pathlib.Path of the run's folder.
            seconds: what `fit` returned.
            **measured: what else there is to say, such as the values of `tested`.

        Returns:
            result: dict, as saved.
        """
        result = {
            "settings": dataclasses.asdict(self.settings),
            "best_step": self.step,
            "train_seconds": seconds,
            "history": self.history,
            **measured,
        }
        write_json(run_dir / "result.json", result)
        return result

    def save(self, path):
        """Writes weights, optimizer, step and history to one .npz, whole or not at all."""
        arrays = [np.asarray(v) for v in self._variables()]
        state = {"step": self.step, "seconds": self.seconds, "history": self.history}
        with whole_file(path) as temporary:
            np.savez(temporary, *arrays, state=json.dumps(state))

    def restore(self, path):
        """Reads what `save` wrote, all of it before anything is changed."""
        variables = self._variables()
        remedy = f"delete the folder {path.parent}; the run then starts from its first step"
        with (
            reading(path, remedy),
            open(path, "rb") as file,  # NumPy leaves a damaged one open
            np.load(file, allow_pickle=False) as archive,
        ):
            state = json.loads(str(archive["state"]))
            arrays = [archive[f"arr_{index}"] for index in range(len(variables))]
            step, seconds, history = state["step"], state["seconds"], state["history"]
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        self.step, self.seconds, self.history = step, seconds, history

    def _variables(self):
        return [*self.model.variables, *self.optimizer.variables]


def tested(run_dir, bounds):
    """Measures bounds of test images, leaves each in test_bounds.npy and returns a summary.

    Args:
        run_dir: pathlib.Path of the run's folder.
        bounds: callable () -> array of shape (images,), in nats.

    Returns:
        measured: dict of test_bound, the mean; test_images, test_standard_error, test_seconds.
    """
    start = time.monotonic()
    found = bounds()
    seconds = time.monotonic() - start
    with whole_file(run_dir / "test_bounds.npy") as temporary:
        np.save(temporary, found)
    return {
        "test_bound": float(found.mean()),
        "test_images": len(found),
        "test_standard_error": float(found.std(ddof=1) / np.sqrt(len(found))),
        "test_seconds": seconds,
    }
