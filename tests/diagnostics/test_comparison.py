"""The table's numbers against enumeration, float64 references, and their own standard errors."""

import functools
import io
import itertools
import json

import numpy as np
import pytest
import rich.console
import tensorflow as tf

import tfgumbel
from tests.reference import conditional_derivatives, sample_conditional_derivatives, softmax
from tfgumbel.diagnostics import compare_estimators, exact_expectation
from tfgumbel.diagnostics.comparison import Measurement, summarize
from tfgumbel.diagnostics.moments import within_outcome_variance
from tfgumbel.diagnostics.problem import Problem
from tfgumbel.distributions.abilities import BERNOULLI

LOGITS = np.array([0.2, -0.6, 1.1])
COST = np.array([1.0, -0.5, 0.3])
TEMPERATURE = 0.5


def square(sample):
    """(cost . D)^2 + cost . D, the derivative of which differs from outcome to outcome."""
    score = tf.linalg.matvec(sample, tf.constant(COST, sample.dtype))
    return score**2 + score


def of_sample(f):
    """The program that draws one sample of its logits."""
    return lambda draw, logits: f(draw(logits))


def of_bits(f):
    """The program that draws binary variables."""
    return lambda draw, logits: f(draw.variable(BERNOULLI, logits))


def exact_moments(jacobian):
    """Mean, and variance of the conditional means, of an estimator with E[J | D] = jacobian[D]."""
    probs = softmax(LOGITS)
    upstream = (2.0 * COST + 1.0)[:, None] * COST  # row i: the derivative at D = i
    means = np.einsum("iab,ib->ia", jacobian, upstream)
    mean = probs @ means
    return mean, np.sum(probs * np.sum((means - mean) ** 2, 1))


@functools.cache
def comparison():
    return compare_estimators(
        of_sample(square),
        tf.constant(LOGITS[np.newaxis]),
        ["straight_through", "straight_through_gumbel_softmax", "gumbel_rao", "reinmax"],
        num_draws=100_000,
        seed=3,
        temperature=TEMPERATURE,
    )


def test_truth_is_the_sum_over_outcomes_of_several_variables():
    logits = np.array([[0.2, -0.6, 1.1], [1.0, 0.0, -2.0]])

    def value(logits):
        probs = softmax(logits)
        return sum(
            probs[0, i] * probs[1, j] * (COST[i] + 2.0 * COST[j]) ** 2
            for i, j in itertools.product(range(3), repeat=2)
        )

    def f(sample):
        scores = tf.linalg.matvec(sample, tf.constant(COST, sample.dtype))
        return (scores[:, 0] + 2.0 * scores[:, 1]) ** 2

    mean, (gradient,) = exact_expectation(of_sample(f), tf.constant(logits[np.newaxis]))
    gradient = gradient[0]
    np.testing.assert_allclose(mean, value(logits), rtol=1e-12)
    for index in np.ndindex(logits.shape):
        shift = np.zeros_like(logits)
        shift[index] = 1e-5
        slope = (value(logits + shift) - value(logits - shift)) / 2e-5
        np.testing.assert_allclose(gradient[index], slope, atol=1e-9)


def test_truth_of_bernoulli_variables_and_masked_classes():
    logits = np.array([[0.8, -0.4]])
    p, q = 1 / (1 + np.exp(-logits[0]))
    mean, (gradient,) = exact_expectation(
        of_bits(lambda d: d[:, 0] * (1.0 - 2.0 * d[:, 1])), tf.constant(logits)
    )
    np.testing.assert_allclose(mean, p * (1 - 2 * q), rtol=1e-12)
    np.testing.assert_allclose(gradient, [[p * (1 - p) * (1 - 2 * q), -2 * p * q * (1 - q)]])
    masked, (gradient,) = exact_expectation(
        of_sample(lambda d: tf.math.log(1.0 - d[:, 0])), tf.constant([[-np.inf, 0.0, 1.0]])
    )
    assert masked == 0.0 and gradient.tolist() == [[0.0, 0.0, 0.0]]


