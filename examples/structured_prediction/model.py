"""A belief network for the lower half of a binary image, given the upper half."""

import keras
import numpy as np
import tensorflow as tf

from examples.common.belief_networks import bernoulli_log_likelihood, conditional, make_units
from examples.common.estimation import Estimation


class BeliefNetwork(keras.Model):
    """Stochastic layers between the two halves of an image.

        p(lower | upper) = E[ p(lower | h_L) ],    h_1 ~ p(h_1 | upper), h_2 ~ p(h_2 | h_1), ...

    Its program's log weight is log p(lower | h_L), so that the multi-sample bound, log (1/m) Sum_k
    p(lower | h_L^k), is from below on log p(lower | upper) (Raiko et al. 2015; Jang et al. 2017,
    section 4.1; Maddison et al. 2017).

    Args:
        pixel_means: array of shape (num_pixels,): the training images' means, taken from the input
            and used as the last map's first guess.
        settings: `train.Settings`: variables, layers, classes, nonlinear, seed, and the estimator.
    """

    def __init__(self, pixel_means, settings, **kwargs):
        super().__init__(**kwargs)
        upper, lower = np.split(np.asarray(pixel_means), 2)
        self.upper_means = tf.constant(upper, self.compute_dtype)
        self.units = [make_units(settings.variables, n, settings.classes) for n in settings.layers]
        sizes = [units.num_logits for units in self.units]
        self.maps = [
            conditional(
                num_inputs,
                num_outputs,
                hidden_units=(settings.layers[0],) * 2 if settings.nonlinear else (),
                seed=settings.seed + 10 * index,
                output_means=lower if index == len(sizes) else None,
            )
            for index, (num_inputs, num_outputs) in enumerate(
                zip([len(upper), *sizes], [*sizes, len(lower)], strict=True)
            )
        ]
        self.estimation = Estimation(
            settings, num_features=len(upper) + len(lower) + sizes[0], num_logits=sum(sizes)
        )
        self.built = True

    def inputs(self, images):
        """What the program takes: the halves of images of 0 and 1, and the first layer's logits.

        The logits are the same for every sample of an image, so they are computed here, once.
        """
        upper, lower = tf.split(tf.cast(images, self.compute_dtype), 2, axis=-1)
        return {"upper": upper, "lower": lower, "logits": self.maps[0](upper - self.upper_means)}

    def lower_logits(self, draw, logits):
        """Draws the layers, top down, and returns the logits of the lower half's pixels."""
        for units, to_next in zip(self.units, self.maps[1:], strict=True):
            logits = to_next(units.code(draw(units.distribution(logits))))
        return logits

    def log_weights(self, draw, inputs):
        """The program: log p(lower | h_L), in nats, of one drawing of the layers."""
        return bernoulli_log_likelihood(inputs["lower"], self.lower_logits(draw, inputs["logits"]))
