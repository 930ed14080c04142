"""A variational auto-encoder of Keras layers, with the latents of a kind between its two networks.

    encoder -> parameters of q(z | x) -> latents, which draw z and charge KL(q || p) -> decoder

Every kind has the same two networks, but for the size of the code: 20 Gaussians; 10 points in
triangles, which are 20 free numbers; 20 classes of 8.
"""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tfgumbel
from examples.common.belief_networks import bernoulli_log_likelihood

tfd = tfp.distributions


@keras.saving.register_keras_serializable(package="tfgumbel_examples")
def dirichlet(parameters):
    """Dirichlet distributions of concentrations 0.1 + exp(parameters), at most some 3,000.

    "Dirichlet" by name has softplus, whose concentrations may come close to 0: there samples lie in
    the corners, the derivative of their logarithms overflows, and training ends in NaN.
    """
    return tfd.Dirichlet(0.1 + tf.exp(tf.minimum(parameters, 8.0)))


@dataclasses.dataclass(frozen=True)
class Kind:
    """Latents of one kind.

    Attributes:
        parameters: shape of what the encoder gives for one image.
        code: shape of one image's code, its variables first.
        sampler: name of the layer that draws; "code" is the one that charges.
    """

    parameters: tuple[int, ...]
    code: tuple[int, ...]
    sampler: str = "code"

    @property
    def variables(self):
        """How many the code has."""
        return self.code[0]


KINDS = {
    "gaussian": Kind(parameters=(40,), code=(20,)),
    "dirichlet": Kind(parameters=(10, 3), code=(10, 3)),
    "discrete": Kind(parameters=(20, 8), code=(20, 8), sampler="classes"),
}


def prior(kind):
    """p(z) of a kind, a TFP distribution whose batch shape is the code's variables."""
    shape = KINDS[kind].code
    if kind == "gaussian":
        return tfd.Normal(tf.zeros(shape), 1.0)
    if kind == "dirichlet":
        return tfd.Dirichlet(tf.ones(shape))
    return tfd.OneHotCategorical(logits=tf.zeros(shape), dtype=tf.float32)


def latents(settings):
    """The layers between the encoder and the decoder."""
    kind, seed = settings.latent, settings.seed
    charge = {"kl_weight": 1.0, "free_bits": settings.free_bits, "name": "code"}
    if kind == "gaussian":
        standard = {"loc": 0.0, "scale": 1.0}
        return [tfgumbel.SampleLayer("Normal", standard, seed=seed, **charge)]
    if kind == "dirichlet":
        uniform = {"concentration": [1.0, 1.0, 1.0]}
        return [tfgumbel.SampleLayer(dirichlet, ("Dirichlet", uniform), seed=seed, **charge)]
    sampler = tfgumbel.GumbelRaoLayer(settings.temperature, seed=seed, name="classes")
    return [tfgumbel.KLDivergenceLayer(**charge), sampler]


def build(settings, pixel_means):
    """The model of binary images, shape (batch, pixels), to logits of their pixels.

    Args:
        settings: `train.Settings`.
        pixel_means: array (pixels,), from which the output's biases start.
    """
    keras.utils.set_random_seed(settings.seed)
    kind, pixels = KINDS[settings.latent], len(pixel_means)
    encoder = keras.Sequential(
        [
            keras.Input([pixels]),
            keras.layers.Dense(settings.hidden, activation="relu"),
            keras.layers.Dense(math.prod(kind.parameters)),
            keras.layers.Reshape(kind.parameters),
        ],
        name="encoder",
    )
    decoder = keras.Sequential(
        [
            keras.Input(kind.code),
            keras.layers.Flatten(),
            keras.layers.Dense(settings.hidden, activation="relu"),
            keras.layers.Dense(pixels),
        ],
        name="decoder",
    )
    likely = np.clip(pixel_means, 0.01, 0.99)
    decoder.layers[-1].bias.assign(np.log(likely / (1.0 - likely)))
    return keras.Sequential([keras.Input([pixels]), encoder, *latents(settings), decoder])


def posterior(model, kind, images):
    """q(z | x), a TFP distribution of batch shape (batch, variables)."""
    parameters = model.get_layer("encoder")(images)
    return model.get_layer(KINDS[kind].sampler).distribution(parameters)


def decode(model, codes):
    """Pixel logits of codes, shape (..., *code), any leading axes."""
    decoder = model.get_layer("decoder")
    shape = tuple(decoder.input_shape[1:])
    lead = tf.shape(codes)[: len(codes.shape) - len(shape)]
    logits = decoder(tf.reshape(codes, [-1, *shape]))
    return tf.reshape(logits, tf.concat([lead, [logits.shape[-1]]], axis=0))


def log_weights(model, kind, images, num_samples, seed):
    """log p(x, z) - log q(z | x) of draws of z, shape (num_samples, batch).

    All three kinds have the densities that it takes, of classes probabilities, so the
    importance-weighted bound is one for all.
    """
    q, p = posterior(model, kind, images), prior(kind)
    codes = q.sample(num_samples, seed=tf.cast(seed, tf.int32))
    codes = tf.cast(codes, tf.float32)
    log_ratio = tf.reduce_sum(p.log_prob(codes) - q.log_prob(codes), axis=-1)
    return bernoulli_log_likelihood(images, decode(model, codes)) + log_ratio


def divergences(model, kind, images):
    """KL(q(z_j | x) || p(z_j)) of every variable in nats, shape (batch, variables)."""
    return tfd.kl_divergence(posterior(model, kind, images), prior(kind))
