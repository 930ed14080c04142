"""Filters before a batch normalisation: what their masks multiply, and what scores learn."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from pruning import PruningSchedule

layers = keras.layers
SCORES = np.array([0.3, 0.55, 0.7], "float32")
# Of masks with half the noise: the odds, squared.
PROBABILITIES = 1 / (1 + (1 / SCORES - 1) ** 2)


def normalised(**arguments):
    """Three filters, normalised over the batch, then a fixed read-out."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3, name="filters"),
            layers.BatchNormalization(**arguments),
            layers.Dense(1, name="out"),
        ]
    )
    rng = np.random.default_rng(0)
    model.set_weights([w + 0.2 * rng.normal(size=w.shape) ** 2 for w in model.get_weights()])
    return model


def batch():
    rng = np.random.default_rng(1)
    return rng.normal(size=(32, 4)).astype("float32"), rng.normal(size=(32, 1)).astype("float32")


def loss_of(model, x, y):
    return tf.reduce_mean((model(x, training=True) - y) ** 2)


def test_scores_learn_what_a_filter_is_worth():
    # The loss is quadratic in every mask by itself, where ReinMax is exact: its mean over the
    # masks is the mean difference that the filter makes, which 8 losses give.
    model, (x, y) = normalised(), batch()
    kernel = model.layers[0].kernel
    weights, losses = kernel.numpy(), {}
    for mask in itertools.product((0, 1), repeat=3):
        kernel.assign(weights * np.array(mask))
        losses[mask] = float(loss_of(model, x, y))
    kernel.assign(weights)
    expected = np.zeros(3)
    for mask, loss in losses.items():
        chances = np.where(mask, PROBABILITIES, 1 - PROBABILITIES)
        for i in range(3):
            expected[i] += (2 * mask[i] - 1) * loss * np.prod(np.delete(chances, i))
    assert np.all(np.abs(expected) > 0.02), "nothing to tell apart"

    pruned = tfgumbel.prune(model, 0.5, structure="filter", hard=True, seed=0, total_steps=9)
    assert pruned.schedule.noise_scale == 0.5
    pruned.scores.assign(SCORES)

    @tf.function(autograph=False)
    def gradient(draw):
        with tf.GradientTape() as tape:
            with keras.StatelessScope(pruned.masked_weights(training=True, draw=draw)):
                loss = loss_of(model, x, y)
        return tape.gradient(loss, pruned.scores)

    draws = np.stack([gradient(tf.constant(i, tf.int64)).numpy() for i in range(600)])
    z = (draws.mean(0) - expected) / (draws.std(0, ddof=1) / np.sqrt(len(draws)))
    assert np.all(np.abs(z) < 4), (draws.mean(0), expected)
    assert np.all(draws.std(0) / np.sqrt(len(draws)) < 0.2 * np.abs(expected).max())


def test_the_fixed_mask_is_the_kernels():
    model, (x, y) = normalised(), batch()
    pruned = tfgumbel.prune(model, 0.67, structure="filter", seed=0, total_steps=5)
    gamma = model.layers[1].gamma
    assert [v.path for v in pruned.masked_variables] == [model.layers[0].kernel.path, gamma.path]
    pruned.compile("sgd", "mse")
    for step in range(5):
        kernel, scale = (value.numpy() for _, value in pruned.masked_weights(training=True))
        fixed = int(pruned.settled) == 1
        assert np.array_equal(kernel, model.layers[0].kernel.numpy()) == (not fixed)
        assert np.array_equal(scale, gamma.numpy()) == fixed, step
        pruned.train_on_batch(x, y)
    assert fixed
    out = pruned.mask().numpy() == 0
    assert out.sum() == 1
    np.testing.assert_array_equal(pruned.masked_weights()[0][1].numpy()[:, out], 0)
    sparse = pruned.finalize()
    np.testing.assert_allclose(sparse.predict(x, verbose=0), pruned.predict(x, verbose=0), 1e-5)
    assert np.all(sparse.layers[0].kernel.numpy()[:, out] == 0)


