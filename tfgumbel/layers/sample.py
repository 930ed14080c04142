"""Samples of a continuous distribution, with its parameters from the inputs."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, get_args

import keras
import tensorflow as tf

from tfgumbel.distributions import abilities, pathwise
from tfgumbel.internal import validation
from tfgumbel.layers.base import checked_seed, next_seed
from tfgumbel.layers.kl_divergence import ChargingLayer

SampleInference: TypeAlias = Literal["sample", "mean"]


@keras.saving.register_keras_serializable(package="tfgumbel")
class SampleLayer(ChargingLayer):
    """Draws from a TensorFlow Probability distribution, pathwise: the Gaussian of a VAE, say.

    The inputs hold the distribution's parameters without constraints, one after the other on the
    last axis, in the order of `layer.parameters`: `SampleLayer("Normal")` makes d samples of 2 d
    inputs. Each is mapped to where it may be by TFP's own bijector for it, a scale by softplus.
    Gradients are TFP's: of the sample as a function of the parameters and the noise, explicitly
    (Normal, Laplace, ...) or implicitly (Gamma, Beta, Dirichlet, StudentT); unbiased. Those of Beta
    and Dirichlet stay finite where concentrations are so small that samples underflow to 0.

    With a prior, the divergence KL(q || p) goes into the metric `<name>_kl`, and with `kl_weight`
    into the losses: a sum over all axes but the first, a mean over the batch, in nats. Where TFP
    has no closed form it is log q(z) - log p(z) of the sample.

    Args:
        distribution: A class in `tfp.distributions`, or its name; or a function of the inputs that
            returns a distribution. To be saved, such a function must be registered with
            `keras.saving.register_keras_serializable`.
        prior: Parameters of a distribution of the same class, by name; or a pair (name, parameters)
            of another; numbers, or nested lists that broadcast. None: no divergence.
        kl_weight: Weight, >= 0, of the divergence in the losses; None for the metric alone. It is a
            weight of the layer, so a callback can warm it up: `layer.kl_weight = 0.1`.
        free_bits: Nats, >= 0, up to which the divergence of each variable, a mean over the batch,
            costs the same: the loss has the larger of the two, the metric the divergence.
        inference: What is returned when not training: "sample", the default; or "mean".
        seed: Int, or None for a random one. Where the noise stands is a weight, `seed_state`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Floating, shape (batch, ..., number of parameters * d). Computed in float32, or
            float64, whatever the dtype policy.
        training: Whether to draw (True), or do as `inference` says.

    Returns:
        sample: Shape (batch, ..., d), in the layer's compute dtype.

    Raises:
        TypeError: if `distribution` or `seed` is of another type.
        ValueError: if there is no such distribution, it is not reparameterized or has parameters
            that are matrices, or a number is wrong; when saved, if a function is not registered.

    >>> import tensorflow as tf
    >>> layer = SampleLayer("Gamma", prior={"concentration": 1.0, "rate": 1.0}, seed=0)
    >>> layer.parameters
    ('concentration', 'rate')
    >>> sample = layer(tf.zeros([2, 8]), training=True)
    >>> tuple(sample.shape), bool(tf.reduce_all(sample > 0.0))
    ((2, 4), True)

    References:
        Kingma & Welling, ICLR 2014, section 2.4; Figurnov, Mohamed & Mnih, NeurIPS 2018, eq. 5;
        Kingma, Salimans, Jozefowicz, Chen, Sutskever & Welling, NeurIPS 2016, eq. 15 (free bits).
    """

    def __init__(
        self,
        distribution: Any,
        prior: Mapping[str, Any] | tuple[str, Mapping[str, Any]] | None = None,
        kl_weight: float | None = None,
        free_bits: float = 0.0,
        inference: SampleInference = "sample",
        seed: int | None = None,
        **kwargs: Any,
    ):
        chosen = None if _is_function(distribution) else _class(distribution)
        prior = tuple(prior) if isinstance(prior, list) else prior  # as in a file
        parsed = _prior(prior, chosen)
        if kl_weight is not None and parsed is None:
            raise ValueError(
                validation.describe(
                    "`kl_weight` has nothing to weigh.",
                    expected="a prior, or no weight",
                    received=kl_weight,
                    fix='pass prior={"loc": 0.0, "scale": 1.0}, say',
                )
            )
        super().__init__(kl_weight, free_bits, measured=parsed is not None, **kwargs)
        self._class, self.prior, self._prior = chosen, prior, parsed
        self._function: Callable[[Any], Any] | None = None if chosen else distribution
        self.parameters: tuple[str, ...] = _parameters(chosen) if chosen else ()
        self.inference = validation.one_of("inference", inference, get_args(SampleInference))
        self.seed = checked_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        # As an attribute of the layer, and not of the generator alone, the state is a weight.
        self.seed_state = self.seed_generator.state

    def build(self, input_shape: Any) -> None:
        if self._class is not None:
            count, size = len(self.parameters), input_shape[-1] if input_shape else None
            if size is None or size % count:
                raise ValueError(
                    validation.describe(
                        f"The inputs of layer {self.name!r} do not hold its parameters.",
                        expected=f"a last axis that {count} divides: " + ", ".join(self.parameters),
                        received=f"shape {tuple(input_shape)}",
                        fix=f"keras.layers.Dense({count} * size) before it",
                    )
                )
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> tf.Tensor:
        distribution = self.distribution(inputs)
        draws = training or self.inference == "sample" or self._prior is not None
        sample = pathwise.sample(distribution, self._next_seed()) if draws else None
        self._add_divergence(distribution, sample)
        if not training and self.inference == "mean":
            sample = distribution.mean()
        shape = distribution.batch_shape.concatenate(distribution.event_shape)
        return tf.cast(tf.ensure_shape(sample, shape), self.compute_dtype)

    def _next_seed(self) -> tf.Tensor:
        return tf.cast(next_seed(self.seed_generator), tf.int32)  # TFP's dtype of seeds

    def distribution(self, inputs: Any) -> Any:
        """The TFP distribution that the layer draws from.

        Args:
            inputs: As in a call.

        Returns:
            distribution: Batch shape (batch, ..., d); of a multivariate class d is the event's.

        Raises:
            ValueError: if a function returned one that is not reparameterized.
        """
        inputs = validation.floating_tensor("inputs", inputs)
        inputs = tf.cast(inputs, validation.compute_dtype(inputs.dtype))
        if self._class is None:
            distribution = self._function(inputs) if self._function else None
            if not abilities.is_reparameterized(distribution):
                raise ValueError(_not_reparameterized(type(distribution).__name__))
            return distribution
        properties = self._class.parameter_properties(dtype=inputs.dtype)
        parts = tf.split(inputs, len(self.parameters), axis=-1)
        return self._class(
            **{
                name: properties[name].default_constraining_bijector_fn()(part)
                for name, part in zip(self.parameters, parts, strict=True)
            }
        )

    def _add_divergence(self, distribution: Any, sample: tf.Tensor) -> None:
        if self._prior is None:
            return
        prior = self._prior(distribution.dtype)
        try:
            divergence = abilities.kl_divergence(distribution, prior)
        except NotImplementedError:  # TFP's, where it knows no closed form.
            divergence = distribution.log_prob(sample) - prior.log_prob(sample)
        self._charge(divergence)

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self._class is None:
            shapes = []

            def trace(inputs: tf.Tensor) -> None:
                found = self.distribution(inputs)
                shapes.append(found.batch_shape.concatenate(found.event_shape))

            tf.function(trace).get_concrete_function(tf.TensorSpec(input_shape, tf.float32))
            return tuple(shapes[0])
        return (*input_shape[:-1], input_shape[-1] // len(self.parameters))

    def compute_output_spec(self, inputs: Any, *args: Any, **kwargs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "distribution": self._class.__name__ if self._class else _registered(self._function),
            "prior": self.prior,
            "inference": self.inference,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SampleLayer":
        if isinstance(config["distribution"], dict):
            function = keras.saving.deserialize_keras_object(config["distribution"])
            config = {**config, "distribution": function}
        return cls(**config)


def _is_function(distribution: Any) -> bool:
    return callable(distribution) and not isinstance(distribution, type)


def _class(distribution: Any) -> Any:
    """The class of a name, or the class itself."""
    name = distribution if isinstance(distribution, str) else getattr(distribution, "__name__", "")
    found = abilities.distribution_class(name)
    if found is None or not (isinstance(distribution, str) or found is distribution):
        kind = ValueError if isinstance(distribution, str) else TypeError
        raise kind(
            validation.describe(
                "`distribution` is none of tfp.distributions.",
                expected="the name of a class there, the class, or a function of the inputs",
                received=distribution,
                fix='SampleLayer("Normal"), say',
            )
        )
    return found


def _parameters(distribution: Any) -> tuple[str, ...]:
    """The names of what the inputs hold, in the order of the constructor."""
    try:
        properties = distribution.parameter_properties(dtype=tf.float32)
        chosen = [name for name, item in properties.items() if item.is_tensor]
        # Of two names for one, a rate and its logarithm, the first of the constructor.
        chosen = [name for name in chosen if not _spelled_otherwise(name, chosen)]
        fits = all(
            properties[name].event_ndims in (0, 1)
            and properties[name].default_constraining_bijector_fn().forward_event_shape([6]) == [6]
            for name in chosen
        )
    except NotImplementedError:
        fits = False
    if not fits or not chosen:
        raise ValueError(
            validation.describe(
                f"A {distribution.__name__} cannot be made from a vector of parameters.",
                expected="a distribution whose parameters are of the sample's size, free but for "
                "their sign",
                received=distribution.__name__,
                fix="pass a function of the inputs that makes it, registered with "
                "keras.saving.register_keras_serializable",
            )
        )
    example = distribution(**{name: tf.ones([2]) for name in chosen})
    if not abilities.is_reparameterized(example):
        raise ValueError(_not_reparameterized(distribution.__name__))
    return tuple(chosen)


def _spelled_otherwise(name: str, names: list[str]) -> bool:
    return name.startswith("log_") and name.removeprefix("log_") in names


def _not_reparameterized(name: str) -> str:
    return validation.describe(
        f"A {name} is not reparameterized: its samples carry no gradient.",
        expected="a distribution with FULLY_REPARAMETERIZED samples",
        received=name,
        fix="draw it in a program, with tfgumbel.expectation(..., estimator='reinforce_loo'); for "
        "discrete variables there is tfgumbel.CategoricalLayer",
    )


def _prior(prior: Any, own: Any) -> Callable[[Any], Any] | None:
    """A function of the dtype that makes the prior."""
    if prior is None:
        return None
    if not isinstance(prior, Mapping):
        name, parameters = prior
        kind = _class(name)
    elif own is not None:
        kind, parameters = own, prior
    else:
        raise ValueError(
            validation.describe(
                "`prior` does not say which distribution.",
                expected="a pair (name, parameters), beside a function",
                received=prior,
                fix='("Normal", {"loc": 0.0, "scale": 1.0}), say',
            )
        )
    return lambda dtype: kind(
        **{name: tf.constant(value, dtype) for name, value in parameters.items()}
    )


def _registered(function: Any) -> Any:
    """The function's configuration; no lambda, whose code would have to be saved."""
    name = keras.saving.get_registered_name(function)
    if keras.saving.get_registered_object(name) is not function:
        raise ValueError(
            validation.describe(
                "The layer's function cannot be saved.",
                expected="a function registered with keras.saving.register_keras_serializable",
                received=function,
                fix='@keras.saving.register_keras_serializable(package="mine") above its def',
            )
        )
    return keras.saving.serialize_keras_object(function)
