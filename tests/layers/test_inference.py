"""What layers return when not training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import reference
from tests.layers.cases import CASES, case_id, entry, gradient, logits, make, total
from tfgumbel import layers

NUM_DRAWS = 20_000
EXACT = [case for case in CASES if entry(case).exact_sampling]


def expected_probs(case, row):
    kind = repr(entry(case).variable)
    if kind == "Bernoulli":
        return tf.sigmoid(row)
    law = reference.conditional_bernoulli if "Cond" in kind else reference.plackett_luce
    k = total(case)

    def of(row):
        return law(row, k) @ reference.subsets(len(row), k)

    return tf.constant(np.apply_along_axis(of, -1, np.float64(row)))


@pytest.mark.parametrize("case", EXACT, ids=case_id)
def test_samples_are_discrete_with_the_probabilities_of_the_logits(case):
    row = tf.constant([1.5, -1.0, 0.0, 0.5])
    layer = make(case, temperature=0.3, seed=3)
    assert layer.inference == "sample"
    draws = layer(tf.tile(row[tf.newaxis], [NUM_DRAWS, 1])).numpy()
    assert set(np.unique(draws)) == {0.0, 1.0}
    probs = expected_probs(case, row).numpy()
    z = (draws.mean(0) - probs) / np.sqrt(probs * (1 - probs) / NUM_DRAWS)
    # 20,000 draws see an error of 0.02 in a probability of 1/2 at 5.6 standard errors.
    assert np.all(np.abs(z) < 5), z


@pytest.mark.parametrize("case", EXACT, ids=case_id)
def test_argmax_and_probs_are_deterministic(case):
    inputs = logits()
    layer = make(case, inference="argmax", seed=3)
    mode = layer(inputs).numpy()
    if entry(case).variable.event_rank == 1:
        np.testing.assert_array_equal(mode.sum(-1), total(case))
        drawn = np.where(mode > 0, inputs, np.inf).min(-1)
        assert np.all(drawn > np.where(mode > 0, -np.inf, inputs).max(-1))
    else:
        np.testing.assert_array_equal(mode, inputs > 0)
    assert set(np.unique(mode)) == {0.0, 1.0}
    assert layer.seed_state.numpy().tolist() == [3, 0]  # No noise was drawn.
    probs = make(case, inference="probs")(inputs)
    np.testing.assert_allclose(probs, expected_probs(case, inputs), rtol=2e-6)


def test_rounded_samples_keep_the_gradient_of_the_relaxation():
    inputs, upstream = logits(), logits(seed=1)
    relaxed = layers.GumbelSoftmaxLayer(0.7, seed=3)
    hard, grad = gradient(lambda x: relaxed(x, training=False), inputs, upstream)
    straight_through = layers.StraightThroughGumbelSoftmaxLayer(0.7, seed=3)
    expected, expected_grad = gradient(
        lambda x: straight_through(x, training=True), inputs, upstream
    )
    np.testing.assert_array_equal(hard, expected)
    np.testing.assert_array_equal(grad, expected_grad)


def test_hard_concrete_gates_are_the_papers():
    inputs = tf.constant([[-4.0, -1.0, 0.0, 1.0, 4.0]])
    gates = layers.HardConcreteLayer()(inputs)
    stretched = 1.2 / (1 + np.exp(-inputs.numpy())) - 0.1
    np.testing.assert_allclose(gates, np.clip(stretched, 0, 1), rtol=1e-6)  # Their eq. 13.
    assert gates[0, 0] == 0.0 and gates[0, -1] == 1.0
    sample = layers.HardConcreteLayer(inference="sample", seed=1)
    draws = sample(tf.zeros([NUM_DRAWS, 1])).numpy()
    trained = layers.HardConcreteLayer(seed=1)(tf.zeros([NUM_DRAWS, 1]), training=True)
    np.testing.assert_array_equal(draws, trained)
    # P(gate = 0) = sigmoid(temperature log(-lower / upper)) at logit 0, and P(gate = 1) the same.
    closed = 1 / (1 + 11 ** (2 / 3))
    error = np.sqrt(closed * (1 - closed) / NUM_DRAWS)
    assert abs(np.mean(draws == 0.0) - closed) < 5 * error
    assert abs(np.mean(draws == 1.0) - closed) < 5 * error


def test_hard_concrete_penalty_is_the_expected_number_of_open_gates():
    temperature = 0.5
    layer = layers.HardConcreteLayer(temperature, l0_penalty=0.25, seed=0)
    inputs = logits((3, 4, 2))

    def penalty(x):
        layer(x, training=True)
        return tf.stack(layer.losses)

    value, grad = gradient(penalty, inputs, tf.ones([1]))
    is_open = 1 / (1 + np.exp(-inputs.numpy()) * (0.1 / 1.1) ** temperature)
    np.testing.assert_allclose(value[0], 0.25 * is_open.sum() / 3, rtol=1e-6)
    np.testing.assert_allclose(grad, 0.25 / 3 * is_open * (1 - is_open), rtol=1e-5)
    # It is the frequency of open gates.
    draws = layer(tf.tile(inputs, [1000, 1, 1]), training=True) > 0
    error = np.sqrt((is_open * (1 - is_open)).sum() / 1000) * 0.25 / 3
    assert abs(0.25 / 3000 * np.count_nonzero(draws) - value[0]) < 5 * error


def test_without_a_weight_there_is_no_penalty():
    layer = layers.HardConcreteLayer()
    layer(logits(), training=True)
    assert layer.losses == []


def test_inference_is_checked_and_warns_where_it_comes_too_late():
    layer = layers.GumbelRaoLayer(seed=0)
    with pytest.raises(ValueError, match="`inference` is unknown"):
        layer.inference = "mode"
    layer.inference = "argmax"
    model = keras.Sequential([keras.Input([3]), layer])
    inputs = np.array([[0.0, 0.1, 0.0]] * 8, "float32")
    np.testing.assert_array_equal(model.predict(inputs, verbose=0), [[0.0, 1.0, 0.0]] * 8)
    with pytest.warns(UserWarning, match="make_predict_function"):
        layer.inference = "probs"
    model.make_predict_function(force=True)
    np.testing.assert_allclose(model.predict(inputs, verbose=0), tf.nn.softmax(inputs), rtol=1e-5)
