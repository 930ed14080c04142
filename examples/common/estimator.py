"""The estimator of a run: its flags, its options, and what it learns."""

import math

import keras
import tensorflow as tf
from absl import flags

import tfgumbel
from examples.common.files import RunError
from tfgumbel.distributions.abilities import VARIABLES
from tfgumbel.expectations import NVILBaseline, RebarParameters, RelaxControl
from tfgumbel.registry import REGISTRY
from tfgumbel.schedules import ExponentialTemperature

# Estimators with a gradient, of variables that a program can draw, by name.
NAMES = tuple(
    name
    for name, entry in REGISTRY.items()
    if entry.differentiable and not set(VARIABLES).isdisjoint(entry.variables)
)
# Where a function has no default of its own.
DEFAULT_TEMPERATURE = 0.5


def define_flags(defaults):
    """Defines the flags of the fields that `Estimator.of` reads, but for `--estimator`.

    Args:
        defaults: settings, of which the flags' defaults are taken.
    """
    flags.DEFINE_float(
        "temperature", None, "Temperature; none: the estimator's own.", lower_bound=0.0
    )
    flags.DEFINE_float(
        "anneal_rate",
        defaults.anneal_rate,
        "Of a temperature that falls as exp(-rate step) from 1 down to --temperature; 0: fixed.",
        lower_bound=0.0,
    )
    flags.DEFINE_string(
        "num_samples", str(defaults.num_samples), 'Draws of Gumbel-Rao: a count, or "exact".'
    )
    flags.DEFINE_integer(
        "program_samples",
        defaults.program_samples,
        "Samples of each example; none: as few as the estimator needs.",
        lower_bound=1,
    )


def own_temperature(name):
    """The temperature that an estimator starts with, float, or None if it has none."""
    entry = REGISTRY[name]
    if not entry.takes_temperature:
        return None
    own = entry.parameters["temperature"].default
    return own if isinstance(own, float) else DEFAULT_TEMPERATURE


def halving_rate(steps):
    """An `--anneal_rate` at which a temperature falls from 1 to 0.5 in two thirds of the steps."""
    return float(f"{math.log(2.0) / (2.0 / 3.0 * steps):.2g}")


def parse_num_samples(text, flag="--num_samples"):
    """A flag's text as an int, or "exact"."""
    if text == "exact":
        return text
    try:
        return int(text)
    except ValueError as error:
        raise RunError(f'{flag} must be a count or "exact". Received: {text!r}') from error


class Estimator(keras.layers.Layer):
    """`tfgumbel.expectation` by the estimator of a run, for programs of one shape of inputs.

    A layer, since an estimator may learn: a running mean, a baseline network, a control variate. As
    an attribute of a model it is saved with it, and its losses are among the model's.

    Args:
        name: in `NAMES`.
        temperature: float, of estimators that have one (where REBAR's and RELAX's start to learn);
            None for their own.
        anneal_rate: float >= 0, of a temperature that falls from 1, or from `temperature` if that
            is higher: max(temperature, exp(-anneal_rate step)).
        num_samples: int or "exact", the draws of Gumbel-Rao.
        program_samples: int, the samples of each example; None for as few as are needed.
        num_features: int, floating inputs that one example of the program has.
        num_scores: int, logits that one example has in all draws.

    Raises:
        RunError: if a temperature is to be annealed that the estimator does not take, or learns.
    """

    def __init__(
        self,
        name,
        *,
        num_features,
        num_scores,
        temperature=None,
        anneal_rate=0.0,
        num_samples="exact",
        program_samples=None,
    ):
        super().__init__()
        entry = REGISTRY[name]
        self.estimator = name
        self.variables_drawn = entry.variables
        self.program_samples = program_samples or getattr(entry, "min_samples", 1)
        self.options = {}
        if "noise" in entry.parameters:
            # Independent as in the papers, beside whose tables the results stand.
            self.options = {"num_samples": num_samples, "noise": "independent"}
        temperature = own_temperature(name) if temperature is None else temperature
        if name == "reinforce_baseline":
            self.options["baseline"] = tfgumbel.RunningMean()
        elif name == "double_control_variates":
            self.options["scale"] = tfgumbel.RunningMean(shape=(2,))
        elif name == "nvil":
            self.options["baseline"] = NVILBaseline()
            self.options["baseline"].build([None, num_features])
        elif name == "rebar":
            self.options["parameters"] = RebarParameters(temperature)
        elif name == "relax":
            self.options["control"] = RelaxControl(temperature=temperature)
            self.options["control"].build([None, num_scores])
        takes = entry.takes_temperature and name not in ("rebar", "relax")
        self.schedule = None
        if anneal_rate:
            if not takes:
                raise RunError(f"{name} has no temperature to anneal: leave out --anneal_rate.")
            self.schedule = ExponentialTemperature(
                anneal_rate, floor=temperature, initial=max(1.0, temperature)
            )
        self.temperature = temperature if takes else None
        # Under a name of its own, so that Keras finds it whatever it does with a dict.
        self.learned = next(
            (one for one in self.options.values() if isinstance(one, keras.layers.Layer)), None
        )
        self.built = True

    @classmethod
    def of(cls, settings, *, num_features, num_scores):
        """The estimator of a run's settings, from their fields of the arguments' names."""
        return cls(
            settings.estimator,
            num_features=num_features,
            num_scores=num_scores,
            temperature=settings.temperature,
            anneal_rate=settings.anneal_rate,
            num_samples=settings.num_samples,
            program_samples=settings.program_samples,
        )

    def expectation(self, program, inputs, seed, step=0):
        """`tfgumbel.expectation(program, inputs, ...)`, shape (batch,).

        Args:
            program: callable (draw, inputs) -> cost.
            inputs: of the program.
            seed: int tensor of shape [2].
            step: int scalar, steps taken, for a temperature that is annealed.
        """
        return tfgumbel.expectation(
            program,
            inputs,
            estimator=(self.estimator, self.options),
            num_samples=self.program_samples,
            seed=seed,
            temperature=self.temperature_at(step),
        )

    def temperature_at(self, step):
        """The temperature after `step` steps, None of an estimator that takes none."""
        return self.temperature if self.schedule is None else self.schedule(step)

    def scalars(self, step):
        """What is to be seen of it in TensorBoard, a dict: the temperature, if it takes one."""
        temperature = self.temperature_at(step)
        return {} if temperature is None else {"temperature": float(temperature)}

    def check(self, draw_shapes, binary=False):
        """Raises a RunError that says what the estimator lacks for draws of these shapes.

        Args:
            draw_shapes: of the logits of each draw, without the batch.
            binary: bool, whether they are log odds of binary variables.
        """

        def program(draw, inputs):
            samples = [draw(as_distribution(logits, binary)) for logits in inputs]
            return tf.add_n([tf.reduce_sum(one, range(1, one.shape.rank)) for one in samples])

        inputs = [tf.zeros([1, *shape]) for shape in draw_shapes]
        options = {
            name: value
            for name, value in self.options.items()
            if not isinstance(value, keras.layers.Layer)
        }
        try:
            tfgumbel.expectation(
                program,
                inputs,
                estimator=(self.estimator, options),
                num_samples=self.program_samples,
                seed=0,
                temperature=self.temperature,
            )
        except ValueError as error:
            raise RunError(
                f"--estimator={self.estimator} cannot train this model.\n{error}"
            ) from error


def as_distribution(logits, binary):
    """What to draw from: logits of classes as they are, log odds as a Bernoulli."""
    if not binary:
        return logits
    from tensorflow_probability import distributions as tfd  # takes seconds, so only if needed

    return tfd.Bernoulli(logits=logits)
