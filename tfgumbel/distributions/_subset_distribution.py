"""What the distributions over subsets of k classes share."""

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfgumbel.numerics import top_k


class SubsetDistribution(tfp.distributions.Distribution):
    """A distribution of k of the classes on the last axis of its logits; not to be used itself."""

    def __init__(
        self, logits: Any, k: int, dtype: Any, parameters: dict[str, Any], name: str
    ) -> None:
        """Checks logits and k.

        Args:
            logits: As the subclass takes them.
            k: Number of classes in a subset.
            dtype: Of the samples; None for that of the logits.
            parameters: The subclass's arguments, `dict(locals())` of its constructor.
            name: Name of the distribution's ops.
        """
        with tf.name_scope(name) as name:
            self._logits, self._k = top_k.checked(logits, k)
            super().__init__(
                dtype=self._logits.dtype if dtype is None else dtype,
                reparameterization_type=tfp.distributions.NOT_REPARAMETERIZED,
                validate_args=parameters["validate_args"],
                allow_nan_stats=parameters["allow_nan_stats"],
                parameters=parameters,
                name=name,
            )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict[str, Any]:
        return {
            "logits": tfp.util.ParameterProperties(event_ndims=1),
            "k": tfp.util.ParameterProperties(event_ndims=None),
        }

    @property
    def logits(self) -> tf.Tensor:
        """The logits, whose meaning is the subclass's."""
        return self._logits

    @property
    def k(self) -> int:
        """The number of classes in a subset."""
        return self._k

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([self.logits.shape[-1]])

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.constant([self.logits.shape[-1]])
