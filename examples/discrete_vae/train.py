"""Training and evaluation of the discrete VAE: every step a function of the seed and its number."""

import dataclasses
import json
import time

import keras
import numpy as np
import tensorflow as tf

from examples.common.console import Progress
from examples.common.files import RunError, reading, whole_file, write_json
from examples.common.runs import claim
from examples.discrete_vae import data
from examples.discrete_vae.model import DiscreteVAE
from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.objectives import importance_weighted_bound
from tfgumbel.registry import sample_estimators

# Chosen on validation images (README.md); others start from their functions' defaults, or 0.5.
TEMPERATURES = {
    "straight_through": 1.0,
    "straight_through_gumbel_softmax": 0.65,
    "gumbel_rao": 0.4,
}
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "adagrad", "lion", "muon")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that decides a run's result; see the flags in main.py for what each does."""

    dataset: str = "digits"
    data_dir: str | None = None
    binarization: str = "stochastic"
    estimator: str = "gumbel_rao"
    temperature: float | None = None
    num_samples: int | str = "exact"
    arity: int = 8
    latent_bits: int = 240
    hidden_units: tuple[int, ...] = (400, 400)
    batch_size: int = 20
    steps: int = 50_000
    optimizer: str = "sgd"
    learning_rate: float = 3e-3
    momentum: float = 0.9
    decay: str = "cosine"
    warmup_steps: int = 500
    weight_decay: float = 0.0
    clip_norm: float | None = None
    seed: int = 0
    eval_every: int = 5_000
    validation_samples: int = 100
    validation_images: int = 500
    eval_samples: int = 5_000
    eval_images: int | None = None

    def resolved(self):
        """These settings with the estimator's own temperature in place of None."""
        if self.temperature is not None:
            return self
        parameters = sample_estimators()[self.estimator].parameters
        own = parameters["temperature"].default if "temperature" in parameters else None
        own = own if isinstance(own, float) else 0.5
        return dataclasses.replace(self, temperature=TEMPERATURES.get(self.estimator, own))


def make_sampler(settings):
    """The estimator as a function (logits, seed) -> D, classes on the last axis.

    An estimator of binary variables takes the log-odds of two classes, so it needs arity 2.
    """
    entry = sample_estimators()[settings.estimator]
    parameters = entry.parameters
    options = {name: settings.temperature for name in parameters if name.endswith("temperature")}
    if "num_samples" in parameters:
        options["num_samples"] = settings.num_samples
        options["noise"] = "independent"  # as in the paper, beside whose table the results stand
    if entry.variable is ONE_HOT_CATEGORICAL:
        return lambda logits, seed: entry.function(logits, seed=seed, **options)
    if settings.arity != 2:
        raise RunError(
            f"{settings.estimator} is for binary variables: arity must be 2. "
            f"Received: arity={settings.arity}."
        )

    def sampler(logits, seed):
        second = entry.function(logits[..., 1] - logits[..., 0], seed=seed, **options)
        return tf.stack([1.0 - second, second], axis=-1)

    return sampler


def make_optimizer(settings):
    """Keras's optimizer of that name: linear warm-up, then constant or cosine to 0."""
    rate = settings.learning_rate
    if settings.decay == "cosine":
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0 if settings.warmup_steps else rate,
            max(1, settings.steps - settings.warmup_steps),
            warmup_target=rate if settings.warmup_steps else None,
            warmup_steps=settings.warmup_steps,
        )
    elif settings.decay == "constant":
        schedule = rate
    else:
        raise ValueError(f'decay must be "cosine" or "constant". Received: {settings.decay!r}.')
    options = {"momentum": settings.momentum} if settings.optimizer in ("sgd", "rmsprop") else {}
    return keras.optimizers.get(
        {
            "class_name": settings.optimizer,
            "config": {
                "learning_rate": schedule,
                "weight_decay": settings.weight_decay or None,
                "global_clipnorm": settings.clip_norm,
                **options,
            },
        }
    )


