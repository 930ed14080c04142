"""Every family of Keras layers goes through masking, training and finishing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel

layers = keras.layers


class Gate(layers.Layer):
    """A layer of the user's own: a kernel, a two-dimensional bias, a loss of its own."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 5), name="kernel")
        self.bias = self.add_weight(shape=(1, 5), name="bias")

    def call(self, inputs):
        outputs = tf.matmul(inputs, self.kernel) + self.bias
        self.add_loss(0.01 * tf.reduce_sum(outputs**2))
        return outputs


class Block(layers.Layer):
    """A layer that holds layers, in a list and in a dict."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.parts = [layers.Dense(6, "relu"), layers.LayerNormalization()]
        self.heads = {"head": layers.Dense(3)}

    def build(self, input_shape):
        for part in self.parts:
            part.build(input_shape)
            input_shape = part.compute_output_shape(input_shape)
        self.heads["head"].build(input_shape)

    def call(self, inputs):
        for part in self.parts:
            inputs = part(inputs)
        return self.heads["head"](inputs)


class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.block = Block()
        self.gate = Gate()

    def call(self, inputs, training=None):
        return self.gate(self.block(inputs, training=training))


def sequential(shape, *parts):
    return keras.Sequential([keras.Input(shape), *parts])


def shared():
    x = keras.Input((4,))
    layer = layers.Dense(4, "relu")
    return keras.Model(x, layer(layer(x)))


def nested():
    inner = sequential((4,), layers.Dense(5, "relu"), layers.Dropout(0.2), layers.Dense(4))
    x = keras.Input((4,))
    return keras.Model(x, layers.Dense(2)(inner(inner(x))))


def several():
    a, b = keras.Input((4,)), keras.Input((3,))
    joined = layers.Concatenate()([layers.Dense(4)(a), layers.Dense(3)(b)])
    return keras.Model([a, b], {"one": layers.Dense(2)(joined), "two": layers.Dense(1)(joined)})


def attention():
    x = keras.Input((5, 4))
    return keras.Model(x, layers.MultiHeadAttention(2, 3)(x, x))


def subclassed():
    model = Subclassed()
    model(tf.zeros([1, 4]))
    return model


def mixed_precision():
    policy = "mixed_bfloat16"
    return sequential((4,), layers.Dense(8, "relu", dtype=policy), layers.Dense(2, dtype="float32"))


# name: model, number of targets
FAMILIES = {
    "dense": (lambda: sequential((4,), layers.Dense(8, "relu"), layers.Dense(2)), 2),
    "convolution_1d": (lambda: sequential((8, 3), layers.Conv1D(4, 3)), 1),
    "convolution_2d": (lambda: sequential((6, 6, 3), layers.Conv2D(4, 3, padding="same")), 1),
    "convolution_3d": (lambda: sequential((4, 4, 4, 2), layers.Conv3D(3, 2)), 1),
    "depthwise": (lambda: sequential((6, 6, 3), layers.DepthwiseConv2D(3)), 1),
    "separable": (lambda: sequential((6, 6, 3), layers.SeparableConv2D(4, 3)), 2),
    "transposed": (lambda: sequential((4, 4, 3), layers.Conv2DTranspose(5, 3)), 1),
    "einsum": (
        lambda: sequential((3, 4), layers.EinsumDense("abc,cde->abde", (3, 2, 5), bias_axes="de")),
        1,
    ),
    "simple_rnn": (lambda: sequential((5, 3), layers.SimpleRNN(4)), 2),
    "lstm": (lambda: sequential((5, 3), layers.LSTM(4)), 2),
    "bidirectional_gru": (lambda: sequential((5, 3), layers.Bidirectional(layers.GRU(3))), 4),
    "time_distributed": (
        lambda: sequential((5, 3), layers.TimeDistributed(layers.Dense(4)), layers.GRU(2)),
        3,
    ),
    "attention": (attention, 4),
    "normalisation": (
        lambda: sequential(
            (4, 3),
            layers.Conv1D(4, 2),
            layers.BatchNormalization(),
            layers.LayerNormalization(axis=[1, 2]),
            layers.GroupNormalization(2),
        ),
        1,
    ),
    "shared": (shared, 1),
    "nested": (nested, 3),
    "several": (several, 4),
    "custom": (lambda: sequential((4,), Gate(), Block()), 3),
    "subclassed": (subclassed, 3),
    "mixed_precision": (mixed_precision, 2),
}


def inputs_of(model):
    rng = np.random.default_rng(0)
    shapes = [(3, 4)] if not hasattr(model, "inputs") else [(3, *i.shape[1:]) for i in model.inputs]
    arrays = [rng.normal(size=shape).astype("float32") for shape in shapes]
    return arrays if len(arrays) > 1 else arrays[0]


def assert_same(first, second, **kwargs):
    for a, b in zip(tf.nest.flatten(first), tf.nest.flatten(second), strict=True):
        np.testing.assert_allclose(tf.cast(a, "float32"), tf.cast(b, "float32"), **kwargs)


@pytest.mark.parametrize("family", FAMILIES)
def test_family(family):
    keras.utils.set_random_seed(1)
    make, num_targets = FAMILIES[family]
    model = make()
    x = inputs_of(model)
    names = [weight.path for weight in model.weights]
    plain = model(x, training=False)
    pruned = tfgumbel.prune(model, k=0.4, seed=2)
    pruned.compile("adam", "mse", run_eagerly=True)

    assert len(pruned.targets) == num_targets
    assert [weight.path for weight in model.weights] == names, "the user's model is left as it is"
    assert_same(pruned(x, training=False), plain, rtol=1e-6, err_msg="mask 1")

    # Gradients reach the scores and the weights of every target, through the relaxed mask.
    pruned.scores.assign(tf.fill(pruned.scores.shape, 0.5))
    with tf.GradientTape() as tape:
        outputs = pruned(x, training=True)
        loss = tf.add_n(
            [tf.reduce_sum(tf.cast(o, "float32") ** 2) for o in tf.nest.flatten(outputs)]
        )
    to_scores, *to_weights = tape.gradient(
        loss, [pruned.scores, *(target.variable for target in pruned.targets)]
    )
    for part, to_weight in zip(
        tf.split(to_scores, [target.size for target in pruned.targets]), to_weights, strict=True
    ):
        assert np.any(part) and np.any(to_weight)
        assert np.all(np.isfinite(part)) and np.all(np.isfinite(to_weight))

    # Whatever was learned, exactly k weights are left and the predictions are the masked model's.
    scores = np.random.default_rng(3).uniform(0.1, 0.9, pruned.scores.shape)
    pruned.scores.assign(scores)
    pruned.total_steps.assign(10)
    pruned.step.assign(10)
    masked = pruned(x, training=False)
    sparse = pruned.finalize()
    assert type(sparse) is type(model)
    assert (sparse is model) == (family == "subclassed")
    sizes = [target.size for target in pruned.targets]
    order = {id(weight): i for i, weight in enumerate(model.weights)}
    kept = [
        np.count_nonzero(sparse.weights[order[id(target.variable)]]) for target in pruned.targets
    ]
    assert sum(kept) == pruned.budget.k == round(0.4 * sum(sizes))
    assert_same(sparse(x, training=False), masked, rtol=1e-5, atol=1e-6)
    chosen = {order[id(target.variable)] for target in pruned.targets}
    for i, (weight, original) in enumerate(zip(sparse.weights, model.weights, strict=True)):
        if i not in chosen:
            np.testing.assert_array_equal(weight, original)
