"""A belief network for binary images, with a network of the same form for its posterior."""

import keras
import numpy as np
import tensorflow as tf

from examples.common.belief_networks import bernoulli_log_likelihood, conditional, make_units
from examples.common.estimation import Estimation


class BeliefNetwork(keras.Model):
    """Stochastic layers h_1 .. h_L above an image x, the last with a prior that is learned.

        p(x, h) = p(h_L) prod_l p(h_l | h_l+1) p(x | h_1)
        q(h | x) = q(h_1 | x) prod_l q(h_l+1 | h_l)

    Its program's log weight is log p(x, h) - log q(h | x), written once: under a relaxed estimator
    all densities are relaxed, those of q at the estimator's temperature, those of p at
    `prior_temperature` (Maddison et al. 2017, eq. 20 to 24).

    Args:
        pixel_means: array of shape (num_pixels,): the training images' means, taken from the input
            and used as the last map's first guess.
        settings: `train.Settings`: variables, layers, classes, nonlinear, prior_temperature, seed,
            and the estimator. The first of the layers is the one next to the image.
    """

    def __init__(self, pixel_means, settings, **kwargs):
        super().__init__(**kwargs)
        self.pixel_means = tf.constant(np.asarray(pixel_means), self.compute_dtype)
        self.prior_temperature = settings.prior_temperature
        self.units = [make_units(settings.variables, n, settings.classes) for n in settings.layers]
        num_pixels = len(pixel_means)
        sizes = [num_pixels, *(units.num_logits for units in self.units)]

        def make_map(num_inputs, num_outputs, offset, output_means=None):
            return conditional(
                num_inputs,
                num_outputs,
                hidden_units=(settings.layers[0],) * 2 if settings.nonlinear else (),
                seed=settings.seed + offset,
                output_means=output_means,
            )

        # Upwards to h_1, h_2, ..., and downwards to x, h_1, ...
        self.encoders = [
            make_map(lower, upper, 10 * index)
            for index, (lower, upper) in enumerate(zip(sizes[:-1], sizes[1:], strict=True))
        ]
        self.decoders = [
            make_map(upper, lower, 1000 + 10 * index, None if index else pixel_means)
            for index, (lower, upper) in enumerate(zip(sizes[:-1], sizes[1:], strict=True))
        ]
        self.prior_logits = self.add_weight(shape=(sizes[-1],), initializer="zeros", name="prior")
        self.estimation = Estimation(
            settings, num_features=num_pixels + sizes[1], num_logits=sum(sizes[1:])
        )
        self.built = True

    def inputs(self, images):
        """What the program takes: images of 0 and 1, and the logits of q(h_1 | x).

        The logits are the same for every sample of an image, so they are computed here, once.
        """
        images = tf.cast(images, self.compute_dtype)
        return {"images": images, "logits": self.encoders[0](images - self.pixel_means)}

    def prior(self):
        """p(h_L), as `draw` takes it."""
        return self.units[-1].distribution(tf.convert_to_tensor(self.prior_logits))

    def log_weights(self, draw, inputs):
        """The program: log p(x, h) - log q(h | x), in nats, of one drawing of the layers."""
        logits, log_weight = inputs["logits"], 0.0
        below = None
        for index, units in enumerate(self.units):
            if below is not None:
                logits = self.encoders[index](self.units[index - 1].code(below))
            posterior = units.distribution(logits)
            sample = draw(posterior)
            log_weight -= draw.log_prob(posterior, sample)
            down = self.decoders[index](units.code(sample))
            if below is None:
                log_weight += bernoulli_log_likelihood(inputs["images"], down)
            else:
                generative = self.units[index - 1].distribution(down)
                log_weight += draw.log_prob(generative, below, self.prior_temperature)
            below = sample
        return log_weight + draw.log_prob(self.prior(), below, self.prior_temperature)

    def generate(self, count, seed):
        """Mean pixels of p(x | h_1) for h drawn from the model, shape (count, num_pixels)."""
        seeds = tf.random.split(seed, len(self.units))
        logits = tf.repeat(tf.convert_to_tensor(self.prior_logits)[tf.newaxis], count, axis=0)
        for units, decoder, one in zip(self.units[::-1], self.decoders[::-1], seeds, strict=True):
            sample = units.distribution(logits).sample(seed=one)
            logits = decoder(units.code(tf.cast(sample, self.compute_dtype)))
        return tf.sigmoid(logits)
