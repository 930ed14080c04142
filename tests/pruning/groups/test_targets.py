"""The choice of weights is by role; filters override it; nothing is left out without a word."""

import keras
import pytest
import tensorflow as tf

import tfgumbel
from pruning.groups.targets import select

layers = keras.layers


class Scale(layers.Layer):
    def build(self, input_shape):
        self.table = self.add_weight(shape=(input_shape[-1], 2), name="table")

    def call(self, inputs):
        return tf.matmul(inputs, self.table)


@pytest.fixture(scope="module")
def model():
    return keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(9, 4, name="words"),
            layers.GRU(3, name="memory"),
            layers.Dense(5, name="hidden"),
            layers.LayerNormalization(),
            layers.Dense(5, name="frozen", trainable=False),
            Scale(name="scale"),
        ]
    )


def names(model, **filters):
    return [target.name for target in select(model, **filters)[0]]


def test_default_is_kernels_and_says_what_it_leaves(model):
    chosen, left = select(model)
    assert [target.role for target in chosen] == ["kernel", "recurrent_kernel", "kernel"]
    assert left == {
        "words/embeddings": "an embedding table; name it in `targets` to prune it",
        "frozen/kernel": "not trainable; name it in `targets` to prune it",
        "scale/table": "not known to be a kernel; name it in `targets` to prune it",
    }


def test_prune_logs_what_it_leaves(model, caplog):
    with caplog.at_level("INFO", logger="tfgumbel"):
        tfgumbel.prune(model, 0.5)
    assert "scale/table" in caplog.text and "words/embeddings" in caplog.text


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"targets": "hidden|words"}, ["words/embeddings", "hidden/kernel", "hidden/bias"]),
        ({"targets": r"hidden/kernel$"}, ["hidden/kernel"]),
        ({"targets": lambda target: target.role == "embeddings"}, ["words/embeddings"]),
        ({"targets": ["table$", "frozen/kernel"]}, ["frozen/kernel", "scale/table"]),
        ({"exclude": "memory"}, ["hidden/kernel"]),
    ],
)
def test_filters(model, filters, expected):
    assert names(model, **filters) == expected


def test_a_layer_stands_for_its_kernels(model):
    assert names(model, targets=model.get_layer("hidden")) == ["hidden/kernel"]
    kept = names(model, targets=[model.get_layer("words"), model.get_layer("memory")])
    assert kept[0] == "words/embeddings" and len(kept) == 3
    assert names(model, exclude=[model.get_layer("memory")]) == ["hidden/kernel"]


def test_axes_of_structured_targets():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3),
            layers.Conv2DTranspose(5, 3),
            layers.DepthwiseConv2D(3, depth_multiplier=2),
            layers.EinsumDense("abcd,def->abcef", (None, None, 2, 7)),
        ]
    )
    axes = [(target.input_axis, target.output_axes) for target in select(model)[0]]
    assert axes == [(2, (3,)), (3, (2,)), (1, (2, 3)), (0, (1, 2))]


def test_errors(model):
    with pytest.raises(ValueError, match=r"Nothing to prune(.|\n)*hidden/kernel"):
        try:
            select(model, targets="no such weight")
        except ValueError as error:
            raise ValueError(str(error).replace("\n", " ")) from None
    with pytest.raises(ValueError, match="has no weights yet"):
        select(keras.Sequential([layers.Dense(2)]))
    with pytest.raises(TypeError, match="regular expression"):
        select(model, targets=3)
    with pytest.raises(ValueError, match="Nothing to prune"):
        tfgumbel.prune(keras.Sequential([keras.Input((2,)), layers.BatchNormalization()]), 0.5)
