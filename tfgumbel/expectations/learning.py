"""Control variates that learn: Keras layers, trained on the variance of the gradient they serve."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfgumbel.expectations import relaxed_control
from tfgumbel.expectations.program import Program
from tfgumbel.expectations.score_function import without_value


class LearnedControl(keras.layers.Layer):
    """Holds a control variate's weights, and its loss after a call of `expectation`."""

    def parameter(self, name: str, value: Any) -> keras.Variable:
        """Makes a scalar weight that keeps float32 under every dtype policy."""
        return self.add_weight(
            name=name,
            shape=(),
            initializer=keras.initializers.Constant(float(value)),
            dtype="float32",
            autocast=False,
        )

    def call(self, loss: tf.Tensor) -> tf.Tensor:
        self.add_loss(loss)
        return loss


def learn(
    name: str,
    program: Program,
    seed: tf.Tensor,
    layer: LearnedControl,
    control: Callable[[], relaxed_control.Control],
) -> tf.Tensor:
    """The value of an estimator, and as a loss of `layer` the squared norm of its gradient.

    The loss's gradient reaches the layer's weights alone: it is taken here, and its value is 0.

    Args:
        name: The estimator's, for errors.
        program: To run.
        seed: Int tensor of shape [2].
        layer: What learns.
        control: Makes the control variate from the layer's weights as they are read then.
    """
    with tf.GradientTape() as outer:
        with tf.GradientTape(persistent=True) as inner:
            parts = relaxed_control.parts(name, program, seed, control(), inner)
        square = parts.squared_gradient(inner)
    weights = layer.trainable_variables  # made by now
    slopes = outer.gradient(square, [w.value for w in weights], unconnected_gradients="zero")
    loss = sum(
        tf.reduce_sum(tf.stop_gradient(slope) * without_value(tf.convert_to_tensor(weight)))
        for slope, weight in zip(slopes, weights, strict=True)
    )
    layer(tf.convert_to_tensor(loss))
    return parts.value(program)
