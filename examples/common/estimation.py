"""Bounds of programs of log weights by the estimator of a run: the settings, flags and layer."""

import dataclasses

import tensorflow as tf
from absl import flags

import tfgumbel
from examples.common.estimator import Estimator, own_temperature, parse_num_samples
from examples.common.files import RunError
from examples.common.settings import RunSettings


@dataclasses.dataclass(frozen=True)
class EstimatorSettings(RunSettings):
    """What a run depends on whose gradients are an estimator's; `define_flags` explains each."""

    estimator: str = "gumbel_rao"
    num_samples: int = 1
    objective: str = "bound"
    temperature: float | None = None
    anneal_rate: float = 0.0
    noise_samples: int | str = "exact"

    def resolved(self):
        """These settings with the estimator's own temperature, if it has one, in place of None."""
        if self.temperature is not None:
            return self
        return dataclasses.replace(self, temperature=own_temperature(self.estimator))


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
    flags.DEFINE_float(
        "anneal_rate",
        one.anneal_rate,
        "Of a temperature that falls as exp(-rate step) from 1 down to --temperature; 0: fixed.",
        lower_bound=0.0,
    )
    flags.DEFINE_string("noise_samples", "exact", 'Draws of Gumbel-Rao: a count, or "exact".')


def noise_samples(text):
    """What `--noise_samples` says: "exact" or an int."""
    return parse_num_samples(str(text), "--noise_samples")


class Estimation(Estimator):
    """The estimator of a run, for the bounds of a program of log weights.

    Args:
        settings: `EstimatorSettings`.
        num_features: Floating inputs of the program that one example has, for a baseline.
        num_logits: Logits that one example has in all draws, for a control variate.
    """

    def __init__(self, settings, *, num_features, num_logits):
        super().__init__(
            settings.estimator,
            num_features=num_features,
            num_scores=num_logits,
            temperature=settings.temperature,
            anneal_rate=settings.anneal_rate,
            num_samples=settings.noise_samples,
            program_samples=settings.num_samples,
        )
        self.settings = settings

    def bound(self, program, inputs, *, seed, step=0):
        """The bound of every example in nats, shape (batch,), with the estimator's gradient.

        Args:
            program: (draw, inputs) -> log weights, as `tfgumbel.multi_sample_bound` takes it.
            inputs: Of the program.
            seed: Int tensor of shape [2].
            step: Of the optimizer, for a temperature that is annealed.
        """
        # With one sample both are the same, and more estimators know the expectation.
        if self.settings.objective == "mean" or self.settings.num_samples == 1:
            return self.expectation(program, inputs, seed, step)
        return tfgumbel.multi_sample_bound(
            program,
            inputs,
            estimator=(self.estimator, self.options),
            num_samples=self.settings.num_samples,
            seed=seed,
            temperature=self.temperature_at(step),
        )

    def check_program(self, program, inputs):
        """Raises `RunError` if the estimator cannot train the program; leaves no trace.

        Args:
            program: As `bound` takes it.
            inputs: Of an example or two.
        """
        before = [tf.identity(variable) for variable in self.variables]
        try:
            self.bound(program, inputs, seed=tf.constant([0, 0]))
        except ValueError as error:
            raise RunError(
                f"--estimator={self.estimator} cannot train this model.\n{error}"
            ) from error
        for variable, value in zip(self.variables, before, strict=True):
            variable.assign(value)
