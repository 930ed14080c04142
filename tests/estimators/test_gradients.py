"""Gradients given the sample: against float64 closed forms, exact references and differences."""

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from tests import reference
from tests.estimators.cases import BERNOULLI, CASES, Case, run
from tfgumbel import registry
from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.numerics import sigmoid

LOGITS = np.array([0.4, -0.8, 1.1, -0.1])
SIZE = len(LOGITS)
# The upstream gradient given the sample: that of a quadratic loss.
QUADRATIC = np.random.default_rng(1).normal(size=(SIZE, SIZE))
MONTE_CARLO = {
    "straight_through_gumbel_softmax",
    "decoupled_straight_through_gumbel_softmax",
    "reinmax_cv",
}


def softmax_jacobian(logits: np.ndarray) -> np.ndarray:
    probs = reference.softmax(logits)
    return np.diag(probs) - np.outer(probs, probs)


def gapped(index: int, gap: float = 1.0) -> np.ndarray:
    """The logits that the gapped estimator differentiates at, where index was drawn."""
    moved = np.minimum(LOGITS, LOGITS.max() - gap)
    moved[index] = LOGITS.max()
    return moved


def conditional_vjp(name: str, index: int, temperature: float) -> np.ndarray:
    """The matrix that the gradient given D = onehot(index) applies to the upstream gradient."""
    probs = reference.softmax(LOGITS)
    drawn = np.eye(SIZE)[index]
    if name == "straight_through":
        return softmax_jacobian(LOGITS / temperature) / temperature
    if name == "zero_temperature_gumbel_rao":
        return sum(
            0.5 * probs[j] * np.outer(drawn - np.eye(SIZE)[j], drawn - np.eye(SIZE)[j])
            for j in range(SIZE)
        )
    if name in ("reinmax", "reinmax_cv"):  # whose temperature is the control variate's
        heat = temperature if name == "reinmax" else 1.0
        middle = 0.5 * (drawn + reference.softmax(LOGITS / heat))
        return 2 * (np.diag(middle) - np.outer(middle, middle)) - 0.5 * softmax_jacobian(LOGITS)
    if name == "reinmax_rao":
        middle = np.log(0.5 * (drawn + probs))
        averaged = reference.conditional_derivatives(middle, temperature)[0][index]
        return 2 * averaged - 0.5 * softmax_jacobian(LOGITS)
    if name == "gapped_straight_through":
        return softmax_jacobian(gapped(index) / temperature) / temperature
    if name in ("gumbel_rao", *MONTE_CARLO):
        return reference.conditional_derivatives(LOGITS, temperature)[0][index]
    raise NotImplementedError(name)


