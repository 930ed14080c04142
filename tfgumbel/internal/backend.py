"""Refuses, at import, a Keras backend that nothing here can run on."""

import keras

if keras.config.backend() != "tensorflow":
    raise ImportError(
        "tfgumbel runs on Keras's TensorFlow backend alone, and this one is "
        f"{keras.config.backend()!r}: set KERAS_BACKEND=tensorflow before Keras is imported."
    )
