"""Filters that are a model's outputs stay, unless someone asks for them."""

import keras
import pytest
import tensorflow as tf

import tfgumbel
from pruning.groups.outputs import output_layers

layers = keras.layers


def sequential(*last):
    return keras.Sequential(
        [keras.Input((8,)), layers.Dense(4, name="hidden"), layers.Dense(3, name="out"), *last]
    )


def functional(*operations):
    inputs = keras.Input((8,))
    tensor = inputs
    for operation in operations:
        tensor = operation(tensor)
    return keras.Model(inputs, tensor)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.last = layers.Dense(4), layers.Dense(3)

    def call(self, inputs):
        return self.last(self.first(inputs))


def names(model):
    found = output_layers(model)
    return None if found is None else [layer.name for layer in found]


def two_outputs():
    inputs = keras.Input((8,))
    hidden = layers.Dense(4, name="hidden")(inputs)
    heads = [layers.Dense(2, name=name)(hidden) for name in ("a", "b")]
    return keras.Model(inputs, {"a": heads[0], "b": keras.ops.softmax(heads[1])})


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (sequential, ["out"]),
        (lambda: sequential(layers.Softmax(), layers.Reshape((3, 1))), ["out"]),
        (lambda: sequential(layers.BatchNormalization()), ["out"]),
        (lambda: functional(layers.Dense(4), sequential_of(4), layers.Softmax()), ["inner"]),
        (lambda: functional(functional(layers.Dense(3, name="f")), layers.Softmax()), ["f"]),
        (lambda: functional(sequential(), layers.Dense(2, name="head")), ["head"]),
        (two_outputs, ["a", "b"]),
        (Subclassed, None),
    ],
)
def test_the_last_layers_with_kernels(model, expected):
    assert names(model()) == expected


def sequential_of(inputs):
    return keras.Sequential([keras.Input((inputs,)), layers.Dense(3, name="inner")])


def test_a_layer_that_is_called_twice_is_not_followed():
    shared = layers.Dense(8, name="shared")
    assert names(functional(shared, shared)) is None


def test_filters_of_the_output_layer_stay_unless_named(caplog):
    with caplog.at_level("INFO", logger="tfgumbel"):
        pruned = tfgumbel.prune(sequential(), 0.5, structure="filter", seed=0)
    assert [target.name for target in pruned.targets] == ["hidden/kernel"]
    assert pruned.budget.k == 16, "a share of what can be pruned"
    assert "Not pruned: out/kernel (its filters are the model's outputs; name" in caplog.text
    for choice in ("kernel", ["hidden", "out/kernel$"]):
        pruned = tfgumbel.prune(sequential(), 0.5, structure="filter", targets=choice)
        assert "out/kernel" in [target.name for target in pruned.targets]
    for other in ({"structure": "unstructured"}, {"block": (1, 4)}, {"structure": "2:4"}):
        pruned = tfgumbel.prune(sequential(), None if "2:4" in other.values() else 0.5, **other)
        assert len(pruned.targets) == 2, "single weights of an output are no output"


def test_a_model_of_its_outputs_alone_says_what_to_do():
    model = functional(layers.Dense(3, name="only"))
    with pytest.raises(ValueError, match=r"only/kernel \(8, 3\) \(its filters are the model's"):
        tfgumbel.prune(model, 0.5, structure="filter")


def test_a_model_that_cannot_be_followed_is_pruned_with_a_warning(caplog):
    model = Subclassed()
    model(tf.ones([1, 8]))
    tfgumbel.prune(model, 0.5, structure="filter")
    assert "the outputs of Subclassed cannot be seen" in caplog.text
    caplog.clear()
    tfgumbel.prune(model, 0.5, structure="filter", exclude=model.last)
    tfgumbel.prune(model, 0.5, structure="filter", targets="kernel")
    tfgumbel.prune(model, 0.5)
    assert not caplog.text
