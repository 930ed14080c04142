"""Training and evaluation of the discrete VAE: every step a function of the seed and its number."""

import dataclasses
import functools
import math

import tensorflow as tf

from examples.common import binary_images, training
from examples.common.console import Progress
from examples.common.estimator import Estimator, own_temperature
from examples.common.files import RunError
from examples.common.runs import claim
from examples.common.settings import RunSettings, decisive
from examples.discrete_vae.model import DiscreteVAE
from tfgumbel.objectives import importance_weighted_bound

# Chosen on validation images (README.md); others start from their functions' defaults, or 0.5.
TEMPERATURES = {
    "straight_through": 1.0,
    "straight_through_gumbel_softmax": 0.65,
    "gumbel_rao": 0.4,
}


@dataclasses.dataclass(frozen=True)
class Settings(RunSettings):
    """Everything that decides a run's result; see the flags in main.py for what each does."""

    binarization: str = "stochastic"
    estimator: str = "gumbel_rao"
    temperature: float | None = None
    anneal_rate: float = 0.0
    num_samples: int | str = "exact"
    program_samples: int | None = None
    arity: int = 8
    variables: int | None = None
    latent_bits: int = 240
    hidden_units: tuple[int, ...] = (400, 400)
    learned_prior: bool = False
    validation_samples: int = 100
    validation_images: int = 500
    eval_samples: int = 5_000
    eval_images: int | None = None

    def resolved(self):
        """These settings with the estimator's own temperature in place of None."""
        if self.temperature is not None:
            return self
        own = TEMPERATURES.get(self.estimator, own_temperature(self.estimator))
        return dataclasses.replace(self, temperature=own)

    @property
    def num_variables(self):
        """`variables`, or as many as have `latent_bits`."""
        if self.variables is not None:
            return self.variables
        bits = int(math.log2(self.arity))
        if 2**bits != self.arity or self.latent_bits % bits:
            raise RunError(
                "--arity must be a power of two whose bits divide --latent_bits; or give "
                f"--variables. Received: arity={self.arity}, latent_bits={self.latent_bits}."
            )
        return self.latent_bits // bits


def _architecture(settings, **changes):
    return {
        "estimator": functools.partial(Estimator.of, settings),
        "num_variables": settings.num_variables,
        "arity": settings.arity,
        "hidden_units": settings.hidden_units,
        "learned_prior": settings.learned_prior,
        **changes,
    }


class Training(training.Training):
    """One run of a `DiscreteVAE`.

    Args:
        settings: `Settings`.
        splits: `binary_images.Splits`, or None to load them.
    """

    def __init__(self, settings, splits=None):
        settings = settings.resolved()
        self.splits = splits or binary_images.load(
            settings.dataset,
            data_dir=settings.data_dir,
            binarization=settings.binarization,
            seed=settings.seed,
        )
        model = DiscreteVAE(
            self.splits.train.shape[1],
            **_architecture(settings),
            pixel_means=self.splits.pixel_means,
            seed=settings.seed,
        )
        super().__init__(model, self.mean_loss, self.splits.train, settings)
        self._log_weights = tf.function(model.log_weights, reduce_retracing=True)

    def mean_loss(self, images, seed):
        """Mean negative ELBO of training images as they are stored, in nats."""
        seeds = tf.random.split(seed, 2)
        images = self.splits.binarize(images, seeds[0])
        step = self.optimizer.iterations
        return tf.reduce_mean(self.model.negative_elbo(images, seeds[1], step))

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


def check(settings):
    """Raises a RunError that says why an estimator cannot train the model of these settings."""
    DiscreteVAE(1, **_architecture(settings.resolved(), hidden_units=()))


def run(settings, run_dir, *, splits=None, evaluate=True, on_validation=lambda trained: None):
    """Trains, validates, checkpoints; goes on where a killed run in `run_dir` stopped.

    Args:
        settings: `Settings`.
        run_dir: directory for settings.json, checkpoint.npz (the latest), best.npz (best on
            validation), TensorBoard events and result.json.
        splits: `binary_images.Splits`, or None to load them.
        evaluate: bool, whether to end with the bound on the test images.
        on_validation: callable (`Training`), called before each validation.

    Returns:
        trained: the `Training` with the weights that were best on validation.
        result: dict, as saved in result.json.
    """
    settings = settings.resolved()
    run_dir = claim(run_dir, decisive(settings))
    trained = Training(settings, splits)

    def validate():
        on_validation(trained)
        return trained.validate()

    name = settings.estimator
    seconds = trained.fit(
        run_dir, name=name, validate=validate, scalars=trained.model.estimator.scalars
    )
    if not evaluate:
        return trained, trained.finish(run_dir, seconds)
    images = binary_images.evenly_spaced(trained.splits.test, settings.eval_images)
    samples = settings.eval_samples
    with Progress(f"{name}, test", len(images) * samples, unit="draws") as progress:
        measured = training.tested(
            run_dir, lambda: trained.bounds(images, samples, on_draws=progress.advance)
        )
    return trained, trained.finish(run_dir, seconds, test_samples=samples, **measured)
