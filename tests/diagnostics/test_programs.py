"""Estimators of whole programs: the truth by hand, exact variances, runs that were counted."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from tests.expectations.programs import CASES, derivative
from tests.reference import softmax
from tfgumbel import registry
from tfgumbel.diagnostics import compare_estimators, exact_expectation
from tfgumbel.distributions.abilities import BERNOULLI

COSTS = np.array([1.0, -0.5, 2.0])
WEIGHTS = np.array([[0.3, -0.6, 0.8], [-0.2, 0.5, 0.1]])
IMAGES = np.array([[1.0, -0.5], [0.4, 2.0]])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_truth_of_a_program_is_the_sum_over_all_its_draws(case):
    """Categorical, parallel, binary, a cascade, each by itertools; the mean of two examples."""
    examples = np.stack([case.parameters, 0.5 * case.parameters + 0.3])
    value, (gradient,) = exact_expectation(case.program, tf.constant(examples))
    expected = [case.value(example) for example in examples]
    np.testing.assert_allclose(value, np.mean(expected), rtol=1e-10)
    slopes = np.stack([derivative(case.value, example) for example in examples]) / 2
    np.testing.assert_allclose(gradient, slopes, atol=1e-8)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_estimators_of_a_program_are_held_to_the_truth(case):
    names = ["reinforce", "muprop", "enumeration", *([] if case.cascade else ["disarm"])]
    table = compare_estimators(
        case.program, tf.constant(case.parameters[np.newaxis]), names, 40_000, seed=5
    )
    slope = derivative(case.value, case.parameters).reshape(-1)
    np.testing.assert_allclose(table.truth, slope, atol=1e-8)
    for name in names:
        row = table.rows[name]
        error = np.maximum(row.standard_error, 1e-9)
        assert np.abs((row.mean - slope) / error).max() < 5, name
    assert 5 * table.rows["muprop"].bias_standard_error < 0.15 * np.linalg.norm(slope)
    assert table.rows["enumeration"].variance < 1e-20
    # What the gradient does not know of the first draws is noise within D: REINFORCE has none.
    assert table.rows["reinforce"].within_variance <= 1e-9 * table.rows["reinforce"].variance


def runs(estimators, num_samples):
    table = compare_estimators(
        CASES["single"].program,
        tf.constant(CASES["single"].parameters[np.newaxis]),
        estimators,
        num_draws=20,
        num_samples=num_samples,
    )
    np.testing.assert_array_equal(table["variance_per_run"], table["runs"] * table["variance"])
    return dict(zip(table["estimator"], table["runs"], strict=True))


def test_runs_are_counted():
    # Leave-one-out takes two samples where one is asked for; enumeration looks where it draws.
    expected = {"reinforce": 1, "gumbel_rao": 1, "muprop": 2, "disarm": 2, "rebar": 3, "darn": 2}
    expected |= {"reinforce_loo": 2, "enumeration": 1 + 4}
    assert runs(list(expected), 1) == expected
    assert runs(["muprop"], 3) == {"muprop": 6}
    assert runs({"three": ("sum_and_sample", {"num_summed": 2})}, 1) == {"three": 3}


def linear(draw, images):
    """A class whose logits are linear in the image, its cost, and that of its second weight."""
    sample = draw(images @ VARIABLE)
    return tf.linalg.matvec(sample, tf.constant(COSTS)) * (1.0 + VARIABLE[0, 0] * images[:, 1])


VARIABLE = tf.Variable(WEIGHTS)


def reinforce_by_hand():
    """REINFORCE's gradients for the weights and their probabilities, of all pairs of outcomes."""
    gradients, chances = [], []
    for pair in itertools.product(range(3), repeat=2):
        gradient, chance = np.zeros_like(WEIGHTS), 1.0
        for image, drawn in zip(IMAGES, pair, strict=True):
            probs = softmax(image @ WEIGHTS)
            chance *= probs[drawn]
            cost = COSTS[drawn] * (1.0 + WEIGHTS[0, 0] * image[1])
            gradient += cost * np.outer(image, np.eye(3)[drawn] - probs) / 2
            gradient[0, 0] += COSTS[drawn] * image[1] / 2
        gradients.append(gradient)
        chances.append(chance)
    return np.array(gradients), np.array(chances)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_variables_have_the_gradient_of_the_batch(jit_compile):
    table = compare_estimators(
        linear,
        tf.constant(IMAGES),
        ["reinforce", "straight_through_gumbel_softmax", "gumbel_rao"],
        num_draws=2_000,
        seed=2,
        variables=[VARIABLE],
        jit_compile=jit_compile,
    )
    gradients, chances = reinforce_by_hand()
    mean = np.tensordot(chances, gradients, 1)
    exact = chances @ np.sum((gradients - mean) ** 2, (1, 2))
    np.testing.assert_allclose(table.truth, mean.reshape(-1), rtol=1e-9)
    row = table.rows["reinforce"]
    assert np.abs((row.mean - table.truth) / row.standard_error).max() < 5
    # A variance is known as well as the mean squared error is: to 2 or 3%, one standard error.
    assert abs(row.variance - exact) < 5 * row.mse_standard_error < 0.2 * exact
    assert row.within_variance <= 1e-9 * exact
    noisy, exact = (table.rows[n] for n in ("straight_through_gumbel_softmax", "gumbel_rao"))
    assert exact.within_variance <= 1e-9 * exact.variance < 0.1 * noisy.within_variance


