"""Any estimator of the registry for a program of draws: its temperature, and what it learns."""

import dataclasses

import keras
import tensorflow as tf
from absl import flags

import tfgumbel
from examples.common.files import RunError
from examples.common.settings import RunSettings
from tfgumbel.expectations import NVILBaseline, RebarParameters, RelaxControl
from tfgumbel.registry import REGISTRY
from tfgumbel.schedules import ExponentialTemperature

ESTIMATORS = tuple(name for name, entry in REGISTRY.items() if entry.differentiable)


@dataclasses.dataclass(frozen=True)
class EstimatorSettings(RunSettings):
    """What a run depends on whose gradients are an estimator's; `define_flags` explains each."""

    estimator: str = "gumbel_rao"
    num_samples: int = 1
    objective: str = "bound"
    temperature: float | None = None
    initial_temperature: float = 1.0
    anneal_rate: float = 0.0
    noise_samples: int | str = "exact"

    def resolved(self):
        """These settings with the estimator's own temperature in place of None."""
        if self.temperature is not None:
            return self
        parameter = REGISTRY[self.estimator].parameters.get("temperature")
        own = getattr(parameter, "default", None)
        return dataclasses.replace(self, temperature=own if isinstance(own, float) else 0.5)


def define_flags(defaults):
    """Defines the flags of `EstimatorSettings` beyond those of `RunSettings`, but `--estimator`."""
    one = defaults
    flags.DEFINE_integer("num_samples", one.num_samples, "Samples m of a step.", lower_bound=1)
    flags.DEFINE_enum(
        "objective",
        one.objective,
        ["bound", "mean"],
        "Of m samples: log of the mean weight, or mean of the log weights.",
    )
    flags.DEFINE_float("temperature", None, "None: the estimator's own, or 0.5.", lower_bound=0.0)
    flags.DEFINE_float("initial_temperature", one.initial_temperature, "Where annealing starts.")
    flags.DEFINE_float(
        "anneal_rate",
        one.anneal_rate,
        "r: the temperature is max(--temperature, --initial_temperature exp(-r step)); 0: fixed.",
        lower_bound=0.0,
    )
    flags.DEFINE_string("noise_samples", "exact", 'Draws of Gumbel-Rao: a count, or "exact".')


def noise_samples(value):
    """What `--noise_samples` says: "exact" or an int."""
    return value if value == "exact" else int(value)


class Estimation(keras.layers.Layer):
    """Estimates a bound by one estimator; holds what the estimator learns.

    As an attribute of a model, the weights and losses of a baseline or a control variate are the
    model's, and so trained, saved and restored with it.

    Args:
        settings: `EstimatorSettings`.
        num_features: Floating inputs of the program that one example has, for a baseline.
        num_logits: Logits that one example has in all draws, for a control variate.
    """

    def __init__(self, settings, *, num_features, num_logits):
        super().__init__()
        self.settings = settings = settings.resolved()
        self.learned = {}
        if settings.estimator == "reinforce_baseline":
            self.learned["baseline"] = self.baseline = tfgumbel.RunningMean()
        elif settings.estimator == "nvil":
            self.learned["baseline"] = self.baseline = NVILBaseline()
            self.baseline.build((None, num_features))
        elif settings.estimator == "rebar":
            self.learned["parameters"] = self.rebar = RebarParameters(settings.temperature)
        elif settings.estimator == "relax":
            self.learned["control"] = self.relax = RelaxControl(temperature=settings.temperature)
            self.relax.build((None, num_logits))
        self.built = True

    def temperature(self, step):
        """The temperature at an optimizer step."""
        settings = self.settings
        if not settings.anneal_rate:
            return settings.temperature
        # As often as Jang et al. changed it.
        return ExponentialTemperature(
            rate=settings.anneal_rate,
            floor=settings.temperature,
            initial=settings.initial_temperature,
            update_every=500,
        )(step)

    def bound(self, program, inputs, *, seed, step=0):
        """The bound of every example in nats, shape (batch,), with the estimator's gradient.

        Args:
            program: (draw, inputs) -> log weights, as `tfgumbel.multi_sample_bound` takes it.
            inputs: Of the program.
            seed: Int tensor of shape [2].
            step: Of the optimizer, for the temperature.
        """
        settings = self.settings
        entry = REGISTRY[settings.estimator]
        options = dict(self.learned)
        if entry.takes_temperature:
            options["temperature"] = self.temperature(step)
        if entry.acts_on == "sample" and "num_samples" in entry.parameters:
            options["num_samples"] = settings.noise_samples
        # With one sample both are the same, and more estimators know the expectation.
        of_weights = settings.objective == "bound" and settings.num_samples > 1
        estimate = tfgumbel.multi_sample_bound if of_weights else tfgumbel.expectation
        return estimate(
            program,
            inputs,
            estimator=(settings.estimator, options),
            num_samples=settings.num_samples,
            seed=seed,
        )

    def check(self, program, inputs):
        """Raises `RunError` if the estimator cannot train the program; leaves no trace.

        Args:
            program: As `bound` takes it.
            inputs: Of an example or two.
        """
        before = [tf.identity(variable) for variable in self.variables]
        try:
            self.bound(program, inputs, seed=tf.constant([0, 0]))
        except ValueError as error:
            raise RunError(f"--estimator={self.settings.estimator}: {error}") from error
        for variable, value in zip(self.variables, before, strict=True):
            variable.assign(value)
