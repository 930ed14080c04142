"""Draws from continuous distributions, and from those without a pathwise gradient."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special

import tfgumbel
from tfgumbel import registry

tfd = tfp.distributions
NUM_DRAWS = 400_000
GAMMA = np.euler_gamma


def derivative(function, at, step=1e-5):
    """Central differences of a function of a vector."""
    at = np.asarray(at, np.float64)
    return np.array(
        [(function(at + d) - function(at - d)) / (2 * step) for d in step * np.eye(len(at))]
    )


def gradients(program, parameters, estimator="reinforce", num_draws=NUM_DRAWS, **options):
    """Values and gradients of many independent expectations, one for each row."""
    rows = tf.tile(tf.constant([parameters], tf.float64), [num_draws, 1])

    @tf.function(autograph=False)
    def run(rows):
        with tf.GradientTape() as tape:
            tape.watch(rows)
            value = tfgumbel.expectation(program, rows, estimator=estimator, seed=5, **options)
        return value, tape.gradient(value, rows)

    value, gradient = run(rows)
    return value.numpy(), gradient.numpy()


def assert_mean(draws, expected, smallest_bias=0.02):
    """The mean within five standard errors, which are fine enough to show a small bias."""
    draws = draws.reshape(len(draws), -1)
    error = draws.std(0, ddof=1) / np.sqrt(len(draws))
    expected = np.reshape(expected, -1)
    assert np.all(5 * error < smallest_bias * np.abs(expected).max())
    np.testing.assert_array_less(np.abs(draws.mean(0) - expected), 5 * error + 1e-9)


def student(df, loc, scale):
    return loc**2 + scale**2 * df / (df - 2)


# Name: (distribution of a row of parameters, cost, its expectation, parameters).
CASES = {
    "Normal": (
        lambda p: tfd.Normal(p[:, 0], p[:, 1]),
        tf.square,
        lambda m, s: m**2 + s**2,
        [0.7, 1.3],
    ),
    "Logistic": (
        lambda p: tfd.Logistic(p[:, 0], p[:, 1]),
        tf.square,
        lambda m, s: m**2 + np.pi**2 * s**2 / 3,
        [0.7, 0.6],
    ),
    "Laplace": (
        lambda p: tfd.Laplace(p[:, 0], p[:, 1]),
        tf.square,
        lambda m, b: m**2 + 2 * b**2,
        [0.7, 0.6],
    ),
    "Exponential": (lambda p: tfd.Exponential(p[:, 0]), tf.square, lambda r: 2 / r**2, [1.4]),
    "Gumbel": (
        lambda p: tfd.Gumbel(p[:, 0], p[:, 1]),
        tf.square,
        lambda m, b: np.pi**2 * b**2 / 6 + (m + GAMMA * b) ** 2,
        [0.4, 0.6],
    ),
    "Gamma": (
        lambda p: tfd.Gamma(p[:, 0], p[:, 1]),
        lambda x: x**2 + tf.math.log(x),
        lambda a, b: a * (a + 1) / b**2 + special.digamma(a) - np.log(b),
        [1.7, 1.2],
    ),
    "Beta": (
        lambda p: tfd.Beta(p[:, 0], p[:, 1]),
        tf.square,
        lambda a, b: a * (a + 1) / ((a + b) * (a + b + 1)),
        [1.5, 2.5],
    ),
    "Dirichlet": (
        lambda p: tfd.Dirichlet(p),
        lambda x: x[:, 0] * x[:, 1] + 2.0 * x[:, 2] ** 2,
        lambda *a: (a[0] * a[1] + 2 * a[2] * (a[2] + 1)) / (sum(a) * (sum(a) + 1)),
        [0.8, 1.5, 2.2],
    ),
    "StudentT": (
        lambda p: tfd.StudentT(p[:, 0], p[:, 1], p[:, 2]),
        tf.square,
        student,
        [12.0, 0.5, 1.2],
    ),
    # Without a pathwise gradient.
    "Poisson": (lambda p: tfd.Poisson(p[:, 0]), tf.square, lambda r: r + r**2, [2.3]),
    "Geometric": (
        lambda p: tfd.Geometric(probs=p[:, 0]),
        lambda x: x + 1.0,
        lambda q: 1 / q,
        [0.4],
    ),
}
SCORED = ("Poisson", "Geometric")


def program_of(name):
    distribution, cost, _, _ = CASES[name]
    return lambda draw, rows: cost(draw(distribution(rows)))


@pytest.mark.parametrize("name", CASES)
def test_gradient_of_a_known_expectation(name):
    _, _, expectation, parameters = CASES[name]
    value, gradient = gradients(program_of(name), parameters)
    assert_mean(value, expectation(*parameters))
    exact = derivative(lambda p: expectation(*p), parameters)
    # For a Student-t's degrees of freedom the others' scale is too coarse.
    for index in range(len(parameters)):
        assert_mean(gradient[:, index], exact[index], 0.15 if name == "StudentT" else 0.05)


@pytest.mark.parametrize("estimator", ["reinforce_loo", "ovis", "gumbel_rao", "straight_through"])
@pytest.mark.parametrize("name", SCORED)
def test_score_function_under_other_estimators(name, estimator):
    options = {"temperature": 0.5} if estimator == "gumbel_rao" else {}
    _, _, expectation, parameters = CASES[name]
    _, gradient = gradients(
        program_of(name), parameters, estimator, NUM_DRAWS // 4, num_samples=2, **options
    )
    assert_mean(gradient, derivative(lambda p: expectation(*p), parameters), 0.05)


# A chain of a continuous, a discrete and again a continuous variable: m, log s, three logits.
CHAIN = [0.3, -0.2, 0.4, -0.6, 0.2]
SLOPES, MEANS, DIRECT = (
    np.array([0.8, -0.5, 0.2]),
    np.array([1.0, -0.7, 0.4]),
    np.array([1.0, 0.5, -2.0]),
)


def chain(draw, rows):
    first = draw(tfd.Normal(rows[:, 0], tf.exp(rows[:, 1])))
    code = draw(rows[:, 2:] + first[:, tf.newaxis] * SLOPES)
    last = draw(tfd.Logistic(tf.linalg.matvec(code, tf.constant(MEANS)), 0.3))
    return (last - 0.5) ** 2 + tf.linalg.matvec(code, tf.constant(DIRECT)) * first


def chain_value(parameters):
    """By Gauss-Hermite over the first, a sum over the second, the variance of the third."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    first = parameters[0] + np.exp(parameters[1]) * nodes
    probs = special.softmax(parameters[2:] + first[:, np.newaxis] * SLOPES, axis=-1)
    costs = (MEANS - 0.5) ** 2 + (0.3 * np.pi) ** 2 / 3 + DIRECT * first[:, np.newaxis]
    return weights @ np.sum(probs * costs, axis=-1) / weights.sum()


