"""What the pictures show: measurements against closed forms, and the data on the axes."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import conditional_derivatives, sample_conditional_derivatives, softmax
from tfgumbel import diagnostics
from tfgumbel.diagnostics import Row, simplex
from tfgumbel.diagnostics.temperature import _squared_bias

LOGITS = np.array([0.2, -0.6, 1.1])
VALUES = np.array([1.0, 3.0, -0.5])


def table_lookup(sample):
    return tf.linalg.matvec(sample, tf.constant(VALUES, sample.dtype))


def program(draw, logits):
    return table_lookup(draw(logits))


@pytest.fixture(scope="module")
def curves():
    return diagnostics.variance_by_num_samples(
        program,
        tf.constant(LOGITS[np.newaxis]),
        num_samples=(1, 5, 25, 125),
        num_trials=400,
        seed=1,
    )


def test_variance_falls_as_one_over_the_number_of_samples(curves):
    probs = softmax(LOGITS)
    gradients = VALUES[:, None] * (np.eye(3) - probs)
    mean = probs @ gradients
    exact = probs @ np.sum((gradients - mean) ** 2, 1)
    scores = (curves.variances["reinforce"] * curves.num_samples - exact) / (
        curves.standard_errors["reinforce"] * curves.num_samples
    )
    assert np.abs(scores).max() < 5
    # The slope's standard error is about 0.02.
    for slope in curves.slopes().values():
        assert abs(slope + 1.0) < 0.1


def test_sample_sizes_are_drawn_on_logarithmic_axes(curves):
    figure = diagnostics.plot_variance_against_num_samples(curves)
    (axes,) = figure.axes
    assert axes.get_xscale() == axes.get_yscale() == "log"
    drawn = [line.get_ydata() for line in axes.lines]
    for variance in curves.variances.values():
        assert any(np.array_equal(variance, line) for line in drawn)


def test_samples_at_four_temperatures():
    figure = diagnostics.plot_gumbel_softmax_samples(tf.constant(LOGITS), num_samples=2000)
    images = [np.array(axes.images[0].get_array()) for axes in figure.axes if axes.images]
    assert len(images) == 4
    for image in images:
        np.testing.assert_allclose(image.sum(1), 1.0, rtol=1e-5)
    sharpness = [np.mean(image.max(1)) for image in images]
    assert sharpness == sorted(sharpness, reverse=True)
    bars = [[bar.get_height() for bar in axes.patches] for axes in figure.axes if axes.patches]
    # 2,000 one-hot draws: each class's share to 5 standard errors.
    np.testing.assert_allclose(bars[0], softmax(LOGITS), atol=5 * 0.5 / np.sqrt(2000))
    np.testing.assert_allclose(bars[-1], np.full(3, 1 / 3), atol=0.1)


@pytest.fixture(scope="module")
def variances():
    return diagnostics.simplex_variances(temperatures=(0.3, 1.0), resolution=6, num_draws=20_000)


def program_by_hand(sample, probs, q):
    """The paper's A(p) entry by entry, in float64: for probabilities (3,) and samples (num, 3)."""
    a = np.empty((3, 3), probs.dtype)
    for i in range(3):
        for j in range(3):
            p, c = probs[[i, j]], 1 / 3
            if i == j:
                a[i, i] = (p[0] - c) ** 2 / (p[0] - 2 * p[0] * c + c**2) * q[i, i]
            else:
                moment = c * c - p[0] * c - c * p[1]
                a[i, j] = (p[0] - c) * (p[1] - c) / moment * q[i, j]
    away = sample - 1 / 3
    return np.sum(away @ a * away, 1), 2.0 * away @ a


Q = np.exp(-2.0 * np.abs(np.arange(3)[:, None] - np.arange(3)))
POINTS = np.array([[0.6, 0.3, 0.1], [0.05, 0.15, 0.8], [0.3, 0.3, 0.4], [0.34, 0.01, 0.65]])


def test_the_programs_expectation_is_the_quadratic_form_of_the_probabilities():
    """E[(D - c)^T A(p) (D - c)] = (p - c)^T Q (p - c), D enumerated."""
    vertices = tf.eye(3, dtype=tf.float64)
    for probs in POINTS:
        repeated = tf.constant(np.tile(probs, (3, 1)))
        costs = diagnostics.quadratic_program(vertices, repeated)
        np.testing.assert_allclose(costs, program_by_hand(np.eye(3), probs, Q)[0], rtol=1e-10)
        away = probs - 1 / 3
        assert probs @ costs.numpy() == pytest.approx(away @ Q @ away, rel=1e-10)


