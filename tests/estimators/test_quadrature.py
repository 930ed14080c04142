"""Exact Gumbel-Rao against float64 references, closed forms and its own symmetries."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, special

from tests import reference
from tfgumbel.numerics import quadrature, quadrature_series

TEMPERATURES = (0.0, 0.01, 0.05, 0.1, 0.3, 0.5, 1.0, 2.0, 5.0)
EVERY_TEMPERATURE = (*TEMPERATURES, 1e-3, 10.0, 1e3)


@tf.function
def _categorical(logits, sample, upstream, temperature):
    return quadrature.categorical_gumbel_rao_vjp(logits, sample, upstream, temperature)


@tf.function
def _bernoulli(logits, sample, upstream, temperature):
    return quadrature.bernoulli_gumbel_rao_vjp(logits, sample, upstream, temperature)


def _every_sample(logits, upstream, temperature, dtype=np.float32):
    """Both products for every class as the drawn one: [n, n] and their temperature sum."""
    size = len(logits)
    gradient, temperature_gradient = _categorical(
        np.tile(logits, (size, 1)).astype(dtype),
        np.eye(size, dtype=dtype),
        np.tile(upstream, (size, 1)).astype(dtype),
        tf.constant(temperature, dtype),
    )
    return gradient.numpy(), float(temperature_gradient)


def _relative_errors(got, expected):
    return np.abs(got - expected).max(-1) / np.abs(expected).max(-1)


def _reference(logits, temperature):
    if temperature == 0.0:
        return reference.cold_limit_jacobian(logits)
    return reference.conditional_derivatives(logits, temperature)[0]


def test_the_reference_agrees_with_sampling():
    # 4e5 draws: the standard errors below are about 0.2% of the largest component.
    rng = np.random.default_rng(0)
    upstream = np.array([1.0, -0.5, 0.3])
    for logits, index, temperature in [
        ([0.5, -1.0, 0.2], 0, 0.2),
        ([0.5, -1.0, 0.2], 1, 1.5),
        ([2.0, -2.0, 0.0], 2, 0.7),
    ]:
        jacobian, by_temperature = reference.conditional_derivatives(logits, temperature)
        draws = reference.sample_conditional_derivatives(
            logits, index, upstream, temperature, 400_000, rng
        )
        for sampled, expected in zip(
            draws, (jacobian[index] @ upstream, by_temperature[index] @ upstream), strict=True
        ):
            standard_error = sampled.std(0) / np.sqrt(len(sampled))
            assert np.all(np.abs(sampled.mean(0) - expected) < 5 * standard_error)
            assert np.all(standard_error < 0.01 * np.abs(jacobian[index]).max())


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_error_against_the_reference(temperature):
    # logits N(0, 3^2), every class as the drawn one, the very improbable ones included
    rng = np.random.default_rng(1)
    errors = []
    for size, repetitions in ((2, 4), (4, 2), (8, 1), (16, 1)):
        for _ in range(repetitions):
            logits, upstream = rng.normal(0, 3, size), rng.normal(size=size)
            gradient, _ = _every_sample(logits, upstream, temperature)
            errors.extend(_relative_errors(gradient, _reference(logits, temperature) @ upstream))
    assert np.median(errors) < 2e-4
    assert np.max(errors) < 1e-3


@pytest.mark.parametrize("temperature", (0.05, 5.0))
def test_error_with_many_classes(temperature):
    rng = np.random.default_rng(2)
    logits, upstream = rng.normal(0, 3, 64), rng.normal(size=64)
    gradient, _ = _every_sample(logits, upstream, temperature)
    errors = _relative_errors(gradient, _reference(logits, temperature) @ upstream)
    assert np.median(errors) < 2e-4
    assert np.max(errors) < 1e-3


@pytest.mark.parametrize("temperature", (1e-3, 0.3, 1.0, 10.0, 1e3))
def test_temperature_gradient_against_the_reference(temperature):
    rng = np.random.default_rng(3)
    for size in (2, 3, 5):
        logits, upstream = rng.normal(0, 3, size), rng.normal(size=size)
        expected = reference.conditional_derivatives(logits, temperature)[1]
        for index in range(size):
            sample = np.eye(size, dtype=np.float32)[index]
            _, got = _categorical(
                logits.astype(np.float32),
                sample,
                upstream.astype(np.float32),
                tf.constant(temperature, tf.float32),
            )
            scale = np.abs(expected[index]).max() * np.abs(upstream).max()
            assert abs(float(got) - expected[index] @ upstream) < 5e-3 * scale


@pytest.mark.parametrize("size", (2, 3, 7))
def test_cold_limit_is_the_closed_form(size):
    # 1/2 sum_j p_j (v_i - v_j) (e_i - e_j), the gradient of ReinMax at temperature 1
    rng = np.random.default_rng(4)
    logits, upstream = rng.normal(0, 3, size), rng.normal(size=size)
    expected = reference.cold_limit_jacobian(logits) @ upstream
    gradient, temperature_gradient = _every_sample(logits, upstream, 0.0)
    assert _relative_errors(gradient, expected).max() < 1e-4
    assert np.isfinite(temperature_gradient)


def test_binary_closed_form_at_temperature_one():
    # c = q (log1p(d) - d + d^2/2) / d^3, d = 1 - 2p, for p the drawn value's probability
    p = np.array([0.05, 0.2, 0.4, 0.7, 0.95])
    q, d = 1 - p, 1 - 2 * p
    expected = q * (np.log1p(d) - d + d**2 / 2) / d**3
    logits = np.log(p / q)
    for sample, sign in ((1.0, 1.0), (0.0, -1.0)):
        got, _ = _bernoulli(
            sign * logits, np.full(5, sample), np.ones(5), tf.constant(1.0, tf.float64)
        )
        np.testing.assert_allclose(got, expected, rtol=1e-3)


@pytest.mark.parametrize("temperature", (0.3, 1.0, 2.0, 5.0))
def test_a_rare_value_has_the_digits_of_its_integral(temperature):
    # E[S (1 - S) | B] / temperature over the logistic noise, at odds down to the basis's floor.
    def integrand(score, logit):
        away = np.exp(-np.abs(score - logit))
        share = special.expit(score / temperature)
        return away / (1 + away) ** 2 * share * (1 - share) / temperature

    logits = np.array([-8.0, -14.0, -20.0, -23.0])
    for value, ends in ((0.0, (-60.0, 0.0)), (1.0, (0.0, 60.0))):
        whole = [
            integrate.quad(integrand, *ends, (logit,), limit=500, epsabs=0.0, epsrel=1e-9)[0]
            for logit in logits
        ]
        expected = np.array(whole) / special.expit((2 * value - 1) * logits)
        got, _ = _bernoulli(
            logits, np.full(4, value), np.ones(4), tf.constant(temperature, tf.float64)
        )
        np.testing.assert_allclose(got, expected, rtol=1e-3)


def test_bernoulli_is_the_two_class_categorical():
    logits = np.array([-3.0, 0.1, 2.0], np.float32)
    upstream = np.array([1.0, -2.0, 0.5], np.float32)
    sample = np.array([1.0, 0.0, 1.0], np.float32)
    temperature = tf.constant(0.4)
    gradient, by_temperature = _bernoulli(logits, sample, upstream, temperature)
    pairs = [np.stack([x, y], -1) for x, y in ((logits, 0 * logits), (sample, 1 - sample))]
    both, both_by_temperature = _categorical(
        *pairs, np.stack([upstream, 0 * upstream], -1), temperature
    )
    np.testing.assert_allclose(both[:, 0], gradient, rtol=1e-6)
    np.testing.assert_allclose(both[:, 1], -gradient, rtol=1e-6)
    np.testing.assert_allclose(both_by_temperature, by_temperature, rtol=1e-6)


@pytest.mark.parametrize("temperature", (0.0, 0.3, 3.0))
def test_a_masked_class_is_as_if_absent(temperature):
    logits, upstream = np.array([0.3, -np.inf, 1.0, -2.0]), np.array([1.0, 5.0, -1.0, 0.5])
    kept = [0, 2, 3]
    dropped, dropped_by_temperature = _every_sample(logits[kept], upstream[kept], temperature)
    sample = np.eye(4, dtype=np.float32)[kept]
    masked, masked_by_temperature = _categorical(
        np.tile(logits, (3, 1)).astype(np.float32),
        sample,
        np.tile(upstream, (3, 1)).astype(np.float32),
        tf.constant(temperature, tf.float32),
    )
    assert np.all(masked.numpy()[:, 1] == 0.0)
    # not identical: the nodes depend on the number of classes
    assert _relative_errors(masked.numpy()[:, kept], dropped).max() < 5e-4
    np.testing.assert_allclose(masked_by_temperature, dropped_by_temperature, rtol=5e-3)


def test_a_class_alone_has_no_gradient():
    logits = np.array([[0.0, -np.inf, -np.inf], [-np.inf, 0.0, -np.inf]], np.float32)
    sample = np.eye(3, dtype=np.float32)[:2]
    gradient, by_temperature = _categorical(logits, sample, sample + 1.0, tf.constant(0.5))
    assert np.all(gradient.numpy() == 0.0)
    assert float(by_temperature) == 0.0


@pytest.mark.parametrize("temperature", (0.0, 0.5, 20.0))
def test_permuting_the_classes_permutes_the_gradient(temperature):
    rng = np.random.default_rng(5)
    logits, upstream = rng.normal(0, 2, 6), rng.normal(size=6)
    order = rng.permutation(6)
    gradient, _ = _every_sample(logits, upstream, temperature)
    permuted, _ = _every_sample(logits[order], upstream[order], temperature)
    np.testing.assert_allclose(permuted, gradient[order][:, order], rtol=1e-4, atol=1e-6)


def test_constants_change_nothing():
    rng = np.random.default_rng(6)
    logits, upstream = rng.normal(0, 2, 5), rng.normal(size=5)
    gradient, _ = _every_sample(logits, upstream, 0.7)
    shifted, _ = _every_sample(logits + 3.0, upstream - 2.0, 0.7)
    np.testing.assert_allclose(shifted, gradient, atol=2e-6)
    np.testing.assert_allclose(gradient.sum(-1), 0.0, atol=1e-6)


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("size", (2, 5))
def test_extremes_are_finite(size, dtype):
    rows = [[1e4, -1e4, 0.0, 0.0, 1.0], [0.0, -np.inf, 1e4, 0.0, 2.0], [-1e4, -1e4, -1e4, -1e4, 0]]
    for row in rows:
        logits = np.array(row)[:size]
        finite = np.isfinite(logits)
        for temperature in EVERY_TEMPERATURE:
            sample = np.eye(size, dtype=dtype)[finite]
            gradient, by_temperature = _categorical(
                np.tile(logits, (len(sample), 1)).astype(dtype),
                sample,
                np.tile(np.arange(size), (len(sample), 1)).astype(dtype),
                tf.constant(temperature, dtype),
            )
            assert np.all(np.isfinite(gradient))
            assert np.all(gradient.numpy()[:, ~finite] == 0.0)
            assert np.isfinite(by_temperature)


@pytest.mark.parametrize("size", (2, 6))
def test_eager_graph_and_xla_agree_for_any_leading_shape(size):
    rng = np.random.default_rng(7)
    logits = rng.normal(0, 3, (2, 3, 4, size)).astype(np.float32)
    sample = np.eye(size, dtype=np.float32)[rng.integers(size, size=(2, 3, 4))]
    upstream = rng.normal(size=logits.shape).astype(np.float32)
    function = quadrature.categorical_gumbel_rao_vjp
    unknown = [tf.TensorSpec([None, None, 4, size])] * 3 + [tf.TensorSpec([])]
    arguments = (*map(tf.constant, (logits, sample, upstream)), tf.constant(0.6))
    eager = function(*arguments)
    assert eager[0].shape == logits.shape
    for compiled in (
        tf.function(function, input_signature=unknown),
        tf.function(function, jit_compile=True),
    ):
        for got, expected in zip(compiled(*arguments), eager, strict=True):
            np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


def test_a_new_temperature_does_not_retrace():
    traced = tf.function(quadrature.categorical_gumbel_rao_vjp)
    arguments = tf.zeros([3, 4]), tf.one_hot([0, 1, 2], 4), tf.eye(4)[:3]
    for temperature in (0.0, 0.1, 2.0):
        traced(*arguments, tf.constant(temperature))
    assert traced.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("jit_compile", (False, True))
def test_chunks_change_nothing(monkeypatch, jit_compile):
    rng = np.random.default_rng(8)
    logits = tf.constant(rng.normal(0, 3, (23, 3)), tf.float32)
    sample = tf.one_hot(rng.integers(3, size=23), 3)
    upstream = tf.constant(rng.normal(size=(23, 3)), tf.float32)
    arguments = logits, sample, upstream, tf.constant(0.5)
    whole = _categorical(*arguments)
    monkeypatch.setattr(quadrature, "_CHUNK_SIZE", 15)  # five rows
    chunked = tf.function(quadrature.categorical_gumbel_rao_vjp, jit_compile=jit_compile)
    names = {op.type for op in chunked.get_concrete_function(*arguments).graph.get_operations()}
    assert names & {"While", "StatelessWhile"}
    for got, expected in zip(chunked(*arguments), whole, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_no_variables_at_all():
    empty = tf.zeros([0, 5])
    gradient, by_temperature = _categorical(empty, empty, empty, tf.constant(0.5))
    assert gradient.shape == (0, 5)
    assert float(by_temperature) == 0.0


@pytest.mark.parametrize("jit_compile", (False, True))
def test_an_unknown_number_of_classes(monkeypatch, jit_compile):
    # One trace for every size; its errors are those of the rule for a number that is known.
    monkeypatch.setattr(quadrature, "_CHUNK_SIZE", 61)  # chunks that do not divide the rows
    unknown = tf.function(
        quadrature.categorical_gumbel_rao_vjp,
        input_signature=[tf.TensorSpec([None, None])] * 3 + [tf.TensorSpec([])],
        jit_compile=jit_compile,
    )
    rng = np.random.default_rng(9)
    for size, temperature in itertools.product((2, 5, 19), (0.0, 0.3, 1.0, 10.0)):
        logits, upstream = rng.normal(0, 3, size), rng.normal(size=size)
        gradient, by_temperature = unknown(
            np.tile(logits, (size, 1)).astype(np.float32),
            np.eye(size, dtype=np.float32),
            np.tile(upstream, (size, 1)).astype(np.float32),
            tf.constant(temperature),
        )
        expected, expected_by_temperature = _every_sample(logits, upstream, temperature)
        assert _relative_errors(gradient.numpy(), expected).max() < 1e-3
        reference_product = _reference(logits, temperature) @ upstream
        assert _relative_errors(gradient.numpy(), reference_product).max() < 5e-4
        scale = np.abs(expected).max(-1).sum()
        assert abs(float(by_temperature) - expected_by_temperature) < 5e-3 * scale
    assert unknown.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("size", (1, 3, 4, 5, 8, 9, 16, 17, 64))
def test_sums_of_exponentials_for_the_inverse_square(size):
    s = np.exp(np.linspace(0.0, np.log(size), 1001))
    t, weights = quadrature_series.inverse_square_nodes(size, tf.float64)
    error = np.exp(-np.outer(s, t)) @ weights.numpy() * s * s - 1.0
    assert np.abs(error).max() < 4e-4
    # The low-temperature limit, the mean over 1 <= s <= 2, is 1/2.
    mean = np.sum(weights * np.exp(-t) * -np.expm1(-t) / t)
    np.testing.assert_allclose(mean, 0.5, rtol=1e-6)


@pytest.mark.parametrize("size", (65, 1000, 50_000))
def test_trapezoidal_nodes_for_many_classes(size):
    s = np.exp(np.linspace(0.0, np.log(size), 1001))
    for number in (size, tf.constant(size)):
        t, weights = quadrature_series.inverse_square_nodes(number, tf.float64)
        error = np.exp(-np.outer(s, t)) @ weights.numpy() * s * s - 1.0
        assert np.abs(error).max() < 1e-3
        assert np.abs(error[s < 0.5 * size]).max() < 5e-4


@pytest.mark.parametrize("gap", (30.0, 80.0))
@pytest.mark.parametrize("temperature", (0.5, 1.0, 5.0))
def test_a_class_far_below_keeps_its_power_law(gap, temperature):
    # W = (1 + E_j / (E_i p_j))^(-1 / temperature) ~ (E_i p_j / E_j)^(1 / temperature): two gaps of
    # the same improbable class differ by p^k, k = min(1, 1 / temperature).
    def component(distance):
        logits = np.array([0.5, 0.0, -distance])
        return _every_sample(logits, np.array([1.0, -1.0, 2.0]), temperature, np.float64)[0][0, 2]

    further = component(gap + 2.0) / component(gap)
    rate = min(1.0, 1.0 / temperature)
    tolerance = 0.1 if temperature == 1.0 else 0.02  # p log p at temperature 1
    np.testing.assert_allclose(further, np.exp(-2.0 * rate), rtol=tolerance)
