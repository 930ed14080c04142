"""The Hard Concrete distribution: a stretched binary Concrete with mass at 0 and at 1."""

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfgumbel.internal import random, validation

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


class HardConcrete(tfp.distributions.Distribution):
    """Gates in [0, 1], exactly 0 or 1 with positive probability (Louizos et al., ICLR 2018).

    With S a binary Concrete variable, sigmoid((logits + logistic noise) / temperature), a gate is
    clip(lower + (upper - lower) S, 0, 1). `prob` is the density for the measure that adds unit
    masses at 0 and 1 to Lebesgue's: the probabilities of 0 and 1 there, the density in between.
    Samples are reparameterised; `mean` and `variance` are 64-node Gauss-Legendre integrals of the
    survival function, good to 1e-6 for temperatures up to 5 and the default ends.

    >>> import tensorflow as tf
    >>> gates = HardConcrete(logits=[-1.0, 2.0])
    >>> print(gates.prob(0.0).numpy().round(4), gates.expected_l0().numpy().round(4))
    [0.3547 0.0266] [0.6453 0.9734]

    References:
        Louizos, Welling & Kingma, "Learning sparse neural networks through L0 regularization",
        ICLR 2018, eq. 10 to 12 and appendix on the density.
    """

    def __init__(
        self,
        logits: Any,
        temperature: Any = 2.0 / 3.0,
        lower: float = -0.1,
        upper: float = 1.1,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "HardConcrete",
    ) -> None:
        """Makes a batch of gates.

        Args:
            logits: Log odds of the gate being open, float32 or float64, any shape.
            temperature: Positive, broadcasting against `logits`.
            lower: Left end of the stretched interval, a Python number < 0.
            upper: Right end of the stretched interval, a Python number > 1.
            validate_args: Whether to check that samples passed in lie in [0, 1], at run time.
            allow_nan_stats: As for every TFP distribution.
            name: Name of the distribution's ops.

        Raises:
            ValueError: if the interval does not reach beyond [0, 1] on both sides.
        """
        parameters = dict(locals())
        validation.stretched_interval(lower, upper)
        with tf.name_scope(name) as name:
            self._logits = tf.convert_to_tensor(logits, name="logits")
            self._temperature = tf.convert_to_tensor(
                temperature, dtype=self._logits.dtype, name="temperature"
            )
            self._lower = float(lower)
            self._upper = float(upper)
            super().__init__(
                dtype=self._logits.dtype,
                reparameterization_type=tfp.distributions.FULLY_REPARAMETERIZED,
                validate_args=validate_args,
                allow_nan_stats=allow_nan_stats,
                parameters=parameters,
                name=name,
            )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict[str, Any]:
        return {
            "logits": tfp.util.ParameterProperties(),
            "temperature": tfp.util.ParameterProperties(
                default_constraining_bijector_fn=lambda: tfp.bijectors.Softplus()
            ),
        }

    @property
    def logits(self) -> tf.Tensor:
        """Log odds of the gate being open."""
        return self._logits

    @property
    def temperature(self) -> tf.Tensor:
        """Temperature of the Concrete variable."""
        return self._temperature

    @property
    def lower(self) -> float:
        """Left end of the stretched interval."""
        return self._lower

    @property
    def upper(self) -> float:
        """Right end of the stretched interval."""
        return self._upper

    def expected_l0(self) -> tf.Tensor:
        """The probability that a gate is not 0 (eq. 12), in the batch shape."""
        return tf.sigmoid(self.logits - self.temperature * self._log_odds(0.0))

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.constant([], tf.int32)

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        shape = tf.concat([[n], self.batch_shape_tensor()], axis=0)
        seed = tfp.random.sanitize_seed(seed, salt="hard_concrete")
        noise = tf.cast(random.logistic(shape, seed, self.dtype), self.dtype)
        return self._gate(self.logits + noise)

    def _quantile(self, value: tf.Tensor) -> tf.Tensor:
        return self._gate(self.logits + tf.math.log(value) - tf.math.log1p(-value))

    def _log_prob(self, value: tf.Tensor) -> tf.Tensor:
        inside = (value > 0.0) & (value < 1.0)
        # A safe place to differentiate at where the density is not the answer.
        relaxed = (tf.where(inside, value, 0.5) - self.lower) / (self.upper - self.lower)
        odds = tf.math.log(relaxed) - tf.math.log1p(-relaxed)
        score = self.temperature * odds - self.logits
        density = (
            tf.math.log(self.temperature / (self.upper - self.lower))
            + tf.math.log_sigmoid(score)
            + tf.math.log_sigmoid(-score)
            - tf.math.log(relaxed)
            - tf.math.log1p(-relaxed)
        )
        closed = tf.math.log_sigmoid(self.temperature * self._log_odds(0.0) - self.logits)
        opened = tf.math.log_sigmoid(self.logits - self.temperature * self._log_odds(1.0))
        outside = tf.constant(-math.inf, self.dtype)
        log_prob = tf.where(value == 1.0, opened, outside)
        log_prob = tf.where(value == 0.0, closed, log_prob)
        return tf.where(inside, density, log_prob)

    def _cdf(self, value: tf.Tensor) -> tf.Tensor:
        odds = self._log_odds(tf.clip_by_value(value, 0.0, 1.0))
        below = tf.sigmoid(self.temperature * odds - self.logits)
        below = tf.where(value < 0.0, tf.zeros_like(below), below)
        return tf.where(value >= 1.0, tf.ones_like(below), below)

    def _mean(self) -> tf.Tensor:
        return self._moment(np.ones_like(_NODES))

    def _variance(self) -> tf.Tensor:
        return self._moment(_NODES + 1.0) - tf.square(self._mean())

    def _moment(self, factor: np.ndarray) -> tf.Tensor:
        """The integral over z in [0, 1] of `factor` (at the nodes) times P(gate > z)."""
        odds = tf.cast(self._log_odds(tf.constant(0.5 * (_NODES + 1.0), tf.float64)), self.dtype)
        survival = tf.sigmoid(
            self.logits[..., tf.newaxis] - self.temperature[..., tf.newaxis] * odds
        )
        return tf.tensordot(survival, tf.constant(0.5 * _WEIGHTS * factor, self.dtype), 1)

    def _gate(self, scores: tf.Tensor) -> tf.Tensor:
        relaxed = tf.sigmoid(scores / self.temperature)
        return tf.clip_by_value(self.lower + (self.upper - self.lower) * relaxed, 0.0, 1.0)

    def _log_odds(self, value: Any) -> Any:
        """logit((value - lower) / (upper - lower))."""
        if isinstance(value, float):
            return math.log((value - self.lower) / (self.upper - value))
        return tf.math.log((value - self.lower) / (self.upper - value))

    def _sample_control_dependencies(self, value: tf.Tensor) -> list[tf.Operation]:
        if not self.validate_args:
            return []
        return [
            tf.debugging.assert_non_negative(value, message="a gate lies in [0, 1]"),
            tf.debugging.assert_less_equal(value, tf.ones_like(value), message="in [0, 1]"),
        ]