def test_truth_of_more_outcomes_than_are_taken_at_a_time():
    # 8,192 of them: two chunks.
    logits, slopes = np.linspace(-1.0, 1.0, 13), np.linspace(1.0, 2.0, 13)
    mean, (gradient,) = exact_expectation(
        of_bits(lambda d: tf.linalg.matvec(d, tf.constant(slopes))),
        tf.constant(logits[np.newaxis]),
    )
    probs = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(mean, probs @ slopes, rtol=1e-10)
    np.testing.assert_allclose(gradient[0], slopes * probs * (1 - probs), rtol=1e-10)


def sums_of(draws, codes, truth, num_outcomes):
    """The sums that make a row, from draws at hand."""
    error = draws - truth
    square = np.sum(error**2, 1)
    chosen = codes == np.arange(num_outcomes)[:, np.newaxis]
    cosine = draws @ truth / np.linalg.norm(draws, axis=1) / np.linalg.norm(truth)
    return {
        "number": float(len(draws)),
        "error": error.sum(0, keepdims=True),
        "square": square.sum(),
        "square_by_entry": np.sum(error**2, 0, keepdims=True),
        "fourth": np.sum(square**2),
        "cosine": cosine.sum(),
        "count": chosen.sum(1).astype(float)[np.newaxis],
        "outcome_error": (chosen @ error)[np.newaxis],
        "outcome_square": (chosen @ square)[np.newaxis],
    }


def test_a_row_is_the_sample_moments_of_its_draws():
    rng = np.random.default_rng(0)
    draws, truth = rng.normal(size=(11, 3)) + 0.5, np.array([1.0, -0.5, 0.2])
    codes = np.array([0] * 5 + [1] * 4 + [2] * 2)
    problem = Problem(of_sample(square), tf.zeros([1, 3]))
    row = summarize("own", sums_of(draws, codes, truth, 4), problem, truth, 3.0, 0.0)
    distances = np.sum((draws - truth) ** 2, 1)
    np.testing.assert_allclose(row.mean, draws.mean(0))
    np.testing.assert_allclose(row.bias, np.linalg.norm(draws.mean(0) - truth))
    np.testing.assert_allclose(row.variance, draws.var(0, ddof=1).sum())
    np.testing.assert_allclose(row.bias_standard_error, np.sqrt(row.variance / 11))
    np.testing.assert_allclose(row.standard_error, draws.std(0, ddof=1) / np.sqrt(11))
    np.testing.assert_allclose(row.mse, distances.mean())
    np.testing.assert_allclose(row.mse_standard_error, distances.std(ddof=1) / np.sqrt(11))
    within = [draws[codes == code].var(0, ddof=1).sum() for code in range(3)]
    np.testing.assert_allclose(row.within_variance, np.array([5, 4, 2]) @ within / 11)
    np.testing.assert_allclose(row.variance_per_run, 3 * row.variance)


def test_outcomes_drawn_once_say_nothing_of_the_variance_within():
    draws, truth = np.array([[1.0], [3.0], [7.0], [2.0]]), np.array([1.0])
    sums = sums_of(draws, np.array([0, 0, 1, 2]), truth, 4)
    np.testing.assert_allclose(within_outcome_variance(sums), 2.0)
    alone = sums_of(draws[:2], np.array([0, 1]), truth, 2)
    assert np.isnan(within_outcome_variance(alone))