def test_the_program_takes_relaxed_samples_and_any_leading_axes():
    samples = np.random.default_rng(0).dirichlet([1.0, 1.0, 1.0], (2, 4))
    costs = diagnostics.quadratic_program(tf.constant(samples), tf.constant(POINTS))
    for row in range(2):
        for column, probs in enumerate(POINTS):
            expected, _ = program_by_hand(samples[row, [column]], probs, Q)
            assert costs[row, column].numpy() == pytest.approx(expected.item(), rel=1e-9)


def gradients_by_hand(probs):
    """Row i, at D = onehot(i): the cost's derivative for the sample; for the logits, through p."""
    _, through_sample = program_by_hand(np.eye(3), probs, Q)
    through_probs = np.empty((3, 3))
    for k in range(3):  # by a complex step
        weights = probs * np.exp(1e-30j * (np.arange(3) == k))
        costs, _ = program_by_hand(np.eye(3), weights / weights.sum(), Q)
        through_probs[:, k] = costs.imag / 1e-30
    return through_sample, through_probs


def test_simplex_variances_are_the_exact_ones(variances):
    rng = np.random.default_rng(0)
    point = int(np.argmin(np.abs(variances.probs - [0.6, 0.3, 0.1]).sum(1)))
    probs = variances.probs[point]
    upstream, direct = gradients_by_hand(probs)
    assert np.abs(direct).max() > 0.1
    for index, temperature in enumerate(variances.temperatures):
        jacobian, _ = conditional_derivatives(np.log(probs), temperature)
        means = np.einsum("iab,ib->ia", jacobian, upstream) + direct
        exact = probs @ np.sum((means - probs @ means) ** 2, 1)
        noisy, rao = variances.variances[index, :, point]
        # Exact Gumbel-Rao has no noise but D's: what is left is the quadrature's error.
        np.testing.assert_allclose(rao, exact, rtol=4e-3)
        draws = [
            sample_conditional_derivatives(np.log(probs), i, upstream[i], temperature, 100_000, rng)
            for i in range(3)
        ]
        within = probs @ [gradient.var(0).sum() for gradient, _ in draws]
        np.testing.assert_allclose(noisy, exact + within, rtol=0.08)


def test_simplex_grid(variances):
    np.testing.assert_allclose(variances.probs.sum(1), 1.0)
    assert len(variances.probs) == 21 and variances.probs.min() > 0
    assert np.all(variances.log_ratio > 0)
    # Exchanging the first and the last class leaves the program as it is.
    mirror = [
        int(np.argmin(np.abs(variances.probs - probs[::-1]).sum(1))) for probs in variances.probs
    ]
    exact = variances.variances[:, 1]
    np.testing.assert_allclose(exact, exact[:, mirror], rtol=1e-2)
    np.testing.assert_allclose(variances.log_ratio, variances.log_ratio[:, mirror], atol=0.06)


def test_no_gain_where_the_cost_is_constant():
    """In the centre, a point of this grid, every cost of the program is 0."""
    measured = diagnostics.simplex_variances(temperatures=(1.0,), resolution=1, num_draws=50)
    np.testing.assert_allclose(measured.probs, 1 / 3)
    assert measured.log_ratio.tolist() == [[0.0]]


def test_a_cost_may_leave_the_probabilities_alone():
    def cost(sample, probs):
        return table_lookup(sample)

    measured = diagnostics.simplex_variances(cost, (0.7,), resolution=3, num_draws=300)
    for probs, exact in zip(measured.probs, measured.variances[0, 1], strict=True):
        jacobian, _ = conditional_derivatives(np.log(probs), 0.7)
        means = jacobian @ VALUES
        expected = probs @ np.sum((means - probs @ means) ** 2, 1)
        assert exact == pytest.approx(expected, rel=4e-3)


def test_stratified_variance_is_unbiased():
    rng = np.random.default_rng(1)
    probs = np.array([[0.7, 0.3]])
    total = 0.7 * 2.0 + 0.3 * 8.0 + 0.7 * 0.3 * (1.0 - 4.0) ** 2
    estimates = []
    for _ in range(2000):
        drawn = rng.binomial(30, 0.3)
        groups = [rng.normal(1.0, 2.0**0.5, 30 - drawn), rng.normal(4.0, 8.0**0.5, drawn)]
        count = np.array([[float(len(group)) for group in groups]])
        sums = np.array([[[group.sum()] for group in groups]])
        squares = np.array([[(group**2).sum() for group in groups]])
        estimates.append(sum(simplex._stratified_variance(count, sums, squares, probs)).item())
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - total) < 5 * error < 0.1 * total


def test_contours_are_drawn_for_each_temperature(variances):
    figure = diagnostics.plot_simplex_contours(variances)
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["temperature 0.3", "temperature 1"]
    assert len(figure.axes) == 3, "one colour bar for all panels"
    scales = [axes.collections[0].norm for axes in panels]
    assert scales[0].vmin == scales[1].vmin and scales[0].vmax == scales[1].vmax
    assert scales[0].vmin <= variances.log_ratio.min() < variances.log_ratio.max()