def test_an_evaluation_before_that_leaves_the_statistics_alone():
    # Scores fix the mask of an evaluation; the dropped filter is worth its beta, whatever the
    # moving statistics of its values.
    model, (x, _) = normalised(), batch()
    norm = model.layers[1]
    norm.moving_mean.assign([1.0, -2.0, 3.0])
    pruned = tfgumbel.prune(
        model, 0.67, structure="filter", total_steps=9, schedule=PruningSchedule(start=0, end=0.1)
    )
    pruned.step.assign(2)
    pruned.scores.assign([1.0, 0.0, 1.0])
    with keras.StatelessScope(pruned.masked_weights()):
        given = norm(model.layers[0](x)).numpy()
    np.testing.assert_allclose(given[:, 1], norm.beta.numpy()[1], rtol=1e-6)
    np.testing.assert_allclose(given[:, ::2], norm(model.layers[0](x)).numpy()[:, ::2], rtol=1e-6)


def carried(model):
    pruned = tfgumbel.prune(model, 0.5, structure="filter", targets="kernel")
    return [
        None if scale is None else scale.path.split("/")[-2] for scale in pruned.carriers.scales
    ]


def test_only_what_a_normalisation_alone_reads_is_carried_by_it():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3)(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="direct")(x))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu")(x)
    x = layers.BatchNormalization(name="depthwise")(layers.Activation("tanh")(x))
    x = layers.BatchNormalization(name="no_gamma", scale=False)(layers.Conv2D(3, 1)(x))
    x = layers.BatchNormalization(name="frozen", trainable=False)(layers.Conv2D(3, 1)(x))
    branch = layers.Conv2D(3, 1)(x)
    x = layers.Add()([branch, layers.BatchNormalization(name="one_of_two")(branch)])
    x = layers.BatchNormalization(name="pooled")(layers.MaxPooling2D()(layers.Conv2D(3, 1)(x)))
    x = layers.BatchNormalization(name="rows", axis=1)(layers.Conv2D(2, 1)(x))
    backbone = keras.Model(inputs, x)
    expected = ["direct", "depthwise", None, None, None, None, None]
    assert carried(backbone) == expected
    outer = keras.Input((8, 8, 2))
    nested = keras.Model(outer, layers.Dense(2)(layers.Flatten()(backbone(outer))))
    assert carried(nested) == [*expected, None]
    shared = layers.Conv2D(2, 1, name="shared")
    x = layers.BatchNormalization()(shared(inputs))
    assert carried(keras.Model(inputs, layers.BatchNormalization()(shared(x)))) == [None]


@pytest.mark.parametrize("method", ["magnitude", "random"])
def test_masks_that_are_not_learned_stay_on_the_kernel(method):
    pruned = tfgumbel.prune(normalised(), 0.67, structure="filter", method=method)
    assert len(pruned.masked_weights()) == 1


class OwnStep(keras.Sequential):
    def train_step(self, data):
        x, y, _ = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return {"loss": loss}


@pytest.fixture(params=["float32", "mixed_bfloat16"])
def policy(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


def test_a_training_of_its_own_moves_weights_and_scores_alike(policy):
    x, y = batch()
    ends = []
    for kind in (keras.Sequential, OwnStep):
        model = normalised()
        model = kind(model.layers) if kind is OwnStep else model
        model.build((None, 4))
        pruned = tfgumbel.prune(model, 0.5, structure="filter", seed=3, total_steps=12)
        assert len(pruned.masked_variables) == 2
        pruned.compile(keras.optimizers.SGD(0.05), "mse")
        for _ in range(8):
            pruned.train_on_batch(x, y)
        # Moving statistics are renewed by the library's own step alone when the mask is fixed.
        kept = [w.numpy() for w in model.weights if not w.name.startswith("moving_")]
        ends.append([pruned.scores.numpy(), *kept])
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6 if policy == "float32" else 2e-3)
