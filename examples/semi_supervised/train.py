"""Training and evaluation of the semi-supervised model: every step a function of seed and step."""

import dataclasses
import functools
import time

import numpy as np
import tensorflow as tf

from examples.common import training
from examples.common.estimator import Estimator, halving_rate, own_temperature
from examples.common.runs import claim
from examples.common.settings import RunSettings, decisive
from examples.semi_supervised import data as data_sets
from examples.semi_supervised.model import ClassAndStyle
from tfgumbel.registry import REGISTRY


@dataclasses.dataclass(frozen=True)
class Settings(RunSettings):
    """Everything that decides a run's result; see the flags in main.py for what each does."""

    estimator: str = "gumbel_rao"
    temperature: float | None = None
    anneal_rate: float | None = None
    num_samples: int | str = "exact"
    program_samples: int | None = None
    num_labels: int = 100
    labelled_batch: int = 50
    labelled_weight: float | None = None
    label_weight: float = 200.0
    style_size: int = 32
    style_weight: float = 4.0
    class_scale: float = 5.0
    hidden_units: tuple[int, ...] = (500,)
    batch_size: int = 100
    steps: int = 12_000
    optimizer: str = "adam"
    learning_rate: float = 4e-4
    warmup_steps: int = 200
    eval_every: int = 2_000
    validation_images: int = 2_000
    eval_images: int | None = None

    def resolved(self):
        """These settings with the estimator's temperature and its fall in place of None.

        Estimators without a default of their own get that of Jang et al., max(0.5, exp(-r step)),
        with r such that it ends where theirs does, two thirds of the way (their 3e-5 is for longer
        runs); the others keep theirs.
        """
        temperature, rate = self.temperature, self.anneal_rate
        if rate is None:
            falls = REGISTRY[self.estimator].needs_temperature
            rate = halving_rate(self.steps) if falls else 0.0
        if temperature is None:
            temperature = own_temperature(self.estimator)
        return dataclasses.replace(self, temperature=temperature, anneal_rate=float(f"{rate:.2g}"))


class Training(training.Training):
    """One run of a `ClassAndStyle`.

    Args:
        settings: `Settings`.
        data: `data.Data`, or None to load it.
        num_classes: int; more than there are, or fewer, for measurements of speed alone.
    """

    def __init__(self, settings, data=None, num_classes=data_sets.NUM_CLASSES):
        settings = settings.resolved()
        self.digits = data or data_sets.load(
            settings.dataset,
            data_dir=settings.data_dir,
            num_labels=settings.num_labels,
            seed=settings.seed,
        )
        self._labelled = tf.constant(self.digits.labelled)
        self._classes = tf.one_hot(self.digits.classes % num_classes, num_classes)
        model = ClassAndStyle(
            self.digits.unlabelled.shape[1],
            estimator=functools.partial(Estimator.of, settings),
            num_classes=num_classes,
            style_size=settings.style_size,
            class_scale=settings.class_scale,
            hidden_units=settings.hidden_units,
            pixel_means=self.digits.pixel_means,
            seed=settings.seed,
        )
        super().__init__(model, self.mean_loss, self.digits.unlabelled, settings)
        self._marginal = tf.function(model.marginal_loss, reduce_retracing=True)

    def mean_loss(self, images, seed):
        """The loss of a step, in nats (Kingma et al. 2014, eq. 9), per unlabelled image.

        -ELBO(x) of unlabelled images, `labelled_weight` times -ELBO(x, y) of labelled ones (None:
        in the proportion that they have in the data), `label_weight` times the cross-entropy of
        their classes. The style's divergence weighs `style_weight` in the first step and 1 from two
        thirds of them on, so that the class is found before the style can say all.
        """
        settings, model = self.settings, self.model
        seeds = tf.unstack(tf.random.split(seed, 6))
        images = _binarize(images, seeds[0])
        noise = self._noise(len(images), seeds[1])
        step = tf.convert_to_tensor(self.optimizer.iterations)
        left = tf.maximum(0.0, 1.0 - 1.5 * tf.cast(step, tf.float32) / settings.steps)
        style = 1.0 + (settings.style_weight - 1.0) * left
        loss = tf.reduce_mean(model.unlabelled_loss(images, noise, seeds[2], step, style))
        count = settings.labelled_batch
        chosen = tf.random.stateless_uniform(
            [count], seeds[3], maxval=len(self._classes), dtype=tf.int32
        )
        classes = tf.gather(self._classes, chosen)
        images = _binarize(tf.gather(self._labelled, chosen), seeds[4])
        noise = self._noise(count, seeds[5])
        known = tf.reduce_mean(model.labelled_loss(images, classes, noise, style))
        logits = model.class_logits(images)
        guessed = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(classes, logits))
        weight = settings.labelled_weight
        weight = len(self._classes) / self.count if weight is None else weight
        return loss + weight * known + settings.label_weight * guessed

    def _noise(self, count, seed):
        return tf.random.stateless_normal([count, self.settings.style_size], seed)

    def evaluate(self, images, classes, *, chunk=1_000):
        """Bound on -log p(x), mean over images, in nats, and the share of classes that are right.

        The class is summed over, whatever trained the model; one draw of the style for each image,
        the same at every call.
        """
        bounds, right = [], []
        for first in range(0, len(images), chunk):
            part = tf.cast(images[first : first + chunk], tf.float32)
            noise = self._noise(len(part), tf.constant([1, first]))
            bounds.append(self._marginal(part, noise).numpy())
            guesses = tf.argmax(self.model.class_logits(part), axis=-1).numpy()
            right.append(guesses == classes[first : first + chunk])
        return float(np.concatenate(bounds).mean()), float(np.concatenate(right).mean())

    def validate(self):
        """Bound of the first validation images, for choosing."""
        images, classes = self.digits.validation
        count = self.settings.validation_images
        return self.evaluate(images[:count], classes[:count])[0]


def _binarize(intensities, seed):
    """Pixels 0 and 1, float32, drawn with the probabilities intensity / 255."""
    intensities = tf.cast(intensities, tf.float32)
    uniform = tf.random.stateless_uniform(tf.shape(intensities), seed, maxval=255.0)
    return tf.cast(uniform < intensities, tf.float32)


def run(settings, run_dir, *, data=None):
    """Trains, validates, checkpoints; goes on where a killed run in `run_dir` stopped.

    Args:
        settings: `Settings`.
        run_dir: directory for settings.json, checkpoint.npz (the latest), best.npz (best on
            validation), TensorBoard events and result.json.
        data: `data.Data`, or None to load it.

    Returns:
        trained: the `Training` with the weights that were best on validation.
        result: dict, as saved in result.json.
    """
    settings = settings.resolved()
    run_dir = claim(run_dir, decisive(settings))
    trained = Training(settings, data)
    processor = time.process_time()
    first = (run_dir / "checkpoint.npz").exists()
    seconds = trained.fit(
        run_dir,
        name=settings.estimator,
        validate=trained.validate,
        scalars=trained.model.estimator.scalars,
    )
    processor = time.process_time() - processor
    images, classes = trained.digits.validation
    validation = trained.evaluate(images, classes)
    images, classes = trained.digits.test
    images, classes = images[: settings.eval_images], classes[: settings.eval_images]
    test = trained.evaluate(images, classes)
    measured = {
        "validation_bound": validation[0],
        "validation_accuracy": validation[1],
        "test_bound": test[0],
        "test_accuracy": test[1],
        "test_images": len(images),
    }
    if not first:  # of a run that went on, the time before is not known
        measured["processor_seconds"] = processor
    return trained, trained.finish(run_dir, seconds, **measured)
