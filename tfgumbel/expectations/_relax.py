"""RELAX: a control variate of one's own, learned."""

from typing import Any

import keras
import tensorflow as tf

from tfgumbel.expectations import learning, relaxed_control
from tfgumbel.expectations._rebar import RebarParameters
from tfgumbel.expectations.program import Program
from tfgumbel.registry import LossEstimator, register


@keras.saving.register_keras_serializable(package="tfgumbel")
class RelaxControl(RebarParameters):
    """RELAX's control variate: REBAR's, plus a network of the scores, trained on the variance.

    Args:
        hidden: Units of the network's one hidden layer.
        temperature: Where REBAR's starts, a float > 0.
        scale: Where REBAR's starts; 0 leaves the network alone.
        **kwargs: Those of `keras.layers.Layer`.
    """

    def __init__(
        self, hidden: int = 50, temperature: float = 0.5, scale: float = 1.0, **kwargs: Any
    ):
        super().__init__(temperature=temperature, scale=scale, **kwargs)
        self.hidden = hidden
        self._network = keras.Sequential(
            [
                keras.layers.Dense(hidden, activation="tanh", dtype="float32"),
                # 0 at the start, where it is REBAR.
                keras.layers.Dense(1, kernel_initializer="zeros", dtype="float32"),
            ]
        )

    def build(self, scores_shape: Any) -> None:
        """Makes the network's weights; a model that is loaded from a file does so in its `build`.

        Args:
            scores_shape: (None, number of logits that one example has in all draws).
        """
        self._network.build(scores_shape)
        self.built = True

    def network(self, scores: list[tf.Tensor]) -> tf.Tensor:
        """The network at the scores of all sites, shape (rows,)."""
        flat = [tf.reshape(score, [tf.shape(score)[0], -1]) for score in scores]
        sizes = [score.shape[1:].num_elements() for score in scores]
        flat = [tf.ensure_shape(one, [None, size]) for one, size in zip(flat, sizes, strict=True)]
        joined = tf.concat([tf.cast(one, tf.float32) for one in flat], axis=-1)
        # A masked class has a score of -inf, a certain binary variable either infinity.
        return self._network(tf.clip_by_value(joined, -1e4, 1e4))[:, 0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "hidden": self.hidden}


@register(
    LossEstimator,
    bias="unbiased",
    use_when="rebar with a control variate that is learned; no cascades",
    reference="Grathwohl, Choi, Wu, Roeder & Duvenaud, ICLR 2018, eq. 10 and appendix C",
    cascades=False,
)
def relax(
    program: Program,
    *,
    seed: tf.Tensor,
    temperature: Any = 0.5,
    control: RelaxControl | None = None,
) -> tf.Tensor:
    """RELAX: REBAR with c(z) = eta f(softmax(z / temperature)) + r(z), r a network.

        (f(D) - c(z~)) grad log p(D) + grad c(z) - grad c(z~)

    with z the scores that decide D and z~ those given D. The network, scale and temperature are
    trained on the squared norm of the gradient (`control.losses`). Without a control it is REBAR
    of scale 1.

    Args:
        program: The program, run three times.
        seed: Int tensor of shape [2].
        temperature: Where there is no control, a positive scalar.
        control: A `tfgumbel.expectations.RelaxControl`, made once.

    Returns:
        value: Shape (batch,).

    Raises:
        ValueError: for a cascade.

    References: Grathwohl et al., "Backpropagation through the void", ICLR 2018, eq. 10.
    """
    if control is None:
        return relaxed_control.parts(
            "relax", program, seed, lambda scores, relaxation: relaxation.cost(scores, temperature)
        ).value(program)

    def evaluate(scores: list[tf.Tensor], relaxation: relaxed_control.Relaxation) -> tf.Tensor:
        costs = relaxation.cost(scores, control.temperature)
        network = tf.reshape(control.network(scores), tf.shape(costs))
        return tf.cast(control.scale, costs.dtype) * costs + tf.cast(network, costs.dtype)

    return learning.learn("relax", program, seed, control, lambda: evaluate)
