"""Runs of a model that is a program of log weights: training, validation, bounds, the test."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

import tfgumbel
from examples.common import binary_images, training
from examples.common.console import Progress
from examples.common.estimation import EstimatorSettings
from examples.common.runs import claim
from examples.common.settings import decisive

ROWS = 8_000  # of one call of an evaluation: some 30 MB of pixels


@dataclasses.dataclass(frozen=True)
class BoundSettings(EstimatorSettings):
    """Everything that decides a run's result, but for the model; see the flags in main.py."""

    binarization: str = "stochastic"
    variables: str = "bernoulli"
    layers: tuple[int, ...] = (200, 200)
    classes: int = 10
    nonlinear: bool = False
    validation_samples: int = 20
    validation_images: int = 2_000
    eval_samples: int = 100
    eval_images: int | None = None


class BoundTraining(training.Training):
    """One run of a model of binary images.

    Args:
        settings: `BoundSettings`.
        make_model: callable (settings, splits) -> keras.Model with `estimation`, an `Estimation`;
            `inputs(images)`, what its program takes; `log_weights(draw, inputs)`, the program.
        splits: `binary_images.Splits`, or None to load them.
    """

    def __init__(self, settings, make_model, splits=None):
        settings = settings.resolved()
        self.splits = splits or binary_images.load(
            settings.dataset,
            data_dir=settings.data_dir,
            binarization=settings.binarization,
            seed=settings.seed,
        )
        keras.utils.set_random_seed(settings.seed)  # of what an estimator learns
        model = make_model(settings, self.splits)
        super().__init__(model, self.mean_loss, self.splits.train, settings)
        one = tf.zeros_like(self.data[:1], tf.float32)
        model.estimation.check_program(model.log_weights, model.inputs(one))
        self._evaluate = tf.function(self._bound, reduce_retracing=True)

    def mean_loss(self, images, seed):
        """Mean negative bound of training images as they are stored, in nats."""
        seeds = tf.random.split(seed, 2)
        inputs = self.model.inputs(self.splits.binarize(images, seeds[0]))
        step = tf.convert_to_tensor(self.optimizer.iterations)
        estimation = self.model.estimation
        bound = estimation.bound(self.model.log_weights, inputs, seed=seeds[1], step=step)
        return -tf.reduce_mean(bound)

    def _bound(self, images, num_samples, seed):
        return tfgumbel.multi_sample_bound(
            self.model.log_weights,
            self.model.inputs(tf.cast(images, tf.float32)),
            num_samples=num_samples,
            estimator="reinforce",  # exact samples; no gradient is taken
            seed=seed,
        )

    def bounds(self, images, num_samples, *, seed=1, on_images=lambda count: None):
        """Negative bounds on log p (lower is better) with exact samples, in nats, shape (count,).

        `on_images` is called now and then with the number of images done since.
        """
        size = max(1, ROWS // num_samples)
        bounds = []
        for start in range(0, len(images), size):
            x = images[start : start + size]
            draws = tfgumbel.fold_in([seed, num_samples], start)
            bounds.append(-self._evaluate(x, num_samples, draws).numpy())
            on_images(len(x))
        return np.concatenate(bounds)

    def validate(self):
        """Mean bound of the first validation images with few samples, for choosing."""
        images = self.splits.validation[: self.settings.validation_images]
        return float(self.bounds(images, self.settings.validation_samples).mean())


def run(settings, run_dir, make_model, *, splits=None, evaluate=True):
    """Trains, validates, checkpoints; goes on where a killed run in `run_dir` stopped.

    Args:
        settings: `BoundSettings`.
        run_dir: directory for settings.json, checkpoint.npz (the latest), best.npz (best on
            validation), TensorBoard events, test_bounds.npy and result.json.
        make_model: as `BoundTraining` takes it.
        splits: `binary_images.Splits`, or None to load them.
        evaluate: bool, whether to end with the bound on the test images.

    Returns:
        trained: the `BoundTraining` with the weights that were best on validation.
        result: dict, as saved in result.json.
    """
    settings = settings.resolved()
    run_dir = claim(run_dir, decisive(settings))
    trained = BoundTraining(settings, make_model, splits)
    name = settings.estimator
    scalars = trained.model.estimation.scalars
    seconds = trained.fit(run_dir, name=name, validate=trained.validate, scalars=scalars)
    if not evaluate:
        return trained, trained.finish(run_dir, seconds)
    images = binary_images.evenly_spaced(trained.splits.test, settings.eval_images)
    samples = settings.eval_samples
    with Progress(f"{name}, test", len(images), unit="images") as progress:
        measured = training.tested(
            run_dir, lambda: trained.bounds(images, samples, on_images=progress.advance)
        )
    return trained, trained.finish(run_dir, seconds, test_samples=samples, **measured)