class Training:
    """One run: model, optimizer and data, advanced, saved and restored.

    Batches (an epoch is a permutation) and noise are functions of the seed and the step's number,
    so a run that was killed and resumed repeats no noise and equals one that was not.

    Args:
        settings: `Settings`.
        splits: `data.Splits`, or None to load them.
    """

    def __init__(self, settings, splits=None):
        self.settings = settings = settings.resolved()
        self.splits = splits or data.load(
            settings.dataset,
            data_dir=settings.data_dir,
            binarization=settings.binarization,
            seed=settings.seed,
        )
        self.model = DiscreteVAE(
            self.splits.train.shape[1],
            make_sampler(settings),
            arity=settings.arity,
            latent_bits=settings.latent_bits,
            hidden_units=settings.hidden_units,
            pixel_means=self.splits.pixel_means,
            seed=settings.seed,
        )
        self.optimizer = make_optimizer(settings)
        self.optimizer.build(self.model.trainable_variables)
        self.images = tf.constant(self.splits.train)
        self.step = 0
        self.seconds = 0.0
        self.history = []  # {"step", "loss", "validation_bound"} of every evaluation
        self._advance = tf.function(self._steps)
        self._log_weights = tf.function(self.model.log_weights, reduce_retracing=True)

    def _batch(self, step, seed):
        """Images of a step: the epoch's permutation is an index shuffle, so none is stored."""
        batch_size, count = self.settings.batch_size, len(self.splits.train)
        batches = count // batch_size  # of an epoch, which leaves out fewer images than one batch
        position = step % batches * batch_size + tf.range(batch_size, dtype=tf.int64)
        key = tf.stack([tf.cast(self.settings.seed, tf.int64), step // batches])
        index = tf.random.experimental.index_shuffle(position, key, count - 1)
        images = tf.cast(tf.gather(self.images, index), tf.float32)
        if self.splits.stochastic:
            draws = tf.random.stateless_uniform(tf.shape(images), seed, maxval=255.0)
            images = tf.cast(draws < images, tf.float32)
        return images

    def _steps(self, first, count):
        """Runs steps first to first + count - 1 in one graph; returns their mean loss."""
        variables = self.model.trainable_variables
        # One fused pass over weights and momenta: 2.8 ms where the separate operations take 4.5.
        update = tf.function(lambda *g: self.optimizer.apply(g, variables), jit_compile=True)
        total = 0.0
        for step in tf.range(first, first + count):
            seeds = tf.random.split(tf.stack([tf.cast(self.settings.seed, tf.int64), step]), 2)
            images = self._batch(step, seeds[0])
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(self.model.negative_elbo(images, seeds[1]))
            update(*tape.gradient(loss, variables))
            total += loss
        return total / tf.cast(count, tf.float32)

    def advance(self, count):
        """Takes `count` optimizer steps; returns the mean negative ELBO over them, in nats."""
        start = time.monotonic()
        first = tf.constant(self.step, tf.int64)
        loss = float(self._advance(first, tf.constant(count, tf.int64)))
        self.seconds += time.monotonic() - start
        self.step += count
        return loss

    def bounds(self, images, num_samples, *, seed=1, on_draws=lambda count: None):
        """Negative log p(x) bounds (lower is better) of 0/1 images, in nats, shape (count,).

        `on_draws` is called now and then with the number of draws done since.
        """

        def log_weights(x, count, seed):
            on_draws(len(x) * count)
            return self._log_weights(x, count, seed)

        return -importance_weighted_bound(
            log_weights, tf.cast(images, tf.float32), num_samples=num_samples, seed=seed
        )

    def validate(self):
        """Mean bound of the first validation images with few samples, for choosing."""
        images = self.splits.validation[: self.settings.validation_images]
        return float(self.bounds(images, self.settings.validation_samples).mean())

    def save(self, path):
        """Writes weights, optimizer, step and history to one .npz, whole or not at all."""
        arrays = [np.asarray(v) for v in (*self.model.variables, *self.optimizer.variables)]
        state = {"step": self.step, "seconds": self.seconds, "history": self.history}
        with whole_file(path) as temporary:
            np.savez(temporary, *arrays, state=json.dumps(state))

    def restore(self, path):
        """Reads what `save` wrote, all of it before anything is changed."""
        variables = [*self.model.variables, *self.optimizer.variables]
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


def decisive(settings):
    """What must agree for a run to go on: all but where the data lie and how the end is judged."""
    left_out = ("data_dir", "eval_samples", "eval_images")
    settings = dataclasses.asdict(settings)
    return {name: value for name, value in settings.items() if name not in left_out}


def run(settings, run_dir, *, splits=None, evaluate=True):
    """Trains, validates, checkpoints; goes on where a killed run in `run_dir` stopped.

    Args:
        settings: `Settings`.
        run_dir: directory for settings.json, checkpoint.npz (the latest), best.npz (best on
            validation), TensorBoard events and result.json.
        splits: `data.Splits`, or None to load them.
        evaluate: bool, whether to end with the bound on the test images.

    Returns:
        training: the `Training` with the weights that were best on validation.
        result: dict, as saved in result.json.
    """
    settings = settings.resolved()
    run_dir = claim(run_dir, decisive(settings))
    training = Training(settings, splits)
    if (run_dir / "checkpoint.npz").exists():
        training.restore(run_dir / "checkpoint.npz")
    writer = tf.summary.create_file_writer(str(run_dir))
    name = settings.estimator
    progress = Progress(name, settings.steps, done=training.step, unit="steps")
    with progress, writer.as_default():
        while training.step < settings.steps:
            until = min(
                settings.steps, (training.step // settings.eval_every + 1) * settings.eval_every
            )
            losses = []
            while training.step < until:
                losses.append(training.advance(min(500, until - training.step)))
                tf.summary.scalar("train/negative_elbo", losses[-1], training.step)
                progress.update(training.step)
            bound = training.validate()
            tf.summary.scalar("validation/bound", bound, training.step)
            rate = float(training.optimizer.learning_rate)
            tf.summary.scalar("train/learning_rate", rate, training.step)
            tf.summary.scalar("train/temperature", settings.temperature, training.step)
            writer.flush()
            loss = float(np.mean(losses))
            training.history.append(
                {"step": training.step, "loss": loss, "validation_bound": bound}
            )
            progress.update(training.step, f"{name}, validation {bound:.2f}")
            if not np.isfinite(loss):
                raise RunError(
                    f"The loss is {loss} at step {training.step}. Lower --learning_rate, lengthen "
                    "--warmup_steps or set --clip_norm."
                )
            best = min(entry["validation_bound"] for entry in training.history)
            if bound <= best:
                training.save(run_dir / "best.npz")
            training.save(run_dir / "checkpoint.npz")
    history, seconds = training.history, training.seconds
    training.restore(run_dir / "best.npz")
    result = {
        "settings": dataclasses.asdict(settings),
        "best_step": training.step,
        "train_seconds": seconds,
        "history": history,
    }
    if evaluate:
        images = training.splits.test[: settings.eval_images]
        start = time.monotonic()
        total = len(images) * settings.eval_samples
        with Progress(f"{name}, test", total, unit="draws") as progress:
            bounds = training.bounds(images, settings.eval_samples, on_draws=progress.advance)
        result |= {
            "test_bound": float(bounds.mean()),
            "test_images": len(bounds),
            "test_samples": settings.eval_samples,
            "test_standard_error": float(bounds.std(ddof=1) / np.sqrt(len(bounds))),
            "test_seconds": time.monotonic() - start,
        }
        with whole_file(run_dir / "test_bounds.npy") as temporary:
            np.save(temporary, bounds)
    write_json(run_dir / "result.json", result)
    return training, result
