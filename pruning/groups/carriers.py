"""What the mask of a filter multiplies while it is learned: its kernel, or the scale behind it.

`BatchNormalization` divides by the standard deviation of its input, so a kernel times m is
normalised to the same output for every m but those close to 0:

    d/dm norm(m y) = 0 for a filter that is in, and y / sqrt(epsilon) for one that is out.

The gradient of such a mask says nothing of what the filter is worth. So the mask multiplies the
normalisation's `gamma` instead, `gamma m norm(y) + beta`, whose slope in m is the same at both
ends. At m = 0 and 1 the two are one: a filter of zeros leaves `beta`. Once the mask is fixed, it is
the kernel that it multiplies, as in the finished model.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from pruning.groups.graphs import graph_of
from pruning.groups.groups import Grid, Groups
from pruning.groups.targets import Target

CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)
# Their filters make a channel each, of the axis that batch normalisation calls its own. Those of a
# separable convolution's first part do not.
PRODUCERS = (keras.layers.Dense, *CONVOLUTIONS)
# They act on every entry alike, so that a constant channel stays one.
ELEMENTWISE = (
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
)


class Carriers:
    """The variables that masks multiply while they are learned.

    Args:
        model: the user's model.
        targets: whose filters are the groups.
        groups: their `Groups`, one for each filter.

    Attributes:
        variables: those of the targets, each followed by the one that carries its masks.
        scales: for each target the `gamma` that carries its masks, or None for the kernel itself.
        groups: the same groups, of what carries the masks.
    """

    def __init__(self, model: keras.Model, targets: Sequence[Target], groups: Groups):
        self.targets, self.kernels = tuple(targets), groups
        self.scales = [_scale(model, target) for target in targets]
        self.variables = [
            variable
            for target, scale in zip(self.targets, self.scales, strict=True)
            for variable in (target.variable, scale)
            if variable is not None
        ]
        self.groups = Groups(
            [
                grid if scale is None else Grid(tuple(scale.shape), (1,))
                for grid, scale in zip(groups.grids, self.scales, strict=True)
            ]
        )

    def weights(self, kernels: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """What the masks multiply."""
        pairs = zip(kernels, self.scales, strict=True)
        return [kernel if scale is None else tf.convert_to_tensor(scale) for kernel, scale in pairs]

    def pairs(
        self, kernels: Sequence[tf.Tensor], masked: Sequence[tf.Tensor], masks: Any
    ) -> list[tuple[keras.Variable, tf.Tensor]]:
        """Every variable with its masked value.

        Args:
            kernels: tensors of the targets.
            masked: `weights(kernels)` times the mask of the moment.
            masks: the `Masks`, whose scores are the mask once that is fixed.
        """
        fixed = masks.is_settled
        final = tf.where(fixed, tf.stop_gradient(tf.convert_to_tensor(masks.scores)), 1.0)
        values = []
        for scale, value, kernel in zip(
            self.scales, masked, self.kernels.multiply(final, kernels), strict=True
        ):
            if scale is None:
                values.append(value)
            else:
                values += [kernel, tf.where(fixed, tf.convert_to_tensor(scale), value)]
        return list(zip(self.variables, values, strict=True))


def _scale(model: keras.Model, target: Target) -> Any:
    """The `gamma` of the normalisation that alone reads what the target's layer gives, or None."""
    layer = target.layer
    if not isinstance(layer, PRODUCERS):
        return None
    graph = graph_of(model, layer)
    while not isinstance(layer, keras.layers.BatchNormalization):
        if graph is None or not (layer is target.layer or isinstance(layer, ELEMENTWISE)):
            return None
        layer = graph.reader(layer)
    first = getattr(target.layer, "data_format", None) == "channels_first"
    rank = layer.input_spec.ndim
    per_channel = layer.axis % rank == (1 if first else rank - 1)
    # A frozen normalisation uses its moving statistics, and leaves m its scale.
    return layer.gamma if per_channel and layer.scale and layer.trainable else None