def test_means_and_between_variances_are_the_exact_ones():
    jacobian, _ = conditional_derivatives(LOGITS, TEMPERATURE)
    mean, between = exact_moments(jacobian)
    probs = softmax(LOGITS)
    midpoint = (np.eye(3) + probs) / 2
    half = np.einsum("ia,ab->iab", midpoint, np.eye(3)) - np.einsum(
        "ia,ib->iab", midpoint, midpoint
    )
    straight = np.diag(probs) - np.outer(probs, probs)
    reinmax_mean, reinmax_between = exact_moments(2.0 * half - 0.5 * straight)
    straight_mean, straight_between = exact_moments(np.broadcast_to(straight, (3, 3, 3)))
    rows = comparison().rows
    for name, exact_mean, exact_between in (
        ("straight_through_gumbel_softmax", mean, between),
        ("gumbel_rao", mean, between),
        ("reinmax", reinmax_mean, reinmax_between),
        ("straight_through", straight_mean, straight_between),
    ):
        row = rows[name]
        assert np.abs((row.mean - exact_mean) / row.standard_error).max() < 5, name
        bias = np.linalg.norm(exact_mean - comparison().truth)
        assert abs(row.bias - bias) < 5 * row.bias_standard_error, name
        # A variance is known as well as the mean squared error is, the bias apart.
        tolerance = 5 * row.mse_standard_error + 5 * 2 * bias * row.bias_standard_error
        assert abs(row.between_variance - exact_between) < tolerance, name
        assert tolerance < 0.1 * row.variance
    assert rows["straight_through"].bias > 10 * rows["straight_through"].bias_standard_error


def test_within_variance_is_that_of_the_noise_given_the_outcome():
    rng = np.random.default_rng(0)
    probs = softmax(LOGITS)
    within, error = 0.0, 0.0
    for i in range(3):
        upstream = (2.0 * COST[i] + 1.0) * COST
        draws, _ = sample_conditional_derivatives(LOGITS, i, upstream, TEMPERATURE, 200_000, rng)
        distances = np.sum((draws - draws.mean(0)) ** 2, 1)
        within += probs[i] * distances.mean()
        error += (probs[i] * distances.std()) ** 2 / len(draws)
    row = comparison().rows["straight_through_gumbel_softmax"]
    error = np.sqrt(error + row.mse_standard_error**2)
    assert abs(row.within_variance - within) < 5 * error
    assert 5 * error < 0.15 * within


def test_estimators_without_noise_given_the_outcome_have_no_within_variance():
    for name in ("straight_through", "gumbel_rao", "reinmax"):
        row = comparison().rows[name]
        assert row.within_variance <= 1e-12 * row.variance


def test_error_is_variance_and_bias():
    for row in comparison().rows.values():
        np.testing.assert_allclose(row.mse, row.variance * (1 - 1e-5) + row.bias**2, rtol=1e-9)
        np.testing.assert_allclose(row.variance, row.within_variance + row.between_variance)


def test_standard_errors_are_calibrated():
    # 100 measurements of two independent entries: the mean square is 1 +- sqrt(2 / 200).
    program = of_sample(lambda d: (1.0 + d[:, 0, 0]) * (d[:, 1, 0] - 0.3) ** 2)
    logits = tf.constant([[[0.4, -0.4], [-1.0, 0.3]]], tf.float64)
    measurement = Measurement(Problem(program, logits), ["reinforce"], num_draws=400)
    scores, ratios = [], []
    for seed in range(100):
        result = measurement.run(seed, 1.0)
        row = result.rows["reinforce"]
        scores.append(((row.mean - result.truth) / row.standard_error)[::2])
        ratios.append((row.bias / row.bias_standard_error) ** 2)
    assert abs(np.mean(np.square(scores)) - 1.0) < 5 * np.sqrt(2 / 200)
    assert abs(np.mean(ratios) - 1.0) < 5 * np.std(ratios) / np.sqrt(100)


def test_cosines_are_those_of_the_draws():
    # Two classes: every draw is along (1, -1), so a cosine is +1 or -1 (or 0 without a gradient).
    table = compare_estimators(
        of_sample(lambda d: 3.0 * d[:, 0]), tf.zeros([1, 2], tf.float64), ["reinforce"], 10_000
    )
    # D = (1, 0): 3 (1, -1) / 2; else 0. The truth is (1, -1) 3 / 4.
    row = table.rows["reinforce"]
    assert abs(row.cosine - 0.5) < 5 * 0.5 / np.sqrt(10_000)
    np.testing.assert_allclose(row.cosine_of_mean, 1.0)


def test_relaxed_samples_count_as_the_outcome_they_round_to():
    table = compare_estimators(of_sample(square), tf.constant([LOGITS]), ["gumbel_softmax"], 20_000)
    row = table.rows["gumbel_softmax"]
    assert 0 < row.within_variance < row.variance


