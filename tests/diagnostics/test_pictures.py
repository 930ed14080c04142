"""What the pictures show: measurements against closed forms, and the data on the axes."""

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import conditional_derivatives, sample_conditional_derivatives, softmax
from tfgumbel import diagnostics
from tfgumbel.diagnostics import simplex

LOGITS = np.array([0.2, -0.6, 1.1])
VALUES = np.array([1.0, 3.0, -0.5])


def table_lookup(sample):
    return tf.linalg.matvec(sample, tf.constant(VALUES, sample.dtype))


@pytest.fixture(scope="module")
def curves():
    return diagnostics.variance_by_num_samples(
        table_lookup, tf.constant(LOGITS), num_samples=(1, 5, 25, 125), num_trials=400, seed=1
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
    return diagnostics.simplex_variances(temperatures=(0.3, 1.0), resolution=4, num_draws=20_000)


def quadratic_gradients():
    """Row i: the derivative 2 Q (D - c) at D = onehot(i)."""
    classes = np.arange(3)
    q = np.exp(-2.0 * np.abs(classes[:, None] - classes))
    return 2.0 * (np.eye(3) - 1 / 3) @ q


def test_the_program_is_the_papers():
    values = diagnostics.quadratic_program(tf.eye(3, dtype=tf.float64))
    away = np.eye(3) - 1 / 3
    np.testing.assert_allclose(values, np.sum(away * quadratic_gradients() / 2, 1), rtol=1e-12)


def test_simplex_variances_are_the_exact_ones(variances):
    rng = np.random.default_rng(0)
    upstream = quadratic_gradients()
    point = int(np.argmin(np.abs(variances.probs - [0.6, 0.3, 0.1]).sum(1)))
    probs = variances.probs[point]
    for index, temperature in enumerate(variances.temperatures):
        jacobian, _ = conditional_derivatives(np.log(probs), temperature)
        means = np.einsum("iab,ib->ia", jacobian, upstream)
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
    assert len(variances.probs) == 10 and variances.probs.min() > 0
    assert np.all(variances.log_ratio > 0)
    # Exchanging the first and the last class leaves the program as it is.
    mirror = [
        int(np.argmin(np.abs(variances.probs - probs[::-1]).sum(1))) for probs in variances.probs
    ]
    exact = variances.variances[:, 1]
    np.testing.assert_allclose(exact, exact[:, mirror], rtol=1e-2)
    np.testing.assert_allclose(variances.log_ratio, variances.log_ratio[:, mirror], atol=0.06)


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
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["temperature 0.3", "temperature 1"]


def test_temperatures():
    comparisons = diagnostics.compare_temperatures(
        table_lookup,
        tf.constant(LOGITS),
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
        table_lookup,
        tf.constant(LOGITS),
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