HARD = [
    case
    for case in CASES
    if case.entry.variable is ONE_HOT_CATEGORICAL
    and case.entry.hard
    and case.entry.differentiable
    and dict(case.options).get("forward_temperature") is None
]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("case", HARD, ids=lambda case: case.name)
def test_gradient_given_the_sample(case: Case, temperature: float) -> None:
    # 20,000 rows: where noise remains given the sample, a class of probability .05 or more is seen
    # 1,000 times, and a gradient's mean is known to about 3% of its spread.
    rows = 20_000
    name = case.entry.name
    logits = tf.constant(np.tile(LOGITS, (rows, 1)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        sample = case(logits, temperature, 11)
        quadratic = tf.constant(QUADRATIC, tf.float32)
        loss = tf.reduce_sum(sample * tf.stop_gradient(sample @ quadratic))
    gradient = tape.gradient(loss, logits).numpy()
    drawn = sample.numpy().argmax(-1)
    for index in range(SIZE):
        rows_drawn = gradient[drawn == index].astype(np.float64)
        expected = conditional_vjp(name, index, temperature) @ QUADRATIC[index]
        if name in MONTE_CARLO or "num_samples" in dict(case.options):
            error = rows_drawn.std(0) / np.sqrt(len(rows_drawn))
            assert np.all(np.abs(rows_drawn.mean(0) - expected) < 5 * error), index
        else:
            if name in ("gumbel_rao", "reinmax_rao"):
                atol = 1e-3 * np.abs(expected).max()
            else:
                # Rounding is relative to the terms that cancel in the sum, not to what is left.
                terms = np.abs(QUADRATIC[index]).max() / min(temperature, 1.0)
                atol = 4 * np.finfo(np.float32).eps * terms
            np.testing.assert_allclose(rows_drawn - expected, 0, atol=atol)


@pytest.mark.parametrize(("scale", "num_samples"), [(0.0, "exact"), (0.7, "exact"), (0.7, 5)])
def test_the_control_variate_of_reinmax_cv_adds_its_own_variance(scale, num_samples) -> None:  # type: ignore[no-untyped-def]
    """Given the sample ReinMax has none: what there is, is scale^2 times that of a relaxation."""
    rows, temperature = 40_000, 0.6
    logits = tf.constant(np.tile(LOGITS, (rows, 1)), tf.float32)
    options = ("scale", scale), ("num_samples", num_samples), ("noise", "independent")
    case = Case(registry.get("reinmax_cv"), options)
    upstream = tf.constant(np.tile(QUADRATIC[0], (rows, 1)), tf.float32)
    sample, gradient, _ = run(case, logits, upstream, tf.constant(temperature), 3)
    drawn, gradient = sample.numpy().argmax(-1), gradient.numpy().astype(np.float64)
    probs, rng = reference.softmax(LOGITS), np.random.default_rng(0)
    for index in range(SIZE):
        middle = np.log(0.5 * (np.eye(SIZE)[index] + probs))
        noisy, _ = reference.sample_conditional_derivatives(
            middle, index, QUADRATIC[0], temperature, 40_000, rng
        )
        share = 1.0 if num_samples == "exact" else 1.0 + 1.0 / num_samples
        expected = scale**2 * share * noisy.var(0).sum()
        own = gradient[drawn == index]
        distances = np.sum((own - own.mean(0)) ** 2, 1)
        # The rarest class is seen 2,500 times: its variance is known to some 4%, one error.
        error = np.hypot(distances.std() / np.sqrt(len(own)), 0.02 * expected)
        assert abs(distances.mean() - expected) <= 5 * error + 1e-9
        exact = conditional_vjp("reinmax_cv", index, temperature) @ QUADRATIC[0]
        error = own.std(0) / np.sqrt(len(own)) + 1e-4
        assert np.all(np.abs(own.mean(0) - exact) < 5 * error)


@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_gumbel_rao_monte_carlo_sees_two_percent(mode: str) -> None:
    """Mean of 40,000 rows of K = 50, in both modes: errors below .3% of the largest entry."""
    temperature = 0.5
    exact = reference.conditional_derivatives(LOGITS, temperature)
    for noise in ("independent", "stratified"):

        @tf.function(jit_compile=mode == "xla", autograph=False)
        def gradients(logits, upstream, temperature, seed, noise=noise):  # type: ignore[no-untyped-def]
            case = Case(registry.get("gumbel_rao"), (("num_samples", 50), ("noise", noise)))
            return run(case, logits, upstream, temperature, seed)

        rows = 40_000
        upstream = QUADRATIC[0]
        result = gradients(
            tf.constant(np.tile(LOGITS, (rows, 1)), tf.float32),
            tf.constant(np.tile(upstream, (rows, 1)), tf.float32),
            tf.constant(temperature),
            tf.constant([4, 5]),
        )
        drawn = result[0].numpy().argmax(-1)
        gradient = result[1].numpy().astype(np.float64)
        for index in range(SIZE):
            expected = exact[0][index] @ upstream
            chosen = gradient[drawn == index]
            error = chosen.std(0) / np.sqrt(len(chosen))
            assert error.max() < 0.005 * np.abs(expected).max(), noise
            assert np.all(np.abs(chosen.mean(0) - expected) < 5 * error), (noise, index)
        # The temperature's gradient is a sum over rows; its spread is that of the K-sample mean.
        counts = np.bincount(drawn, minlength=SIZE)
        expected = sum(counts[i] * (exact[1][i] @ upstream) for i in range(SIZE))
        rng = np.random.default_rng(0)
        spread = [
            reference.sample_conditional_derivatives(LOGITS, i, upstream, temperature, 20_000, rng)[
                1
            ].std()
            for i in range(SIZE)
        ]
        error = np.sqrt(sum(counts * np.square(spread)) / 50)
        assert abs(float(result[2]) - expected) < 5 * error, noise
        assert error < 0.01 * abs(expected), noise


@pytest.mark.parametrize("name", ["gumbel_rao", "straight_through", "gapped_straight_through"])
def test_temperature_gradient_given_the_sample(name: str) -> None:
    temperature = 0.6
    case = Case(registry.get(name))
    logits = np.tile(LOGITS, (200, 1))
    upstream = np.tile(QUADRATIC[1], (200, 1))
    sample, _, grad_temperature = run(
        case,
        *(tf.constant(x, tf.float64) for x in (logits, upstream, temperature)),
        tf.constant([1, 1]),
    )
    counts = np.bincount(sample.numpy().argmax(-1), minlength=SIZE)

    def surrogate(index: int, temperature: float) -> float:
        moved = gapped(index) if name == "gapped_straight_through" else LOGITS
        return reference.softmax(moved / temperature) @ QUADRATIC[1]

    if name == "gumbel_rao":
        expected = counts @ (
            reference.conditional_derivatives(LOGITS, temperature)[1] @ upstream[0]
        )
    else:
        step = 1e-5
        expected = sum(
            count * (surrogate(i, temperature + step) - surrogate(i, temperature - step)) / 2 / step
            for i, count in enumerate(counts)
        )
    np.testing.assert_allclose(float(grad_temperature), expected, rtol=2e-3)


@pytest.mark.parametrize("name", ["gumbel_softmax", "binary_concrete", "hard_concrete"])
def test_reparameterised_gradients_match_differences(name: str) -> None:
    estimator = registry.get(name)
    rng = np.random.default_rng(2)
    logits, upstream = (tf.constant(rng.normal(size=(6, 4)), tf.float64) for _ in range(2))
    temperature, step = 0.7, 1e-6

    def value(logits, temperature):  # type: ignore[no-untyped-def]
        return float(tf.reduce_sum(estimator(logits, temperature=temperature, seed=3) * upstream))

    _, grad_logits, grad_temperature = run(
        Case(estimator), logits, upstream, tf.constant(temperature, tf.float64), 3
    )
    for row, column in ((0, 0), (2, 3), (5, 1)):
        nudge = np.zeros((6, 4))
        nudge[row, column] = step
        difference = (value(logits + nudge, 0.7) - value(logits - nudge, 0.7)) / (2 * step)
        np.testing.assert_allclose(grad_logits[row, column], difference, rtol=1e-6, atol=1e-8)
    difference = (value(logits, 0.7 + step) - value(logits, 0.7 - step)) / (2 * step)
    np.testing.assert_allclose(float(grad_temperature), difference, rtol=1e-6)


def test_straight_through_relaxations_share_the_relaxed_gradient() -> None:
    rng = np.random.default_rng(3)
    logits, upstream = (tf.constant(rng.normal(size=(9, 5)), tf.float64) for _ in range(2))
    temperature = tf.constant(0.4, tf.float64)
    for hard, soft in (
        ("straight_through_gumbel_softmax", "gumbel_softmax"),
        ("decoupled_straight_through_gumbel_softmax", "gumbel_softmax"),
        ("bernoulli_straight_through_gumbel_softmax", "binary_concrete"),
    ):
        got, expected = (
            run(Case(registry.get(name)), logits, upstream, temperature, 8) for name in (hard, soft)
        )
        assert np.all(np.round(expected[0]) <= got[0].numpy())  # the sample rounds the relaxed one
        for index in (1, 2):
            np.testing.assert_allclose(got[index], expected[index], rtol=1e-12)


def test_decoupled_temperatures() -> None:
    """Samples at the forward temperature; the gradient given them, by a change of variables."""
    forward, backward = 0.5, 0.8
    rows = 100_000
    logits = tf.constant(np.tile(LOGITS, (rows, 1)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        sample = tfgumbel.decoupled_straight_through_gumbel_softmax(
            logits, temperature=backward, forward_temperature=forward, seed=1
        )
        loss = tf.reduce_sum(sample * tf.constant(QUADRATIC[2], tf.float32))
    gradient = tape.gradient(loss, logits).numpy().astype(np.float64)
    drawn = sample.numpy().argmax(-1)
    probs = reference.softmax(LOGITS / forward)
    error = np.sqrt(probs * (1 - probs) / rows)
    assert np.all(np.abs(sample.numpy().mean(0) - probs) < 5 * error)
    exact = reference.conditional_derivatives(LOGITS / forward, backward / forward)[0] / forward
    expected = np.einsum("i,ijk,k->j", probs, exact, QUADRATIC[2])
    error = gradient.std(0) / np.sqrt(rows)
    assert error.max() < 0.01 * np.abs(expected).max()
    assert np.all(np.abs(gradient.mean(0) - expected) < 5 * error)
    assert drawn.max() == SIZE - 1


def test_both_temperatures_of_the_decoupled_estimator_get_their_gradient() -> None:
    """softmax((logits + forward G) / temperature) is homogeneous of degree 0: Euler's identity."""
    rng = np.random.default_rng(5)
    logits, upstream = (tf.constant(rng.normal(size=(9, 5)), tf.float64) for _ in range(2))
    temperature, forward = (tf.constant(heat, tf.float64) for heat in (0.4, 0.7))
    with tf.GradientTape() as tape:
        tape.watch([logits, temperature, forward])
        sample = tfgumbel.decoupled_straight_through_gumbel_softmax(
            logits, temperature=temperature, forward_temperature=forward, seed=8
        )
        loss = tf.reduce_sum(sample * upstream)
    for_logits, for_temperature, for_forward = tape.gradient(loss, [logits, temperature, forward])
    expected = tf.reduce_sum(logits * for_logits) + temperature * for_temperature
    np.testing.assert_allclose(forward * for_forward, -expected, rtol=1e-12)


@pytest.mark.parametrize("gap", [0.0, 0.3, 2.0])
def test_the_gap_is_the_one_that_is_asked_for(gap: float) -> None:
    logits = tf.constant(np.tile(LOGITS, (100, 1)))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        sample = tfgumbel.gapped_straight_through(logits, temperature=0.6, seed=1, gap=gap)
        loss = tf.reduce_sum(sample * QUADRATIC[0])
    gradient = tape.gradient(loss, logits).numpy()
    drawn = sample.numpy().argmax(-1)
    assert len(set(drawn)) > 2
    for index, row in zip(drawn, gradient, strict=True):
        expected = softmax_jacobian(gapped(index, gap) / 0.6) @ QUADRATIC[0] / 0.6
        np.testing.assert_allclose(row, expected, rtol=1e-10, atol=1e-12)


def test_stratified_noise_is_not_that_of_the_sample() -> None:
    """One row at a time, where the two would be the same numbers: 2,000 seeds, 5 errors are 9%."""
    entry = registry.get("gumbel_rao")
    case = Case(entry, (("num_samples", 1), ("noise", "stratified")))
    logits, upstream = (tf.constant(array[np.newaxis]) for array in (LOGITS, QUADRATIC[0]))

    @tf.function(autograph=False)
    def draw(seeds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        one = lambda seed: run(case, logits, upstream, tf.constant(1.0, tf.float64), seed)[:2]  # noqa: E731
        return tf.map_fn(one, seeds, fn_output_signature=(tf.float64, tf.float64))

    seeds = tf.stack([tf.range(2_000), tf.zeros([2_000], tf.int32)], -1)
    sample, gradient = (tensor.numpy()[:, 0] for tensor in draw(seeds))
    exact, _ = reference.conditional_derivatives(LOGITS, 1.0)
    expected = np.einsum("ri,ijk,k->rj", sample, exact, QUADRATIC[0])
    error = (gradient - expected).std(0) / np.sqrt(len(gradient))
    assert np.all(np.abs((gradient - expected).mean(0)) < 5 * error)


TWO_CLASS = {
    "bernoulli_straight_through": "straight_through",
    "bernoulli_gumbel_rao": "gumbel_rao",
    "bernoulli_reinmax": "reinmax",
}


def test_deterministic_binary_gradients_are_those_of_two_classes() -> None:
    rng = np.random.default_rng(4)
    logits, upstream = (tf.constant(3 * rng.normal(size=200), tf.float64) for _ in range(2))
    for binary, categorical in TWO_CLASS.items():
        for temperature in (0.2, 1.0, 3.0):
            seed, heat = tf.constant([1, 2]), tf.constant(temperature, tf.float64)
            sample, gradient, _ = run(Case(registry.get(binary)), logits, upstream, heat, seed)
            zeros = tf.zeros_like(logits)
            pair, pair_gradient, _ = run(
                Case(registry.get(categorical)),
                tf.stack([zeros, logits], -1),
                tf.stack([zeros, upstream], -1),
                heat,
                seed,
            )
            same = sample.numpy() == pair.numpy()[:, 1]
            assert same.sum() > 50
            if binary == "bernoulli_straight_through":
                same[:] = True  # its gradient does not depend on the sample
            np.testing.assert_allclose(
                gradient.numpy()[same], pair_gradient.numpy()[same, 1], rtol=1e-6, atol=1e-12
            )


def test_bernoulli_reinmax_has_its_closed_form_and_keeps_its_digits() -> None:
    logits = tf.constant([-np.inf, -80.0, -20.0, -1.0, 0.5, 20.0, 80.0, np.inf], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        sample = tfgumbel.bernoulli_reinmax(logits, seed=3)
    wide = np.where(sample.numpy() > 0, -logits.numpy(), logits.numpy()).astype(np.float64)
    expected = 0.5 / (1.0 + np.exp(-wide))  # (1 - P(B)) / 2
    np.testing.assert_allclose(tape.gradient(sample, logits), expected, rtol=1e-5, atol=1e-38)


def test_bernoulli_reinmax_and_its_slope_in_the_probability_agree() -> None:
    logits = tf.linspace(-4.0, 4.0, 9)
    prob = tf.sigmoid(logits)
    for sample in (tf.zeros_like(logits), tf.ones_like(logits)):
        drawn = tf.where(sample > 0, prob, 1.0 - prob)
        np.testing.assert_allclose(
            sigmoid.reinmax_slope(logits, sample, tf.constant(1.0)),
            prob * (1.0 - prob) * sigmoid.reinmax_probability_slope(drawn),
            rtol=1e-5,
        )


def test_bernoulli_gumbel_rao_is_the_mean_of_its_relaxation() -> None:
    rows = 200_000
    upstream = tf.ones([rows])
    for logit, temperature in ((0.4, 0.3), (-1.5, 1.0), (2.0, 2.0)):
        logits = tf.fill([rows], logit)
        heat, seed = tf.constant(temperature), tf.constant([2, 6])
        arguments = logits, upstream, heat, seed
        sample, exact, exact_heat = run(Case(registry.get("bernoulli_gumbel_rao")), *arguments)
        drawn, noisy, noisy_heat = run(
            Case(registry.get("bernoulli_straight_through_gumbel_softmax")), *arguments
        )
        np.testing.assert_array_equal(sample, drawn)
        for value in (0.0, 1.0):
            chosen = noisy.numpy()[sample.numpy() == value].astype(np.float64)
            error = chosen.std() / np.sqrt(len(chosen))
            expected = exact.numpy()[sample.numpy() == value]
            assert np.ptp(expected) < 1e-6 and error < 0.02 * expected[0]
            assert abs(chosen.mean() - expected[0]) < 5 * error
        assert abs(float(noisy_heat) - float(exact_heat)) < 0.02 * rows * float(
            np.abs(exact).mean()
        )


@pytest.mark.parametrize("ends", [(-0.1, 1.1), (-0.4, 1.2)])
def test_hard_concrete_expected_l0(ends: tuple[float, float]) -> None:
    options = dict(zip(("lower", "upper"), ends, strict=True), temperature=0.5)
    logits = tf.constant([-2.0, 0.0, 3.0], tf.float64)
    rows = 200_000
    gates = tfgumbel.hard_concrete(tf.broadcast_to(logits, [rows, 3]), seed=0, **options)
    opened = (gates.numpy() > 0).mean(0)
    expected = tfgumbel.hard_concrete_expected_l0(logits, **options).numpy()
    error = np.sqrt(expected * (1 - expected) / rows)
    assert np.all(np.abs(opened - expected) < 5 * error)


def test_every_case_has_a_value_test() -> None:
    """A new estimator must come with a reference for its gradient; subsets have their own file."""
    tested = {case.entry.name for case in HARD} | set(TWO_CLASS)
    tested |= {"gumbel_softmax", "binary_concrete", "hard_concrete"}
    tested |= {"bernoulli_straight_through_gumbel_softmax", "gumbel_max"}
    tested |= {"gumbel_top_k", "relaxed_subset", "straight_through_subset", "simple_subset"}
    assert tested == {case.entry.name for case in CASES}
    assert {case.entry.name for case in BERNOULLI} <= tested
