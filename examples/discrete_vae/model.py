"""A variational auto-encoder of binary images whose latents are categorical variables."""

import math

import keras
import numpy as np
import tensorflow as tf

from tfgumbel.objectives import categorical_kl, elbo


class DiscreteVAE(keras.Model):
    """Binary pixels x, latents D = (D_1 .. D_V), each one of `arity` classes, a uniform prior.

        q(D | x) = prod_v Categorical(D_v; encoder(x)_v)
        p(x | D) = prod_d Bernoulli(x_d; decoder(D)_d)

    A class enters the decoder as its binary digits, -1 or 1, so every arity gives the decoder the
    same `latent_bits` inputs: V = latent_bits / log2(arity), for 240 bits {240, 120, 80, 60}
    variables of {2, 4, 8, 16} classes. The embedding is linear in D, so relaxed samples fit too.

    Args:
        num_pixels: int, pixels of an image.
        sampler: callable (logits, seed) -> D, logits and D of shape (batch, V, arity), with the
            gradient estimator in its gradient; `seed` is an int tensor of shape [2].
        arity: int, classes of each variable, a power of two.
        latent_bits: int, a multiple of log2(arity).
        hidden_units: ints, widths of the encoder's hidden layers; the decoder mirrors them.
        pixel_means: array of shape (num_pixels,) or None: the training images' means, taken from
            the encoder's input and used as the decoder's first guess.
        seed: int, for the initial weights.
    """

    def __init__(
        self,
        num_pixels,
        sampler,
        *,
        arity=8,
        latent_bits=240,
        hidden_units=(400, 400),
        pixel_means=None,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        bits_per_class = int(math.log2(arity))
        if arity < 2 or 2**bits_per_class != arity or latent_bits % bits_per_class:
            raise ValueError(
                "arity must be a power of two whose bits divide latent_bits. "
                f"Received: arity={arity}, latent_bits={latent_bits}."
            )
        self.sampler = sampler
        self.arity = arity
        self.num_variables = latent_bits // bits_per_class
        digits = (np.arange(arity)[:, np.newaxis] >> np.arange(bits_per_class)) & 1
        self.digits = tf.constant(2.0 * digits - 1.0, tf.float32)
        means = np.full(num_pixels, 0.5) if pixel_means is None else np.asarray(pixel_means)
        self.pixel_means = tf.constant(means, tf.float32)
        likely = np.clip(means, 0.01, 0.99)
        self.encoder = _perceptron(num_pixels, hidden_units, self.num_variables * arity, seed)
        self.decoder = _perceptron(latent_bits, hidden_units[::-1], num_pixels, seed + 100)
        self.decoder.layers[-1].bias.assign(np.log(likely / (1.0 - likely)))
        self.built = True

    def posterior_logits(self, images):
        """Logits of q(D | x): (batch, num_pixels) -> (batch, V, arity)."""
        logits = self.encoder(images - self.pixel_means)
        return tf.reshape(logits, [-1, self.num_variables, self.arity])

    def decode(self, sample):
        """Pixel logits of p(x | D): (rows, V, arity) one-hot or relaxed -> (rows, num_pixels)."""
        code = tf.tensordot(sample, self.digits, axes=1)
        return self.decoder(tf.reshape(code, [-1, self.decoder.input_shape[-1]]))

    def call(self, images, seed):
        """Pixel logits of a reconstruction from one draw of D."""
        return self.decode(self.sampler(self.posterior_logits(images), seed))

    def negative_elbo(self, images, seed):
        """Loss of every image from one draw of D, in nats, shape (batch,)."""
        logits = self.posterior_logits(images)
        pixel_logits = self.decode(self.sampler(logits, seed))
        log_likelihood = bernoulli_log_likelihood(images, pixel_logits)
        return -elbo(log_likelihood, categorical_kl(logits))

    def log_weights(self, images, num_samples, seed):
        """log p(x, D_i) - log q(D_i | x) of exact draws of D, in nats, shape (num_samples, batch).

        Classes are drawn and embedded as indices: no noise for each class and no one-hot matrix, so
        that an evaluation with thousands of samples spends its time in the decoder.
        """
        logits = self.posterior_logits(images)
        flat = tf.reshape(logits, [-1, self.arity])
        classes = tf.random.stateless_categorical(flat, num_samples, seed, dtype=tf.int32)
        log_q = tf.gather(tf.nn.log_softmax(flat), classes, batch_dims=1)
        log_q = tf.reduce_sum(tf.reshape(log_q, [-1, self.num_variables, num_samples]), axis=1)
        classes = tf.reshape(classes, [-1, self.num_variables, num_samples])
        code = tf.gather(self.digits, tf.transpose(classes, [0, 2, 1]))
        pixel_logits = self.decoder(tf.reshape(code, [-1, self.decoder.input_shape[-1]]))
        pixel_logits = tf.reshape(pixel_logits, [-1, num_samples, images.shape[-1]])
        log_likelihood = bernoulli_log_likelihood(images[:, tf.newaxis], pixel_logits)
        log_prior = -self.num_variables * math.log(self.arity)
        return tf.transpose(log_likelihood + log_prior - log_q)


def bernoulli_log_likelihood(images, pixel_logits):
    """Sum over the last axis of log Bernoulli(x; sigmoid(logit)) = x logit - softplus(logit)."""
    return tf.reduce_sum(images * pixel_logits - tf.nn.softplus(pixel_logits), axis=-1)


def _perceptron(num_inputs, hidden_units, num_outputs, seed):
    layers = [keras.Input([num_inputs])]
    for units in hidden_units:
        initializer = keras.initializers.HeNormal(seed=seed)
        layers.append(keras.layers.Dense(units, "leaky_relu", kernel_initializer=initializer))
        seed += 1
    initializer = keras.initializers.GlorotNormal(seed=seed)
    layers.append(keras.layers.Dense(num_outputs, kernel_initializer=initializer))
    return keras.Sequential(layers)
