"""Moving statistics of batch normalisation, renewed once the mask is fixed."""

from typing import Any

import keras
import tensorflow as tf

from pruning.groups.targets import iterate_layers

# The least of a moving variance that one update may leave of it: rounding could make it 0.
LEAST = 1e-4


class MovingStatistics:
    """Renews the moving mean and variance of every `BatchNormalization` in a model.

    While masks are drawn at random, layers normalise what noise made of their inputs; a fixed mask
    leaves them other means and variances. At a momentum of .99 the old ones would linger for
    hundreds of steps. So from the first step with the fixed mask on, the n-th batch (n = 0, 1, ...)
    has a share of

        max(1 - momentum, 2 / (n + 2))

    in the moving value instead of 1 - momentum: the first takes its place, later ones weigh more
    than earlier ones, and once the layer's own share is larger, the layer's is used.

    Args:
        model: the user's model.
    """

    def __init__(self, model: keras.Model):
        self._layers: dict[int, tuple[Any, bool]] = {}
        for layer in iterate_layers(model):
            if isinstance(layer, keras.layers.BatchNormalization) and layer.built:
                self._layers[id(layer.moving_mean)] = layer, False
                self._layers[id(layer.moving_variance)] = layer, True

    def renewed(self, variable: Any, value: Any, batches: tf.Tensor) -> Any:
        """What to assign where the model would assign `value` in a training step.

        Args:
            variable: one of the model's.
            value: the model's own new value of it.
            batches: how many were seen with the fixed mask; below 0 while it is not fixed.
        """
        if id(variable) not in self._layers:
            return value
        layer, is_variance = self._layers[id(variable)]
        if not 0.0 < layer.momentum < 1.0:
            return value
        old = tf.convert_to_tensor(variable)
        own = 1.0 - layer.momentum
        share = tf.maximum(own, 2.0 / (tf.cast(batches, tf.float32) + 2.0))
        share = tf.cast(tf.where(batches < 0, own, share), old.dtype)
        moved = old + (value - old) * (share / own)
        return tf.maximum(moved, LEAST * old) if is_variance else moved
