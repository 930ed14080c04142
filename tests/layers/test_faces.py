"""A layer is its estimator: the same samples and the same gradients, whatever the settings."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.cases import CASES, NAMED, case_id, entry, gradient, logits, make, size
from tfgumbel import layers
from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.registry import sample_estimators

every_layer = pytest.mark.parametrize("case", CASES, ids=case_id)


ESTIMATORS = sample_estimators()


@every_layer
def test_samples_and_gradients_are_the_estimators(case):
    layer = make(case, temperature=0.7, seed=11)
    inputs, upstream = logits(), logits(seed=1)
    for count in range(2):  # The second call continues the noise of the first.
        value, grad = gradient(lambda x: layer(x, training=True), inputs, upstream)
        expected, expected_grad = gradient(
            lambda x, count=count: entry(case)(
                x, temperature=tf.constant(0.7), seed=(11, count), **size(case)
            ),
            inputs,
            upstream,
        )
        np.testing.assert_array_equal(value, expected)
        if expected_grad is None:
            assert grad is None
        else:
            assert np.any(expected_grad.numpy())
            np.testing.assert_array_equal(grad, expected_grad)


@pytest.mark.parametrize("layer_class", NAMED, ids=case_id)
def test_named_layers_expose_every_option_of_their_estimator(layer_class):
    options = set(inspect.signature(ESTIMATORS[NAMED[layer_class]].function).parameters)
    offered = set(inspect.signature(layer_class).parameters)
    assert options - {"logits"} <= offered


def test_options_reach_the_estimator():
    inputs, upstream = logits(), logits(seed=1)
    few = layers.GumbelRaoLayer(0.5, num_samples=3, noise="stratified", seed=4)
    _, grad = gradient(lambda x: few(x, training=True), inputs, upstream)
    _, expected = gradient(
        lambda x: ESTIMATORS["gumbel_rao"](
            x, temperature=tf.constant(0.5), num_samples=3, noise="stratified", seed=(4, 0)
        ),
        inputs,
        upstream,
    )
    np.testing.assert_array_equal(grad, expected)


@every_layer
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16", "float64"])
def test_dtype_policies(case, policy):
    layer = make(case, temperature=0.7, seed=11, dtype=policy)
    inputs = logits(dtype=tf.float64)
    sample = layer(inputs, training=True)
    compute = tf.as_dtype(layer.compute_dtype)
    assert sample.dtype == compute
    # Computed in float32 or better from the inputs as the policy casts them.
    working = tf.float64 if policy == "float64" else tf.float32
    cast = tf.cast(tf.cast(inputs, compute), working)
    expected = entry(case)(cast, temperature=tf.constant(0.7, working), seed=(11, 0), **size(case))
    np.testing.assert_array_equal(sample, tf.cast(expected, compute))
    for weight in layer.weights:
        assert weight.dtype in ("int64", "float32", "float64")


@every_layer
def test_unknown_batch_size_in_a_graph(case):
    layer, eager = (make(case, temperature=0.7, seed=11) for _ in range(2))

    @tf.function(input_signature=[tf.TensorSpec([None, 5])])
    def step(inputs):
        return layer(inputs, training=True)

    for inputs in (logits(), logits((3, 5))):  # The same noise as in eager mode, and onwards.
        np.testing.assert_allclose(step(inputs), eager(inputs, training=True), rtol=1e-5)
    assert layer.seed_state.numpy().tolist() == [11, 2]


@pytest.mark.parametrize("case", [layers.GumbelRaoLayer, layers.HardConcreteLayer], ids=case_id)
def test_xla_draws_anew_at_every_call(case):
    layer = make(case, temperature=0.7, seed=11)

    @tf.function(jit_compile=True)
    def step(inputs):
        return layer(inputs, training=True)

    draws = np.stack([step(tf.zeros([500, 4])) for _ in range(2)])
    assert np.any(draws[0] != draws[1])
    # The means are those of the distribution: 1/4 a class, or a symmetric gate's 1/2.
    mean = 0.25 if entry(case).variable is ONE_HOT_CATEGORICAL else 0.5
    errors = draws.std(axis=(0, 1)) / np.sqrt(1000)
    assert np.all(np.abs(draws.mean(axis=(0, 1)) - mean) < 5 * errors)
    assert layer.seed_state.numpy().tolist() == [11, 2]


@every_layer
def test_output_spec_is_the_outputs(case):
    layer = make(case, dtype="mixed_bfloat16", inference="sample")
    spec = layer.compute_output_spec(keras.KerasTensor((None, 3, 5), dtype="bfloat16"))
    assert spec.shape == (None, 3, 5) and spec.dtype == "bfloat16"
    assert layer.compute_output_shape((None, 3, 5)) == (None, 3, 5)
    assert keras.Input((3, 5)).shape == layer(keras.Input((3, 5))).shape
    assert layer(tf.zeros([2, 3, 5])).dtype == tf.bfloat16


def test_two_layers_with_one_seed_draw_the_same_noise():
    make_layer = layers.StraightThroughLayer
    inputs = tf.zeros([64, 8])
    first, twin, other = (make_layer(seed=seed)(inputs) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, twin)
    assert np.any(first != other)
    unseeded = [make_layer()(inputs) for _ in range(2)]
    assert np.any(unseeded[0] != unseeded[1])


def test_keras_random_seed_fixes_layers_without_one():
    def draw():
        keras.utils.set_random_seed(3)
        return layers.StraightThroughLayer()(tf.zeros([64, 8]))

    np.testing.assert_array_equal(draw(), draw())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"temperature": 0.0}, ValueError, "`temperature` is invalid"),
        ({"temperature": -1.0}, ValueError, "`temperature` is invalid"),
        ({"temperature": float("nan")}, ValueError, "`temperature` is invalid"),
        ({"temperature": "hot"}, TypeError, '"learnable"'),
        ({"temperature": None}, TypeError, "`temperature` is invalid"),
        ({"temperature": lambda step: 1.0}, TypeError, "LearningRateSchedule"),
        (
            {"temperature": keras.optimizers.schedules.ExponentialDecay(-1.0, 10, 0.5)},
            ValueError,
            "`temperature` is invalid",
        ),
        (
            {"temperature": "learnable", "initial_temperature": 0.0},
            ValueError,
            "`initial_temperature` is invalid",
        ),
        ({"inference": "mean"}, ValueError, "'sample', 'argmax', 'probs'"),
        ({"seed": 0.5}, TypeError, "`seed` is invalid"),
        ({"seed": True}, TypeError, "`seed` is invalid"),
        ({"axis": 1.0}, TypeError, "`axis` is invalid"),
        ({"axis": (0, 1)}, TypeError, "`axis` is invalid"),
        ({"num_sample": 3}, ValueError, "num_sample"),
    ],
)
def test_construction_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        layers.GumbelSoftmaxLayer(**arguments)


def test_construction_refuses_what_the_estimator_refuses():
    with pytest.raises(ValueError, match="num_samples"):
        layers.GumbelRaoLayer(num_samples=0)
    with pytest.raises(ValueError, match="lower"):
        layers.HardConcreteLayer(lower=0.5)
    with pytest.raises(ValueError, match="l0_penalty"):
        layers.HardConcreteLayer(l0_penalty=-1.0)
    with pytest.raises(ValueError, match="gumbel_softmax"):
        layers.CategoricalLayer("gumbel_sotfmax")
    with pytest.raises(ValueError, match="(?s)cannot serve this layer.*bernoulli_gumbel_rao"):
        layers.BernoulliLayer("gumbel_rao")
    with pytest.raises(ValueError, match="(?s)cannot serve this layer.*gumbel_rao"):
        layers.CategoricalLayer("binary_concrete")
    with pytest.raises(ValueError, match="no gradient"):
        layers.ReinMaxLayer("learnable")
    with pytest.raises(ValueError, match="no temperature to change"):
        layers.CategoricalLayer("gumbel_max", temperature="learnable")
    layers.GumbelRaoLayer(0.0)  # The cold limit is a temperature of the exact one alone.
    with pytest.raises(ValueError, match="`temperature` is invalid"):
        layers.GumbelRaoLayer(0.0, num_samples=3)


@pytest.mark.parametrize("layer_class", [layers.StraightThroughLayer, layers.BinaryConcreteLayer])
def test_integer_inputs_are_refused(layer_class):
    with pytest.raises(TypeError, match="not floating point"):
        layer_class()(tf.zeros([2, 3], tf.int32))
