"""Auto-encoders of digits around a discrete layer, whole or with a fault."""

import keras
import numpy as np
from sklearn.datasets import load_digits

from tfgumbel.layers.bernoulli import SingleLogitLayer
from tfgumbel.objectives import bernoulli_kl, categorical_kl

NUM_VARIABLES, NUM_CLASSES = 6, 8
DIGITS = (load_digits().data[:512] / 16.0).astype("float32")


class WithKL(keras.layers.Layer):
    """Adds the divergence from the uniform prior to the losses; hands the logits on."""

    def __init__(self, weight, binary):
        super().__init__()
        self.weight, self.divergence = weight, bernoulli_kl if binary else categorical_kl

    def call(self, logits):
        divergence = self.divergence(keras.ops.cast(logits, "float32"))
        self.add_loss(self.weight * keras.ops.mean(divergence))
        return logits


def autoencoder(
    *latents, kl_weight=0.02, before=(), after=(), dropout=False, learning_rate=3e-3, **compiling
):
    """A compiled functional model of latents side by side; the rest as the caller says."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input([64])
    hidden = keras.layers.Dense(48, activation="relu")(inputs)
    if dropout:
        hidden = keras.layers.Dropout(0.2)(keras.layers.BatchNormalization()(hidden))
    codes = []
    for latent in latents:
        binary = isinstance(latent, SingleLogitLayer)
        tensor = keras.layers.Dense(NUM_VARIABLES * (1 if binary else NUM_CLASSES))(hidden)
        if not binary:
            tensor = keras.layers.Reshape([NUM_VARIABLES, NUM_CLASSES])(tensor)
        for layer in [WithKL(kl_weight, binary), *before, latent, *after]:
            tensor = layer(tensor)
        codes.append(keras.layers.Flatten()(tensor))
    code = keras.layers.Concatenate()(codes) if len(codes) > 1 else codes[0]
    hidden = keras.layers.Dense(48, activation="relu")(code)
    model = keras.Model(inputs, keras.layers.Dense(64, activation="sigmoid")(hidden))
    model.compile(keras.optimizers.Adam(learning_rate), "binary_crossentropy", **compiling)
    return model


def fit(model, monitor=None, x=DIGITS, epochs=3, **options):
    """Trains on digits and returns the history."""
    callbacks = [monitor] if monitor else []
    options = {"batch_size": 64, "verbose": 0, **options}
    return model.fit(x, x, epochs=epochs, callbacks=callbacks, **options).history


def weights(model):
    return [np.array(variable) for variable in [*model.variables, *model.optimizer.variables]]
