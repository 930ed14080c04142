"""Gumbel-Rao against straight-through Gumbel-Softmax: the same mean, less variance; its limits."""

import functools
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import tfgumbel
from tests import reference
from tests.estimators.cases import Case, run
from tfgumbel.numerics import conditional_monte_carlo
from tfgumbel.numerics.conditional_monte_carlo import categorical_gumbel_rao_monte_carlo_vjp

LOGITS = np.array([0.6, -0.5, 0.2, -1.4])
TARGET = np.array([0.1, 0.7, -0.4, 0.9])
ROWS = 60_000
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def gradients(name: str, temperature: float, seed: int, rows: int = ROWS, **options) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Gradients of |D - target|^2, one for every row."""
    logits = tf.constant(np.tile(LOGITS, (rows, 1)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        estimator = tfgumbel.registry.get(name)
        sample = estimator(logits, temperature=temperature, seed=seed, **options)
        loss = tf.reduce_sum(tf.square(sample - tf.constant(TARGET, tf.float32)))
    return tape.gradient(loss, logits).numpy().astype(np.float64)


@pytest.mark.parametrize("temperature", [0.2, 0.5, 1.0])
def test_same_mean_as_straight_through_and_no_more_variance(temperature: float) -> None:
    plain = gradients("straight_through_gumbel_softmax", temperature, 1)
    spread = plain.var(0).sum()
    largest = np.abs(plain.mean(0)).max()
    for options in (
        {"num_samples": "exact"},
        {"num_samples": 10},
        {"num_samples": 10, "noise": "stratified"},
    ):
        better = gradients("gumbel_rao", temperature, 2, **options)
        error = np.sqrt((plain.var(0) + better.var(0)) / ROWS)
        assert np.all(np.abs(plain.mean(0) - better.mean(0)) < 5 * error), options
        assert error.max() < 0.02 * largest  # what the sample size sees
        # The variance's own standard error, from the squared distances' spread, is below 1.5%.
        assert better.var(0).sum() < 0.95 * spread, options


def test_one_sample_is_distributed_as_straight_through() -> None:
    one = gradients("gumbel_rao", 0.5, 3, num_samples=1)
    stratified = gradients("gumbel_rao", 0.5, 4, num_samples=1, noise="stratified")
    plain = gradients("straight_through_gumbel_softmax", 0.5, 5)
    # Kolmogorov-Smirnov on 60,000 against 60,000 sees a shift of the distribution by 1%.
    directions = [*np.eye(4), np.random.default_rng(0).normal(size=4)]
    for other in (one, stratified):
        for direction in directions:
            result = stats.ks_2samp(other @ direction, plain @ direction)
            assert result.pvalue > 1e-5
        # What it would see: the same gradients at a temperature 10% higher.
    hotter = gradients("straight_through_gumbel_softmax", 0.55, 6)
    assert stats.ks_2samp(hotter @ directions[-1], plain @ directions[-1]).pvalue < 1e-5


@pytest.mark.parametrize("noise", ["independent", "stratified"])
def test_many_samples_tend_to_the_exact_expectation(noise: str) -> None:
    """The distance to the exact gradient falls as 1 / sqrt(K), or faster."""
    exact = gradients("gumbel_rao", 0.5, 7, rows=400)
    distances = []
    for num_samples in (10, 160, 2560):
        close = gradients("gumbel_rao", 0.5, 7, rows=400, num_samples=num_samples, noise=noise)
        distances.append(np.sqrt(np.square(close - exact).sum(-1).mean()))
    # The same seed draws the same samples, so only the noise given the sample differs.
    ratios = np.array(distances[:-1]) / distances[1:]
    if noise == "independent":
        np.testing.assert_allclose(ratios, 4.0, rtol=0.15)
    else:
        assert np.all(ratios > 4.0)


def test_stratified_noise_has_less_variance_at_equal_samples() -> None:
    rng = np.random.default_rng(5)
    for num_classes in (2, 4, 16):
        logits = tf.constant(np.tile(rng.normal(size=(20, 1, num_classes)), (1, 50, 1)))
        upstream = tf.constant(np.tile(rng.normal(size=(20, 1, num_classes)), (1, 50, 1)))
        exact = Case(tfgumbel.registry.get("gumbel_rao"))
        arguments = logits, upstream, tf.constant(0.5, tf.float64), tf.constant([3, 3])
        target = run(exact, *arguments)[1]
        errors = []
        for noise in ("independent", "stratified"):
            case = Case(exact.entry, (("num_samples", 32), ("noise", noise)))
            errors.append(float(tf.reduce_sum(tf.square(run(case, *arguments)[1] - target))))
        assert errors[1] < 0.5 * errors[0], num_classes


def test_cold_limits_agree() -> None:
    """ReinMax at 1 = ZGR = Gumbel-Rao at 0, and the limit of its own small temperatures."""
    rng = np.random.default_rng(6)
    logits, upstream = (tf.constant(2 * rng.normal(size=(300, 5)), tf.float64) for _ in range(2))
    seed = tf.constant([4, 4])

    def gradient(name, temperature):  # type: ignore[no-untyped-def]
        case = Case(tfgumbel.registry.get(name))
        heat = tf.constant(temperature, tf.float64)
        sample, grad_logits, _ = run(case, logits, upstream, heat, seed)
        return sample.numpy(), grad_logits.numpy()

    sample, expected = gradient("zero_temperature_gumbel_rao", 1.0)
    jacobians = np.array([reference.cold_limit_jacobian(row) for row in logits.numpy()])
    jacobian = jacobians[np.arange(300), sample.argmax(-1)]
    np.testing.assert_allclose(
        expected, np.einsum("rij,rj->ri", jacobian, upstream.numpy()), rtol=1e-9, atol=1e-12
    )
    drawn, second_order = gradient("reinmax", 1.0)
    np.testing.assert_array_equal(drawn, sample)
    np.testing.assert_allclose(second_order, expected, rtol=1e-9, atol=1e-12)
    for temperature, tolerance in ((0.0, 1e-4), (1e-3, 1e-2)):
        drawn, cold = gradient("gumbel_rao", temperature)
        other, zero = gradient("zero_temperature_gumbel_rao", 1.0)
        same = (drawn == other).all(-1)
        assert same.sum() > 100
        scale = np.abs(zero).max(-1, keepdims=True)[same]
        assert np.max(np.abs(cold - zero)[same] / scale) < tolerance, temperature


def monte_carlo(logits, sample, upstream, temperature, num_samples, noise="independent"):  # type: ignore[no-untyped-def]
    """The VJP for the logits and the temperature."""
    return categorical_gumbel_rao_monte_carlo_vjp(
        logits,
        sample,
        upstream,
        tf.cast(temperature, logits.dtype),
        tf.constant([8, 8]),
        num_samples=num_samples,
        stratified=noise == "stratified",
        with_temperature=True,
    )


@pytest.mark.parametrize("noise", ["independent", "stratified"])
@pytest.mark.parametrize("static", [True, False])
def test_a_number_of_samples_that_chunks_do_not_divide(monkeypatch, noise, static) -> None:  # type: ignore[no-untyped-def]
    """K = 10 in chunks of 7: a mean over 10, not over the 14 that were drawn."""
    rows = 3001
    rng = np.random.default_rng(11)
    logits = np.tile(rng.normal(size=3), (rows, 1))
    sample, upstream = np.tile(np.eye(3)[1], (rows, 1)), np.tile(rng.normal(size=3), (rows, 1))
    monkeypatch.setattr(conditional_monte_carlo, "CHUNK_ELEMENTS", 7 * 3 * rows)
    function = functools.partial(monte_carlo, temperature=0.5, num_samples=10, noise=noise)
    if not static:
        unknown = [tf.TensorSpec([None, 3], tf.float64)] * 3
        function = tf.function(function, input_signature=unknown)
    gradient, by_temperature = function(*map(tf.constant, (logits, sample, upstream)))
    jacobian, temperature_derivative = reference.conditional_derivatives(logits[0], 0.5)
    expected = jacobian[1] @ upstream[0]
    error = gradient.numpy().std(0) / np.sqrt(rows)
    assert np.all(np.abs(gradient.numpy().mean(0) - expected) < 5 * error)
    assert error.max() < 0.01 * np.abs(expected).max()  # 10 / 14 would be off by 28%
    expected_by_temperature = temperature_derivative[1] @ upstream[0]
    np.testing.assert_allclose(by_temperature / rows, expected_by_temperature, rtol=0.05)


@pytest.mark.parametrize("gap", [30.0, 59.0, 61.0, 80.0, 110.0, 200.0])
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_monte_carlo_with_a_class_far_below(gap, dtype) -> None:  # type: ignore[no-untyped-def]
    """log W = -log1p(E_j / (E_i p_j)) / temperature, on both sides of the split of 1 / p_j.

    At such gaps log1p is log, so that with one draw and the same noise, W falls by
    exp(-(gap - 25) / temperature) from a gap of 25 to one of `gap`.
    """
    temperature = 20.0
    sample, upstream = (tf.constant(np.tile(x, (50, 1)), dtype) for x in ([1, 0], [0, 1]))

    def odds(distance: float) -> np.ndarray:
        logits = tf.constant(np.tile([0.0, -distance], (50, 1)), dtype)
        gradient, _ = monte_carlo(logits, sample, upstream, temperature, 1)
        # S_j (1 - S_j) / temperature with S_j = W / (1 + W) <= 1/2
        share = 0.5 - np.sqrt(0.25 - temperature * gradient.numpy()[:, 1].astype(np.float64))
        return share / (1.0 - share)

    expected = np.exp(-(gap - 25.0) / temperature)
    np.testing.assert_allclose(odds(gap) / odds(25.0), expected, rtol=1e-3)


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_number_of_samples() -> None:
    extra = []
    for num_samples in (10, 1000):
        request = json.dumps({"num_samples": num_samples, "shape": [200, 60, 16]})
        command = [sys.executable, "-m", "benchmarks.estimators.memory", request]
        done = subprocess.run(  # noqa: S603
            command, cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
        extra.append(float(done.stdout.split()[-1]))
    # MiB: the logits alone are .7, and the noise of 1,000 samples at once would be 732.
    assert extra[0] > 2
    assert extra[1] < 2 * extra[0], extra


@pytest.mark.parametrize("num_samples", ["exact", 7])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_layer_fits_with_a_number_of_classes_that_varies(num_samples, jit_compile) -> None:  # type: ignore[no-untyped-def]
    """Hard attention over a memory of any length."""
    query, memory = keras.Input([4]), keras.Input([None, 4])
    scores = keras.layers.Dot((2, 1))([memory, keras.layers.Dense(4)(query)])
    chosen = tfgumbel.GumbelRaoLayer(num_samples=num_samples, seed=0)(scores)
    output = keras.layers.Dense(1)(keras.layers.Dot((1, 1))([chosen, memory]))
    model = keras.Model([query, memory], output)
    model.compile("sgd", "mse", jit_compile=jit_compile)
    rng = np.random.default_rng(0)
    before = [weight.numpy().copy() for weight in model.trainable_variables]
    for length in (5, 9, 2):
        batch = [rng.normal(size=(8, 4)), rng.normal(size=(8, length, 4))]
        assert np.isfinite(model.train_on_batch(batch, np.ones((8, 1))))
    for old, new in zip(before, model.trainable_variables, strict=True):
        assert np.isfinite(new.numpy()).all() and np.any(old != new.numpy())
