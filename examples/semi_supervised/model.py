"""A variational auto-encoder of digits with two latents: a discrete class and a Gaussian style."""

import math

import keras
import numpy as np
import tensorflow as tf

from tfgumbel.objectives import categorical_kl


class ClassAndStyle(keras.Model):
    """Binary pixels x, a class y and a style z (Kingma et al. 2014, model M2).

        p(y) uniform       p(z) = N(0, 1)              p(x | y, z) = prod_d Bernoulli(x_d; decoder)
        q(y | x) = Categorical(classifier(x))          q(z | x, y) = N(mean, scale^2; encoder(x, y))

    A class enters as a one-hot vector, or relaxed, in the decoder times `class_scale`: at 1 the
    style, whose weights are many, learns before the class and says what the class should. The style
    is reparameterised, the class is drawn by an estimator of the gradient, or summed over.

    Args:
        num_pixels: int, pixels of an image.
        estimator: callable (num_features, num_scores) -> `Estimator`.
        num_classes: int.
        style_size: int, dimensions of z.
        class_scale: float, length of the class's vector in the decoder's input.
        hidden_units: ints, widths of the hidden layers of all three networks.
        pixel_means: array of shape (num_pixels,) or None: the training images' means, taken from
            the networks' input and used as the decoder's first guess.
        seed: int, for the initial weights.
    """

    def __init__(
        self,
        num_pixels,
        *,
        estimator,
        num_classes=10,
        style_size=32,
        class_scale=1.0,
        hidden_units=(256,),
        pixel_means=None,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_classes, self.style_size = num_classes, style_size
        self.class_scale = class_scale
        means = np.full(num_pixels, 0.5) if pixel_means is None else np.asarray(pixel_means)
        self.pixel_means = tf.constant(means, tf.float32)
        likely = np.clip(means, 0.01, 0.99)
        self.classifier = _perceptron(num_pixels, hidden_units, num_classes, seed)
        self.encoder = _perceptron(
            num_pixels + num_classes, hidden_units, 2 * style_size, seed + 100
        )
        self.decoder = _perceptron(num_classes + style_size, hidden_units, num_pixels, seed + 200)
        self.decoder.layers[-1].bias.assign(np.log(likely / (1.0 - likely)))
        num_features = num_pixels + num_classes + style_size
        self.estimator = estimator(num_features=num_features, num_scores=num_classes)
        self.estimator.check([[num_classes]])
        self.built = True

    def class_logits(self, images):
        """Logits of q(y | x): (batch, num_pixels) -> (batch, num_classes)."""
        return self.classifier(images - self.pixel_means)

    def style(self, images, classes):
        """Mean and log scale of q(z | x, y), shape (batch, style_size) each; `classes` one-hot."""
        both = self.encoder(tf.concat([images - self.pixel_means, classes], axis=-1))
        return tf.split(both, 2, axis=-1)

    def decode(self, classes, style):
        """Pixel logits of p(x | y, z)."""
        return self.decoder(tf.concat([self.class_scale * classes, style], axis=-1))

    def cost(self, images, classes, noise, style_weight=1.0):
        """-log p(x | y, z) + style_weight * KL(q(z | x, y) || p(z)), shape (batch,).

        z is made of standard normal noise.
        """
        mean, log_scale = self.style(images, classes)
        logits = self.decode(classes, mean + tf.exp(log_scale) * noise)
        likelihood = tf.reduce_sum(images * logits - tf.nn.softplus(logits), axis=-1)
        square = mean**2 + tf.exp(2.0 * log_scale)
        divergence = 0.5 * tf.reduce_sum(square - 1.0, axis=-1) - tf.reduce_sum(log_scale, axis=-1)
        return style_weight * divergence - likelihood

    def labelled_loss(self, images, classes, noise, style_weight=1.0):
        """-ELBO of (x, y), the class being known: cost - log p(y), shape (batch,)."""
        return self.cost(images, classes, noise, style_weight) + math.log(self.num_classes)

    def unlabelled_loss(self, images, noise, seed, step=0, style_weight=1.0):
        """-ELBO of x, shape (batch,), the class being drawn by the estimator.

        KL(q(y | x) || p(y)) is exact, and no part of what the estimator sees.
        """

        def program(draw, inputs):
            images, logits, noise = inputs
            return self.cost(images, draw(logits), noise, style_weight)

        logits = self.class_logits(images)
        inputs = (images, logits, noise)
        return self.estimator.expectation(program, inputs, seed, step) + categorical_kl(logits)

    def marginal_loss(self, images, noise):
        """-ELBO of x, shape (batch,), summed over all classes: how every estimator is judged."""
        logits = self.class_logits(images)
        probs = tf.nn.softmax(logits)
        total = categorical_kl(logits)
        for index in range(self.num_classes):
            one = tf.one_hot(tf.fill([len(images)], index), self.num_classes)
            total += probs[:, index] * self.cost(images, one, noise)
        return total


def _perceptron(num_inputs, hidden_units, num_outputs, seed):
    layers = [keras.Input([num_inputs])]
    for units in hidden_units:
        initializer = keras.initializers.HeNormal(seed=seed)
        layers.append(keras.layers.Dense(units, "leaky_relu", kernel_initializer=initializer))
        seed += 1
    initializer = keras.initializers.GlorotNormal(seed=seed)
    layers.append(keras.layers.Dense(num_outputs, kernel_initializer=initializer))
    return keras.Sequential(layers)
