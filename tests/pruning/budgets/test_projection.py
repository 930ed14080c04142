"""The projection against an exact sort in float64, in eager, graph and XLA mode."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pruning.budgets.projection import METHODS, project_onto_budget

SIZES = (10, 1000, 9001)  # under, and across, the block of 4096 that is summed at once


def exact_projection(z, k, costs=None):
    """Projects in float64 by sorting the corners of the piecewise-linear budget."""
    z = np.asarray(z, np.float64).ravel()
    w = np.ones_like(z) if costs is None else np.asarray(costs, np.float64).ravel()

    def solution(multiplier):
        return np.clip(z - multiplier * w, 0.0, 1.0)

    def used(multiplier):
        return np.sum(w * solution(multiplier))

    if used(0.0) <= k:
        return solution(0.0)
    corners = np.unique(np.concatenate([[0.0], z / w, (z - 1.0) / w]))
    corners = corners[corners >= 0.0]
    low, high = 0, len(corners) - 1  # used(corners[low]) > k >= used(corners[high])
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if used(corners[middle]) > k else (low, middle)
    left, right = corners[low], corners[high]
    share = (used(left) - k) / (used(left) - used(right))
    return solution(left + share * (right - left))


@functools.cache
def solver(mode, method):
    if mode == "eager":
        return lambda z, k: project_onto_budget(z, k, method=method, jit_compile=False)
    return tf.function(
        lambda z, k: project_onto_budget(z, k, method=method, jit_compile=mode == "xla"),
        jit_compile=mode == "xla",
    )


def assert_projected(s, z, k, costs=None):
    s = np.asarray(s, np.float64).ravel()
    w = np.ones_like(s) if costs is None else np.asarray(costs, np.float64).ravel()
    expected = exact_projection(z, k, costs)
    assert np.all((s >= 0.0) & (s <= 1.0))
    used, available = np.sum(w * s), np.sum(w * expected)
    assert used <= k * (1.0 + 2e-7)
    # Beside a tiny budget the reference's own rounding, of z - multiplier * w, is not small.
    within = (expected > 0.0) & (expected < 1.0)
    rounding = 2.0**-51 * np.sum((w * np.abs(np.ravel(z)))[within])
    # Compilers flush denormals.
    assert abs(used - available) <= 1e-6 * available + rounding + 1e-30
    # A budget met to 7e-7 leaves that much to be shared by the entries strictly inside (0, 1).
    inside = np.sum(w[within])
    slack = 8e-7 * available / inside if inside else 0.0
    np.testing.assert_allclose(s, expected, rtol=0, atol=3e-7 + slack)


def vectors(size):
    random = np.random.default_rng(size)
    sign = random.random(size) < 0.5
    return {
        "normal": random.normal(size=size),
        "equal": np.full(size, 0.5),
        "almost_one": np.full(size, 1.0 - 1e-4),
        "zeros": np.zeros(size),
        "ones": np.ones(size),
        "above_one": np.full(size, 5.0),
        "negative": -np.abs(random.normal(size=size)),
        "ties": random.integers(0, 2, size),
        "grid": random.integers(-2, 5, size) / 4.0,
        "settled": random.beta(0.02, 0.3, size),
        "far_apart": np.where(sign, 3e5, -3e5) + random.normal(size=size),
    }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode, size", [("eager", 10), *itertools.product(("graph", "xla"), SIZES)])
def test_meets_the_budget_and_is_nearest(mode, size, method):
    solve = solver(mode, method)
    shares = (0.0, 0.3) if mode == "eager" else (0.0, 1e-4, 0.005, 0.1, 0.5, 0.999, 1.0)
    for name, z in vectors(size).items():
        z = z.astype(np.float32)
        for share in shares:
            k = share * size
            s = solve(tf.constant(z), tf.constant(k, tf.float64))
            try:
                assert_projected(s, z, k)
            except AssertionError as error:
                raise AssertionError(f"{name}, k={k}: {error}") from error
    if mode != "eager":
        assert solve.experimental_get_tracing_count() <= len(SIZES)  # none for a new budget


entries = st.one_of(
    st.floats(-3.0, 4.0, width=32, allow_subnormal=False),
    st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5, -1.0]),
)


@settings(max_examples=150, deadline=None)
@given(
    z=hnp.arrays(np.float32, 33, elements=entries),
    share=st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 1.0, 0.5])),
    method=st.sampled_from(METHODS),
)
def test_nearest_point_of_any_vector(z, share, method):
    k = 33 * share
    assert_projected(solver("xla", method)(tf.constant(z), tf.constant(k, tf.float64)), z, k)


@settings(max_examples=100, deadline=None)
@given(
    z=hnp.arrays(np.float32, 20, elements=entries),
    costs=hnp.arrays(np.float32, 20, elements=st.sampled_from([1.0, 3.0, 25.0, 4608.0])),
    share=st.floats(0.0, 1.0),
    start=st.sampled_from([0.0, 1e-9, 1e-3, 0.7, 50.0, 1e30, np.inf, np.nan, -1.0]),
)
def test_weighted_from_any_start(z, costs, share, start):
    k = float(np.sum(costs)) * share
    s = project_onto_budget(z, k, costs=costs, initial_multiplier=start)
    assert_projected(s, z, k, costs)


@pytest.mark.parametrize("size", [1_000_000, pytest.param(10_000_000, marks=pytest.mark.slow)])
def test_large_sums_are_exact(size):
    random = np.random.default_rng(0)
    for z in (
        np.full(size, 1.0 - 1e-4, np.float32),
        np.full(size, 1.0 / 3.0, np.float32),
        random.beta(0.1, 1.0, size).astype(np.float32),
    ):
        for k in (0.003 * size, 0.05 * size):
            s = project_onto_budget(z, k).numpy()
            used = np.sum(s, dtype=np.float64)
            assert used == pytest.approx(k, rel=1e-6)
            assert used <= k * (1.0 + 2e-7)


@pytest.mark.slow
def test_a_hundred_million_entries():
    size = 100_000_000
    z = tf.random.stateless_uniform([size], (1, 2), alg="philox")
    s = project_onto_budget(z, 0.02 * size)
    used = sum(float(np.sum(part, dtype=np.float64)) for part in np.array_split(s.numpy(), 10))
    assert used == pytest.approx(0.02 * size, rel=1e-6)


def test_segments_have_budgets_of_their_own():
    z = np.random.default_rng(3).normal(0.4, 0.5, 5200).astype(np.float32)
    costs = np.random.default_rng(4).choice([1.0, 9.0], 5200).astype(np.float32)
    segments, k = [100, 5000, 100], np.array([30.0, 500.0, 1000.0])
    bounds = np.cumsum([0, *segments])
    for w in (None, costs):
        s, multiplier = project_onto_budget(
            z, k, costs=w, segments=segments, return_multiplier=True
        )
        assert multiplier.shape == (3,)
        for i in range(3):
            part = slice(bounds[i], bounds[i + 1])
            assert_projected(s[part], z[part], k[i], None if w is None else w[part])


def test_multiplier_restarts_and_explains_the_solution():
    z = np.random.default_rng(5).normal(size=500).astype(np.float32)
    s, multiplier = project_onto_budget(z, 40.0, return_multiplier=True)
    assert multiplier.shape == () and multiplier.dtype == tf.float64
    np.testing.assert_allclose(s, np.clip(z - float(multiplier), 0.0, 1.0), atol=1e-7)
    again, same = project_onto_budget(
        z, 40.0, initial_multiplier=multiplier, return_multiplier=True
    )
    np.testing.assert_array_equal(again, s)
    assert float(same) == float(multiplier)
    loose, zero = project_onto_budget(
        z, 500.0, initial_multiplier=multiplier, return_multiplier=True
    )
    np.testing.assert_array_equal(loose, np.clip(z, 0.0, 1.0))
    assert float(zero) == 0.0


def test_warm_start_saves_passes(monkeypatch):
    from pruning.budgets import projection

    passes = 0
    used = projection._used

    def counted(*args):
        nonlocal passes
        passes += 1
        return used(*args)

    monkeypatch.setattr(projection, "_used", counted)
    random = np.random.default_rng(6)
    s, multiplier = random.beta(0.05, 1.0, 5000), 0.0
    direction = random.normal(size=5000)

    def count(z, method, start):
        nonlocal passes
        passes = 0
        s, found = project_onto_budget(
            z,
            100.0,
            method=method,
            initial_multiplier=start,
            return_multiplier=True,
            jit_compile=False,
        )
        return passes, s.numpy(), float(found)

    warm = []
    for _ in range(8):
        z = (s + 0.01 * (direction + 0.3 * random.normal(size=5000))).astype(np.float32)
        passes, s, multiplier = count(z, "newton", multiplier)
        warm.append(passes)
    cold, bisection = (count(z, method, 0.0)[0] for method in ("newton", "bisection"))
    assert np.mean(warm[4:]) <= 3.0 < cold <= 6 < 15 < bisection


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_keeps_shape_and_dtype(dtype):
    z = tf.cast(np.random.default_rng(7).normal(size=(3, 4, 5)), dtype)
    s = project_onto_budget(z, 9.0)
    assert s.shape == (3, 4, 5) and s.dtype == z.dtype
    expected = exact_projection(tf.cast(z, tf.float64), 9.0).reshape(3, 4, 5)
    resolution = {"float16": 5e-4, "bfloat16": 4e-3, "float64": 1e-6}[dtype]
    np.testing.assert_allclose(tf.cast(s, tf.float64), expected, atol=resolution)


@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_nan_stays_where_it_is(mode):
    z = np.random.default_rng(8).normal(size=5000).astype(np.float32)
    bad = z.copy()
    bad[[0, 4999]] = np.nan
    bad[1], bad[2] = np.inf, -np.inf
    s = solver(mode, "newton")(tf.constant(bad), tf.constant(300.0, tf.float64)).numpy()
    assert np.isnan(s[[0, 4999]]).all()
    assert s[1] == 1.0 and s[2] == 0.0
    np.testing.assert_allclose(s[3:4999], exact_projection(z[3:4999], 299.0), atol=3e-7)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_is_an_error_in_eager_mode(value):
    with pytest.raises(ValueError, match="1 NaN or infinite of 3"):
        project_onto_budget([0.5, value, 0.5], 1.0)


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"k": -1.0}, "`k` is invalid"),
        ({"k": float("nan")}, "`k` is invalid"),
        ({"k": [1.0, 1.0]}, "`k` has the wrong shape"),
        ({"method": "secant"}, "one of 'newton', 'bisection'"),
        ({"segments": [2, 2]}, "add up to 3"),
        ({"segments": [3, 0]}, "lengths >= 1"),
        ({"segments": [1, 2], "k": [1.0, 1.0, 1.0]}, "one budget for each segment"),
        ({"costs": [1.0, 2.0]}, "`costs` has the wrong shape"),
    ],
)
def test_errors_say_what_is_wrong(arguments, match):
    with pytest.raises(ValueError, match=match):
        project_onto_budget(**{"z": [0.1, 0.2, 0.3], "k": 1.0, **arguments})


def test_integers_are_refused():
    with pytest.raises(TypeError, match="`z` is not floating point"):
        project_onto_budget([1, 0, 1], 1.0)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_numbers_of_any_size(method, jit_compile):
    def project(z, k, **arguments):
        return project_onto_budget(z, k, method=method, jit_compile=jit_compile, **arguments)

    for scale in (1e15, 1e80, 5e307):
        z = scale * tf.constant([1, 2, 3], tf.float64)
        for k, expected in ((1.0, [0, 0, 1]), (2.0, [0, 1, 1]), (3.0, [1, 1, 1])):
            np.testing.assert_array_equal(project(z, k), expected)
    z = tf.constant([1e80, 0.5, 0.7, 1e300], tf.float64)
    np.testing.assert_allclose(project(z, 2.2), [1, 0, 0.2, 1], atol=2e-6)
    np.testing.assert_array_equal(project(tf.constant([1e38, 2e38, 3e38]), 1.0), [0, 0, 1])
    z = tf.constant([1.25, 0.75, 0.25, -0.5])
    for start in (1e-300, 1e3, 1e80, 1e308):
        s = project(z, 1.0, initial_multiplier=start)
        np.testing.assert_allclose(s, [0.75, 0.25, 0, 0], atol=1e-6)