UNBIASED = [
    name
    for name in registry.loss_estimators()
    if name not in ("darn", "sum_and_sample", "unordered_set")
]


@pytest.mark.parametrize("name", UNBIASED)
def test_discrete_and_continuous_draws_in_one_program(name):
    value, gradient = gradients(chain, CHAIN, name, NUM_DRAWS // 2, num_samples=2)
    assert_mean(value, chain_value(CHAIN), 0.03)
    assert_mean(gradient, derivative(chain_value, CHAIN), 0.1)


def test_noise_of_a_reparameterized_draw_is_the_same_in_every_run():
    seen = []

    def program(draw, rows):
        seen.append(draw(tfd.Normal(rows[:, 0], 1.0)))
        return draw(rows)[:, 0] * seen[-1]

    tfgumbel.expectation(program, tf.zeros([4, 3]), estimator="rebar", seed=0)
    assert len(seen) == 3
    for other in seen[1:]:
        np.testing.assert_array_equal(seen[0], other)


def test_a_rate_that_depends_on_a_class():
    rates = tf.constant([0.5, 2.0, 4.0], tf.float64)

    def program(draw, rows):
        return draw(tfd.Poisson(tf.linalg.matvec(draw(rows), rates))) + 1.0

    logits = np.array([0.2, -0.4, 0.1])
    # The expected cost is linear in the class: straight-through is exact.
    _, gradient = gradients(program, logits, "straight_through")
    probs = special.softmax(logits)
    assert_mean(gradient, probs * (rates.numpy() - probs @ rates.numpy()), 0.05)


@pytest.mark.parametrize("estimator", ["vimco", "reinforce_loo", "gumbel_softmax"])
def test_a_bound_over_both_kinds(estimator):
    """With weights that are constant the bound is log p, without variance or gradient."""
    options = {"temperature": 0.5} if estimator == "gumbel_softmax" else {}

    def log_weights(draw, rows):
        scale = tfd.Gamma(tf.exp(rows[:, :1]), 1.0)
        z, code, count = draw(scale), draw(rows), draw(tfd.Poisson(tf.exp(rows[:, 1])))
        log_prob = draw.log_prob(tfd.Poisson(tf.exp(rows[:, 1])), count)
        log_prob += draw.log_prob(rows, code) + draw.log_prob(scale, z)
        return log_prob - tf.stop_gradient(log_prob) - log_prob + tf.stop_gradient(log_prob) + 0.25

    rows = tf.zeros([6, 3])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        bound = tfgumbel.multi_sample_bound(
            log_weights, rows, num_samples=3, estimator=estimator, seed=1, **options
        )
    np.testing.assert_allclose(bound, 0.25, rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(bound, rows), 0.0, atol=1e-5)


def test_log_densities_are_summed_and_wide():
    def program(draw, rows):
        normal = tfd.Normal(rows, tf.ones([], rows.dtype))
        z = draw(normal)
        together = draw.log_prob(tfd.Independent(normal, 1), z)
        assert draw.log_prob(normal, z).dtype == tf.float32
        np.testing.assert_allclose(draw.log_prob(normal, z), together, rtol=1e-2)
        return draw.log_prob(tfd.Normal(tf.zeros([], rows.dtype), 1), z)

    value = tfgumbel.expectation(
        program, tf.zeros([5, 3], tf.float16), estimator="reinforce", seed=0
    )
    assert value.dtype == tf.float32 and value.shape == [5]


def test_a_cost_of_integers_is_a_number():
    def program(draw, rows):
        return draw(tfd.Zipf(3.0 + rows[:, 0], dtype=tf.int32)) > 1

    rows = tf.zeros([200, 1])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        value = tfgumbel.expectation(
            program, rows, estimator="reinforce_loo", num_samples=2, seed=0
        )
    assert value.dtype == tf.float32 and 0.0 < np.mean(value) < 0.5
    assert np.any(tape.gradient(value, rows))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_unknown_batch_sizes_and_compilation(jit_compile):
    def program(draw, rows):
        z = draw(tfd.Normal(rows[:, 0], 1.0))
        return z + draw(rows)[:, 0] + draw(tfd.Independent(tfd.Gamma(tf.exp(rows), 1.0), 1))[:, 1]

    @tf.function(jit_compile=jit_compile, input_signature=[tf.TensorSpec([None, 3])])
    def run(rows):
        with tf.GradientTape() as tape:
            tape.watch(rows)
            value = tfgumbel.expectation(program, rows, estimator="disarm", num_samples=2, seed=0)
        return value, tape.gradient(value, rows)

    value, gradient = run(tf.zeros([7, 3]))
    assert value.shape == [7] and np.all(np.isfinite(gradient)) and np.all(gradient != 0.0)


def test_estimators_that_cannot_say_so():
    def scored(draw, rows):
        return draw(rows)[:, 0] + draw(tfd.Poisson(tf.exp(rows[:, 0])))

    able = [name for name, entry in registry.loss_estimators().items() if entry.any_distribution]
    assert set(able) == {
        "nvil", "ovis", "reinforce", "reinforce_baseline", "reinforce_loo", "vimco"
    }  # fmt: skip
    for name in registry.loss_estimators():
        if name in able:
            tfgumbel.expectation(scored, tf.zeros([2, 3]), estimator=name, num_samples=2, seed=0)
            continue
        with pytest.raises(ValueError, match=f"'{name}' cannot draw from a Poisson") as error:
            tfgumbel.expectation(scored, tf.zeros([2, 3]), estimator=name, num_samples=2, seed=0)
        assert all(other in str(error.value) for other in able)

    def before(draw, rows):
        return draw(tfd.Normal(rows[:, 0], 1.0)) + draw(rows)[:, 0]

    with pytest.raises(ValueError, match="is for one categorical variable"):
        tfgumbel.expectation(before, tf.zeros([2, 3]), estimator="unordered_set", seed=0)
    with pytest.raises(TypeError, match="a tfd.Categorical is a tfd.OneHotCategorical"):
        tfgumbel.expectation(
            lambda draw, rows: draw(tfd.Categorical(rows)),
            tf.zeros([2, 3]),
            estimator="reinforce",
            seed=0,
        )
    with pytest.raises(ValueError, match="no batch axis"):
        tfgumbel.expectation(
            lambda draw, rows: draw(tfd.Normal(0.0, 1.0)) + rows[:, 0],
            tf.zeros([2, 3]),
            estimator="reinforce",
            seed=0,
        )
