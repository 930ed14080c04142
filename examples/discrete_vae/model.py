"""A variational auto-encoder of binary images whose latents are categorical variables."""

import math

import keras
import numpy as np
import tensorflow as tf

import tfgumbel
from examples.common.estimator import as_distribution
from examples.common.files import RunError
from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.objectives import categorical_kl, elbo


class DiscreteVAE(keras.Model):
    """Binary pixels x, latents D = (D_1 .. D_V), each one of `arity` classes.

        p(D) = prod_v Categorical(D_v; prior_v), uniform if it is not learned
        q(D | x) = prod_v Categorical(D_v; encoder(x)_v)
        p(x | D) = prod_d Bernoulli(x_d; decoder(D)_d)

    Where `arity` is a power of two, a class enters the decoder as its binary digits, -1 or 1, so
    that 240 variables of 2 classes, 120 of 4, 80 of 8 and 60 of 16 all give it the same 240 inputs;
    where it is not, as a one-hot vector. Both are linear in D, so relaxed samples fit too.

    Args:
        num_pixels: int, pixels of an image.
        num_variables: int, V.
        arity: int, classes of each variable, at least 2.
        hidden_units: ints, widths of the encoder's hidden layers, possibly none; the decoder
            mirrors them.
        pixel_means: array of shape (num_pixels,) or None: the training images' means, taken from
            the encoder's input and used as the decoder's first guess.
        estimator: callable (num_features, num_scores) -> `Estimator`, of the gradient of programs
            with so many inputs and logits.
        learned_prior: bool, whether the prior's logits are trained.
        seed: int, for the initial weights.
    """

    def __init__(
        self,
        num_pixels,
        *,
        estimator,
        num_variables=80,
        arity=8,
        hidden_units=(400, 400),
        pixel_means=None,
        learned_prior=False,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if arity < 2:
            raise ValueError(f"arity must be at least 2. Received: {arity}.")
        self.arity = arity
        self.num_variables = num_variables
        self.embedding = tf.constant(_embedding(arity), tf.float32)
        means = np.full(num_pixels, 0.5) if pixel_means is None else np.asarray(pixel_means)
        self.pixel_means = tf.constant(means, tf.float32)
        likely = np.clip(means, 0.01, 0.99)
        num_logits = num_variables * arity
        num_inputs = num_variables * self.embedding.shape[1]
        self.encoder = _perceptron(num_pixels, hidden_units, num_logits, seed)
        self.decoder = _perceptron(num_inputs, hidden_units[::-1], num_pixels, seed + 100)
        self.decoder.layers[-1].bias.assign(np.log(likely / (1.0 - likely)))
        self.prior_logits = self.add_weight(
            shape=[num_variables, arity],
            initializer="zeros",
            trainable=learned_prior,
            name="prior_logits",
        )
        self.estimator = estimator(num_features=num_pixels + num_logits, num_scores=num_logits)
        # Estimators of binary variables get log odds of two classes.
        self.binary = ONE_HOT_CATEGORICAL not in self.estimator.variables_drawn
        # Those of one variable, without an axis of variables.
        self.single = num_variables == 1 and not self.binary
        if self.binary and arity != 2:
            raise RunError(
                f"{self.estimator.estimator} is for binary variables: arity must be 2. "
                f"Received: arity={arity}."
            )
        shape = [num_variables] if self.binary else [num_variables, arity]
        self.estimator.check([shape[1:] if self.single else shape], self.binary)
        self.built = True

    def posterior_logits(self, images):
        """Logits of q(D | x): (batch, num_pixels) -> (batch, V, arity)."""
        logits = self.encoder(images - self.pixel_means)
        return tf.reshape(logits, [-1, self.num_variables, self.arity])

    def decode(self, sample):
        """Pixel logits of p(x | D): (rows, V, arity) one-hot or relaxed -> (rows, num_pixels)."""
        code = tf.tensordot(sample, self.embedding, axes=1)
        return self.decoder(tf.reshape(code, [-1, self.decoder.input_shape[-1]]))

    def call(self, images, seed):
        """Pixel logits of a reconstruction from one exact draw of D."""
        return self.decode(tfgumbel.gumbel_max(self.posterior_logits(images), seed=seed))

    def generate(self, count, seed):
        """Mean pixels of p(x | D) for D drawn from the prior, shape (count, num_pixels)."""
        logits = tf.tile(self.prior_logits[tf.newaxis], [count, 1, 1])
        return tf.sigmoid(self.decode(tfgumbel.gumbel_max(logits, seed=seed)))

    def program(self, draw, inputs):
        """-log p(x | D) of images and the logits of their q(D | x), for one draw of D."""
        images, logits = inputs
        if self.binary:
            second = draw(as_distribution(logits[..., 1] - logits[..., 0], binary=True))
            sample = tf.stack([1.0 - second, second], axis=-1)
        elif self.single:
            sample = draw(logits[:, 0])[:, tf.newaxis]
        else:
            sample = draw(logits)
        return -bernoulli_log_likelihood(images, self.decode(sample))

    def negative_elbo(self, images, seed, step=0):
        """Loss of every image, in nats, shape (batch,), with the estimator's gradient.

        The divergence from the prior is exact, and no part of what the estimator sees.
        """
        logits = self.posterior_logits(images)
        reconstruction = self.estimator.expectation(self.program, (images, logits), seed, step)
        return -elbo(-reconstruction, categorical_kl(logits, self.prior_logits))

    def log_weights(self, images, num_samples, seed):
        """log p(x, D_i) - log q(D_i | x) of exact draws of D, in nats, shape (num_samples, batch).

        Classes are drawn and embedded as indices: no noise for each class and no one-hot matrix, so
        that an evaluation with thousands of samples spends its time in the decoder.
        """
        logits = self.posterior_logits(images)
        flat = tf.reshape(logits, [-1, self.arity])
        classes = tf.random.stateless_categorical(flat, num_samples, seed, dtype=tf.int32)
        ratio = tf.nn.log_softmax(self.prior_logits) - tf.nn.log_softmax(logits)
        ratio = tf.gather(tf.reshape(ratio, [-1, self.arity]), classes, batch_dims=1)
        ratio = tf.reduce_sum(tf.reshape(ratio, [-1, self.num_variables, num_samples]), axis=1)
        classes = tf.reshape(classes, [-1, self.num_variables, num_samples])
        code = tf.gather(self.embedding, tf.transpose(classes, [0, 2, 1]))
        pixel_logits = self.decoder(tf.reshape(code, [-1, self.decoder.input_shape[-1]]))
        pixel_logits = tf.reshape(pixel_logits, [-1, num_samples, images.shape[-1]])
        log_likelihood = bernoulli_log_likelihood(images[:, tf.newaxis], pixel_logits)
        return tf.transpose(log_likelihood + ratio)


def bernoulli_log_likelihood(images, pixel_logits):
    """Sum over the last axis of log Bernoulli(x; sigmoid(logit)) = x logit - softplus(logit)."""
    return tf.reduce_sum(images * pixel_logits - tf.nn.softplus(pixel_logits), axis=-1)


def _embedding(arity):
    """What each class is for the decoder: binary digits, or one-hot, shape (arity, inputs)."""
    bits = int(math.log2(arity))
    if 2**bits != arity:
        return np.eye(arity)
    return 2.0 * ((np.arange(arity)[:, np.newaxis] >> np.arange(bits)) & 1) - 1.0


def _perceptron(num_inputs, hidden_units, num_outputs, seed):
    layers = [keras.Input([num_inputs])]
    for units in hidden_units:
        initializer = keras.initializers.HeNormal(seed=seed)
        layers.append(keras.layers.Dense(units, "leaky_relu", kernel_initializer=initializer))
        seed += 1
    initializer = keras.initializers.GlorotNormal(seed=seed)
    layers.append(keras.layers.Dense(num_outputs, kernel_initializer=initializer))
    return keras.Sequential(layers)