def test_variables_and_inputs_together_are_joined_inputs_first():
    value, (of_inputs, of_variable) = exact_expectation(
        linear, tf.constant(IMAGES), variables=[VARIABLE], of_inputs=True
    )

    def mean_cost(images, weights):
        costs = (1.0 + weights[0, 0] * images[:, 1]) * (softmax(images @ weights) @ COSTS)
        return np.mean(costs)

    np.testing.assert_allclose(value, mean_cost(IMAGES, WEIGHTS), rtol=1e-10)
    expected = derivative(lambda images: mean_cost(images, WEIGHTS), IMAGES)
    np.testing.assert_allclose(of_inputs, expected, atol=1e-8)
    expected = derivative(lambda weights: mean_cost(IMAGES, weights), WEIGHTS)
    np.testing.assert_allclose(of_variable, expected, atol=1e-8)
    table = compare_estimators(
        linear,
        tf.constant(IMAGES),
        ["reinforce"],
        num_draws=2_000,
        variables=[VARIABLE],
        of_inputs=True,
    )
    joined = np.concatenate([of_inputs.reshape(-1), of_variable.reshape(-1)])
    np.testing.assert_allclose(table.truth, joined)
    row = table.rows["reinforce"]
    assert np.abs((row.mean - joined) / row.standard_error).max() < 5


def test_examples_and_nests_of_inputs_keep_their_places():
    """Two examples, two tensors each, and labels that have no gradient."""
    inputs = {
        "first": tf.constant([[0.3, -0.7, 0.2], [1.0, 0.0, -0.5]], tf.float64),
        "label": tf.constant([0, 1]),
        "second": tf.constant([[0.4], [-1.1]], tf.float64),
    }

    def program(draw, inputs):
        score = tf.linalg.matvec(draw(inputs["first"]), tf.constant(COSTS))
        bit = draw.variable(BERNOULLI, inputs["second"])[:, 0]
        return (score + 2.0 * bit - tf.cast(inputs["label"], score.dtype)) ** 2

    _, gradients = exact_expectation(program, inputs)
    assert [gradient.shape for gradient in gradients] == [(2, 3), (2, 1)]
    table = compare_estimators(program, inputs, ["reinforce", "gumbel_rao"], 20_000, seed=1)
    np.testing.assert_allclose(table.truth, np.concatenate([g.reshape(-1) for g in gradients]))
    variance = 0.0
    for example in range(2):
        probs = softmax(inputs["first"].numpy()[example])
        rate = 1 / (1 + np.exp(-inputs["second"].numpy()[example, 0]))
        draws = []
        for index, bit in itertools.product(range(3), (0, 1)):
            cost = (COSTS[index] + 2.0 * bit - example) ** 2 / 2
            score = np.append(np.eye(3)[index] - probs, bit - rate)
            chance = probs[index] * (rate if bit else 1 - rate)
            draws.append((chance, cost * score))
        mean = sum(chance * gradient for chance, gradient in draws)
        np.testing.assert_allclose(gradients[0][example], mean[:3], rtol=1e-9)
        np.testing.assert_allclose(gradients[1][example], mean[3:], rtol=1e-9)
        variance += sum(chance * np.sum((gradient - mean) ** 2) for chance, gradient in draws)
    row = table.rows["reinforce"]
    assert np.abs((row.mean - table.truth) / row.standard_error).max() < 5
    assert abs(row.variance - variance) < 5 * row.mse_standard_error < 0.1 * variance
    assert row.within_variance <= 1e-9 * variance
    assert table.num_outcomes == 6


@pytest.mark.parametrize("num_samples", [1, 2])
def test_the_part_within_is_given_all_samples_of_an_example(num_samples):
    case = CASES["single"]
    table = compare_estimators(
        case.program,
        tf.constant(case.parameters[np.newaxis]),
        ["reinforce", "sum_and_sample"],
        num_draws=20_000,
        num_samples=num_samples,
    )
    row = table.rows["reinforce"]
    assert row.within_variance <= 1e-9 * row.variance
    # What it draws first is no outcome of the example: several classes at once.
    assert np.isnan(table.rows["sum_and_sample"].within_variance)
    assert " - " in str(table)


def test_what_an_estimator_learns_goes_on_from_draw_to_draw():
    baseline = tfgumbel.RunningMean(decay=0.9)
    case = CASES["single"]
    inputs = tf.constant(case.parameters[np.newaxis])
    estimators = {"with": ("reinforce_baseline", {"baseline": baseline}), "without": "reinforce"}
    variable = tf.Variable(case.parameters[np.newaxis])
    table = compare_estimators(
        lambda draw, x: case.program(draw, x[:, tf.newaxis] + variable),
        tf.zeros([1], tf.float64),
        estimators,
        num_draws=1_000,
        variables=[variable],
    )
    assert abs(float(baseline.value) - case.value(case.parameters)) < 3.0
    assert table.rows["with"].variance < 0.9 * table.rows["without"].variance
    np.testing.assert_allclose(table.truth, exact_expectation(case.program, inputs)[1][0][0])


@pytest.mark.parametrize(
    "name", [n for n, e in registry.loss_estimators().items() if BERNOULLI in e.variables]
)
def test_every_estimator_of_the_loss_is_measured(name):
    case = CASES["binary"]
    table = compare_estimators(
        case.program, tf.constant(case.parameters[np.newaxis]), [name], num_draws=200
    )
    row = table.rows[name]
    assert np.isfinite(row.mse) and row.runs >= 1 and np.isfinite(row.within_variance)
