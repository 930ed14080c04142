"""REBAR: the relaxed cost as control variate."""

from typing import Any

import keras
import tensorflow as tf

from tfgumbel.expectations import learning, relaxed_control
from tfgumbel.expectations.program import Program
from tfgumbel.internal import validation
from tfgumbel.registry import LossEstimator, register


@keras.saving.register_keras_serializable(package="tfgumbel")
class RebarParameters(learning.LearnedControl):
    """Scale and temperature of REBAR, trained to make its gradient's variance small.

    A Keras layer with two weights: make one in a model's constructor and pass it to every call,
    `expectation(..., estimator="rebar", parameters=self.rebar)`. Its loss, whose gradient reaches
    these two alone, is in `losses`, for the optimizer that trains the model or one of its own.

    Args:
        temperature: Where it starts, a float > 0.
        scale: Where it starts, a float.
        **kwargs: Those of `keras.layers.Layer`.
    """

    def __init__(self, temperature: float = 0.5, scale: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self._initial = {
            "temperature": validation.finite_number("temperature", temperature, positive=True),
            "scale": float(scale),
        }
        self._log_temperature = self.parameter("log_temperature", tf.math.log(temperature))
        self._scale = self.parameter("scale", scale)
        self.built = True

    @property
    def temperature(self) -> tf.Tensor:
        """The current temperature, float32."""
        return tf.exp(tf.convert_to_tensor(self._log_temperature))

    @property
    def scale(self) -> tf.Tensor:
        """The current scale, float32."""
        return tf.convert_to_tensor(self._scale)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._initial}


@register(
    LossEstimator,
    bias="unbiased",
    use_when="programs that accept relaxed samples, three runs to spend; no cascades",
    reference="Tucker, Mnih, Maddison, Lawson & Sohl-Dickstein, NeurIPS 2017, eq. 5 and 6",
    cascades=False,
)
def rebar(
    program: Program,
    *,
    seed: tf.Tensor,
    temperature: Any = 0.5,
    scale: Any = 1.0,
    parameters: RebarParameters | None = None,
) -> tf.Tensor:
    """REBAR: REINFORCE, less the relaxed cost given the sample, whose mean is reparameterised.

        (f(D) - eta f(S~)) grad log p(D) + eta grad f(S) - eta grad f(S~)

    with S = softmax(z / temperature) the relaxation of D = onehot(argmax z), and S~ that of the
    noise given D. Categorical and binary variables; the program must accept relaxed samples. The
    mean of all other rows' signals is taken off each.

    Args:
        program: The program, run three times.
        seed: Int tensor of shape [2].
        temperature: Of the relaxation, a positive scalar; unbiased at every one.
        scale: eta, a scalar; unbiased at every one.
        parameters: Both of them, learned, in place of the two above.

    Returns:
        value: Shape (batch,).

    Raises:
        ValueError: for a cascade.

    References: Tucker et al., "REBAR: low-variance, unbiased gradient estimates for discrete latent
    variable models", NeurIPS 2017, eq. 5 and 6, appendix C.
    """

    def control(temperature: Any, scale: Any) -> relaxed_control.Control:
        def evaluate(scores: list[tf.Tensor], relaxation: relaxed_control.Relaxation) -> tf.Tensor:
            costs = relaxation.cost(scores, temperature)
            return tf.cast(scale, costs.dtype) * costs

        return evaluate

    if parameters is None:
        return relaxed_control.parts("rebar", program, seed, control(temperature, scale)).value(
            program
        )
    return learning.learn(
        "rebar",
        program,
        seed,
        parameters,
        lambda: control(parameters.temperature, parameters.scale),
    )
