"""The finished model predicts what the masked one did, whatever its layers hold."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from pruning.results import copying

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(50.0, 9.0, size=(48, 6)).astype("float32")
WORDS = tf.constant([["ape bee"], ["cow eel"], ["dog"]])


class Offset(layers.Layer):
    """A layer that knows something Keras does not: the offset set after it was made."""

    offset = 0.0

    def call(self, inputs):
        return inputs + self.offset


def normalized():
    layer = layers.Normalization()
    layer.adapt(X)
    return keras.Sequential([keras.Input((6,)), layer, layers.Dense(7, "relu"), layers.Dense(2)])


def read():
    """Words, and categories, as integers to embed; numbers in bins, learned ones."""
    text = layers.TextVectorization(max_tokens=20, output_sequence_length=5)
    text.adapt(["ape bee cow dog", "bee cow eel fox"])
    weighed = layers.TextVectorization(output_mode="tf_idf")
    weighed.adapt(["ape bee cow dog", "bee cow eel fox"])
    lookup = layers.StringLookup()
    lookup.adapt(["ape bee", "dog"])
    bins = layers.Discretization(num_bins=4)
    bins.adapt(X)
    words, numbers = keras.Input((1,), dtype="string", name="w"), keras.Input((6,), name="n")
    parts = [
        layers.Flatten()(layers.Embedding(20, 3)(text(words))),
        layers.Flatten()(weighed(words)),
        layers.Flatten()(layers.Embedding(6, 3)(lookup(words))),
        layers.Flatten()(layers.Embedding(4, 2)(bins(numbers))),
    ]
    return keras.Model({"w": words, "n": numbers}, layers.Dense(3)(layers.Concatenate()(parts)))


def nested():
    x = keras.Input((6,))
    return keras.Model(x, layers.Dense(2)(normalized()(x)))


@pytest.mark.parametrize(
    ("make", "x"),
    [(normalized, X), (nested, X), (read, {"w": WORDS, "n": tf.constant(X[:3])})],
    ids=["normalized", "nested", "read"],
)
def test_state_that_is_no_weight_is_kept(make, x, tmp_path):
    keras.utils.set_random_seed(0)
    model = make()
    pruned = tfgumbel.prune(model, 0.5, seed=0)
    expected = pruned.model(x)
    mask = np.asarray(pruned.final_mask())
    assert 0 < mask.sum() < mask.size
    pruned.scores.assign(mask)
    pruned.settled.assign(1)
    expected = pruned(x)
    sparse = pruned.finalize()
    assert sparse is not model
    np.testing.assert_allclose(sparse(x), expected, rtol=1e-4, atol=1e-5)
    sparse.save(tmp_path / "sparse.keras")
    loaded = keras.models.load_model(tmp_path / "sparse.keras")
    np.testing.assert_allclose(loaded(x), expected, rtol=1e-4, atol=1e-5)


def test_a_copy_that_predicts_otherwise_is_not_returned(caplog):
    model = keras.Sequential([keras.Input((6,)), Offset(), layers.Dense(2)])
    pruned = tfgumbel.prune(model, 0.5, method="magnitude")
    assert pruned.finalize() is not model, "without an offset a copy is one"
    model.layers[0].offset = 3.0
    pruned = tfgumbel.prune(model, 0.5, method="magnitude")
    expected = np.asarray(pruned.model(X)).copy()
    with caplog.at_level(logging.WARNING, "tfgumbel"):
        sparse = pruned.finalize()
    assert sparse is model and "predicts otherwise" in caplog.text
    assert np.count_nonzero(model.layers[1].kernel) == 6
    assert np.abs(np.asarray(sparse(X)) - expected).max() > 0


@pytest.mark.parametrize("kind", ["random", "unknown", "integers"])
def test_what_can_be_told_on_random_inputs(kind):
    if kind == "random":
        x = keras.Input((3,))
        model = keras.Model(x, layers.Lambda(lambda v: v + tf.random.normal(tf.shape(v)))(x))
        assert copying.same_predictions(model, model, []) is None
    elif kind == "unknown":  # runs on the right lengths alone
        x = keras.Input((None,))
        model = keras.Model(x, layers.Lambda(lambda v: tf.reshape(v, (-1, 7)))(x))
        assert copying.same_predictions(model, model, []) is None
    else:
        model = keras.Sequential([keras.Input((None,), dtype="int32"), layers.Embedding(9, 2)])
        copy = copying.plain_copy(model)
        assert copying.same_predictions(model, copy, []) is True
        copy.layers[0].embeddings.assign_add(tf.one_hot([0] * 8 + [0], 2) * 0.1)
        assert copying.same_predictions(model, copy, []) is False
        value = tf.convert_to_tensor(copy.layers[0].embeddings)
        assert copying.same_predictions(model, copy, [(model.layers[0].embeddings, value)]) is True


def test_the_constraint_of_the_user_still_holds():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(5, kernel_constraint=keras.constraints.MaxNorm(0.7))]
    )
    pruned = tfgumbel.prune(model, 0.5, method="magnitude")
    pruned.compile(keras.optimizers.SGD(0.1), "mse")
    tuned = pruned.finalize(fine_tune={"x": X, "y": 9 * X[:, :5], "epochs": 2, "verbose": 0})
    kernel = tuned.layers[0].kernel.numpy()
    assert np.count_nonzero(kernel) == 15
    np.testing.assert_allclose(np.linalg.norm(kernel, axis=0).max(), 0.7, rtol=1e-4)