def test_bernoulli_estimators():
    table = compare_estimators(
        of_bits(lambda d: (d[:, 0] - 0.3) ** 2),
        tf.constant([[0.5]]),
        ["reinforce", "bernoulli_straight_through_gumbel_softmax", "bernoulli_gumbel_rao"],
        num_draws=20_000,
    )
    exact, noisy = (
        table.rows[name]
        for name in ("bernoulli_gumbel_rao", "bernoulli_straight_through_gumbel_softmax")
    )
    error = np.hypot(exact.standard_error, noisy.standard_error)
    assert abs(exact.mean - noisy.mean) < 5 * error
    assert exact.variance < noisy.variance
    assert exact.within_variance <= 1e-9 * exact.variance < noisy.within_variance


def test_estimators_are_names_pairs_or_callables():
    table = compare_estimators(
        of_sample(square),
        tf.constant([LOGITS]),
        {
            "cold": ("straight_through_gumbel_softmax", {"temperature": 0.1}),
            "default": "straight_through_gumbel_softmax",
            "own": lambda logits, *, seed: tfgumbel.straight_through_gumbel_softmax(
                logits, temperature=0.1, seed=seed
            ),
            "hot": functools.partial(tfgumbel.gumbel_rao, temperature=2.0),
        },
        num_draws=2_000,
    )
    variance = dict(zip(table["estimator"], table["variance"], strict=True))
    assert variance["cold"] == pytest.approx(variance["own"], rel=1e-6)
    assert variance["cold"] > 2 * variance["default"] > 2 * variance["hot"]


def test_a_table_prints_and_converts():
    table = comparison()
    assert table.columns[:2] == ("estimator", "bias") and len(table) == 4
    np.testing.assert_array_equal(table["variance"], [row.variance for row in table.rows.values()])
    columns = json.loads(json.dumps(table.to_dict()))
    assert columns["mse"][2] == table.rows["gumbel_rao"].mse
    frame = table.to_pandas()
    assert frame.loc["gumbel_rao", "variance"] == table.rows["gumbel_rao"].variance
    console = rich.console.Console(width=80, file=io.StringIO())
    console.print(table)
    for text in (console.file.getvalue(), str(table)):
        assert "100,000 draws" in text and "gumbel_rao" in text and "within" in text
    assert max(map(len, console.file.getvalue().splitlines())) <= 80
    with pytest.raises(KeyError, match="variance"):
        table["varianse"]


def wide(draw, logits):
    return tf.reduce_sum(square(draw(logits)), -1)


def chain(draw, logits):
    """A class, and another whose logits depend on it."""
    return square(draw(draw(logits) + logits))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"estimators": ["gumbel_max"]}, "no gradient"),
        ({"estimators": ["gumbel_rap"]}, "gumbel_rao"),
        ({"estimators": ["reinmax", "reinmax"]}, "named twice"),
        ({"estimators": []}, "empty"),
        (
            {"estimators": ["gapped_straight_through"], "program": of_bits(square)},
            "bernoulli_gumbel_rao",
        ),
        ({"estimators": ["disarm"], "program": chain}, "cannot do a cascade"),
        ({"estimators": ["reinmax"], "num_draws": 1}, "num_draws"),
        (
            {"estimators": ["reinmax"], "inputs": tf.zeros([1, 20, 3]), "program": wide},
            r"3 \*\* 20",
        ),
        ({"estimators": ["reinmax"], "program": of_sample(tf.reduce_sum)}, "wrong shape"),
        ({"estimators": ["reinmax"], "inputs": tf.zeros([])}, "no batch axis"),
        ({"estimators": ["reinmax"], "inputs": tf.zeros([1], tf.int32)}, "nothing to take"),
        (
            {"estimators": {"own": lambda logits, *, seed: tf.stop_gradient(logits)}},
            "no gradient",
        ),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    arguments = {
        "program": of_sample(square),
        "inputs": tf.zeros([1, 3]),
        "num_draws": 100,
        **arguments,
    }
    with pytest.raises(ValueError, match=message):
        compare_estimators(**arguments)