def test_temperatures():
    comparisons = diagnostics.compare_temperatures(
        program,
        tf.constant(LOGITS[np.newaxis]),
        ["straight_through_gumbel_softmax", "reinforce", "straight_through"],
        temperatures=(0.2, 1.0),
        num_draws=5_000,
    )
    assert list(comparisons) == [0.2, 1.0, None]
    assert list(comparisons[None].rows) == ["reinforce", "straight_through"]
    cold, hot = (
        comparisons[temperature].rows["straight_through_gumbel_softmax"]
        for temperature in (0.2, 1.0)
    )
    alone = diagnostics.compare_estimators(
        program,
        tf.constant(LOGITS[np.newaxis]),
        ["straight_through_gumbel_softmax"],
        num_draws=5_000,
        temperature=0.2,
    )
    assert alone["variance"][0] == pytest.approx(cold.variance, rel=1e-5)
    assert cold.variance > 2 * hot.variance
    figure = diagnostics.plot_bias_variance(comparisons)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "squared bias",
        "variance",
        "mean squared error",
    ]
    drawn = figure.axes[1].lines[0].get_ydata()
    np.testing.assert_allclose(drawn, [cold.variance, hot.variance])
    # The function is linear, so neither of these has a bias, hence a level among squared biases.
    assert not level_lines(figure.axes[0])
    levels = [line.get_label() for line in level_lines(figure.axes[1])]
    assert levels == ["reinforce", "straight_through"]


def level_lines(axes):
    return [line for line in axes.lines if list(line.get_xdata()) == [0, 1]]


def row_of(bias, spread):
    """A row of a measurement of 100 draws: the length of their mean error, and their deviation."""
    return Row(
        estimator="it",
        bias=bias,
        bias_standard_error=spread / 10.0,
        variance=spread**2,
        within_variance=0.0,
        between_variance=spread**2,
        runs=1.0,
        variance_per_run=spread**2,
        mse=spread**2 + bias**2,
        mse_standard_error=0.25,
        cosine=1.0,
        cosine_of_mean=1.0,
        seconds=0.0,
        mean=np.zeros(3),
        standard_error=np.zeros(3),
    )


def bar_of(axes):
    """Lower and upper end of the first point's error bar."""
    return axes.containers[0].lines[2][0].get_segments()[0][:, 1]


def test_the_variances_share_is_no_bias():
    rows = {0.5: row_of(bias=0.3, spread=1.0), 1.0: row_of(bias=0.15, spread=1.0)}
    comparisons = {
        heat: diagnostics.Comparison({"it": row}, 0.0, np.zeros(3), 3, 100, 100)
        for heat, row in rows.items()
    }
    bias, _, error = diagnostics.plot_bias_variance(comparisons).axes
    np.testing.assert_allclose(bias.containers[0].lines[0].get_ydata(), [0.08, np.nan])
    deviation = np.sqrt(2 * 0.01**2 + 4 * 0.08 * 0.01)
    np.testing.assert_allclose(bar_of(bias), [0.08 - deviation, 0.08 + deviation])
    # 0.15 is within two of 0.1: the marker is as high as the squared bias can be.
    deviation = np.sqrt(2 * 0.01**2 + 4 * 0.0125 * 0.01)
    assert bias.lines[-1].get_markerfacecolor() == "white"
    np.testing.assert_allclose(bias.lines[-1].get_xydata(), [[1.0, 0.0125 + 2 * deviation]])
    np.testing.assert_allclose(bar_of(error), [1.09 - 0.25, 1.09 + 0.25])
    squared, deviation, resolved = _squared_bias(row_of(bias=0.0, spread=1.0))
    assert (squared, resolved) == (0.0, False)
    assert deviation == pytest.approx(2**0.5 * 0.01)


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_the_error_of_the_squared_bias_covers_its_scatter(shift):
    rng = np.random.default_rng(3)
    mixing = np.array([[1.0, 0.0, 0.0], [0.8, 0.5, 0.0], [-0.6, 0.3, 0.9]])
    means = rng.normal(size=(20_000, 3)) @ mixing.T / 10.0 + [shift, 0.0, 0.0]
    row = row_of(bias=0.0, spread=np.sqrt(np.sum(mixing**2)))
    rows = [dataclasses.replace(row, bias=length) for length in np.linalg.norm(means, axis=1)]
    estimates = np.array([row.bias**2 - row.bias_standard_error**2 for row in rows])
    errors = [_squared_bias(row)[1] for row in rows]
    deviation = np.std(estimates)
    assert abs(np.mean(estimates) - shift**2) < 5 * deviation / np.sqrt(20_000)
    assert deviation < np.sqrt(np.mean(np.square(errors))) < 3 * deviation
