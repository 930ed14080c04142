"""What every registered estimator must do: the numerical contract, shapes, dtypes, seeds."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import reference
from tests.estimators.cases import CASES, ESTIMATORS, Case, run, runner

MODES = ["eager", "graph", "xla"]
INF = float("inf")
# Rows of every kind the contract names; the columns are the classes, or independent variables.
EXTREME = np.array(
    [
        [0.0, 1.0, -1.0],
        [1e4, -1e4, 0.0],
        [-1e4, -1e4, -1e4],
        [1e4, 1e4, -1e4],
        [-INF, 0.0, 1.0],
        [-INF, 1e4, -1e4],
        [-INF, -INF, -3.0],
        [60.0, -60.0, 59.0],
    ]
)
ROWS = 4000
LOGITS = np.concatenate([EXTREME, np.tile([[0.5, -0.7, 1.1]], (ROWS, 1))])
UPSTREAM = np.random.default_rng(0).normal(size=LOGITS.shape)


def each_case(function):  # type: ignore[no-untyped-def]
    return pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)(function)


def rows_of(case: Case) -> np.ndarray:
    """LOGITS with classes enough in every row."""
    if case.total == 1:
        return LOGITS
    rows = LOGITS.copy()
    rows[6] = [-INF, 5.0, -3.0]
    return rows


def frequencies(case: Case, logits: np.ndarray) -> np.ndarray:
    """The probability of each class, or of a 1."""
    kind = repr(case.entry.variable)
    if kind == "Bernoulli":
        return 1 / (1 + np.exp(-logits))
    law = reference.conditional_bernoulli if "Cond" in kind else reference.plackett_luce
    return law(logits, case.total) @ reference.subsets(len(logits), case.total)


def check(case: Case, logits, sample, grad_logits, grad_temperature):  # type: ignore[no-untyped-def]
    sample, grad_logits = np.float64(sample), np.float64(grad_logits)
    assert np.all(np.isfinite(sample)) and np.all(np.isfinite(grad_logits))
    assert np.isfinite(np.float64(grad_temperature))
    masked = np.isneginf(logits)
    assert np.all(sample[masked] == 0) and np.all(grad_logits[masked] == 0)
    if case.entry.hard:
        assert np.all((sample == 0) | (sample == 1))
        if case.classes:
            assert np.all(sample.sum(-1) == case.total)
    else:
        assert np.all((sample >= 0) & (sample <= case.total))
        if case.classes:
            np.testing.assert_allclose(sample.sum(-1), case.total, atol=0.02)
    if not case.entry.differentiable:
        assert np.all(grad_logits == 0)


@pytest.mark.parametrize("mode", MODES)
@each_case
def test_numerics_and_frequencies(case: Case, mode: str) -> None:
    function = runner(case, mode)
    rows = rows_of(case)
    draws = []
    for seed, temperature in enumerate([1e-3, 0.5, 1e3]):
        arguments = rows, UPSTREAM, temperature
        result = function(*(tf.constant(x, tf.float32) for x in arguments), tf.constant([seed, 5]))
        check(case, rows, *result)
        draws.append(result[0].numpy()[len(EXTREME) :])
    if mode != "eager":
        assert function.experimental_get_tracing_count() == 1
    # 12,000 draws of one row: a probability of 1/2 is known to .0046.
    if case.entry.exact_sampling and len(case.options) == len(case.entry.variable.parameters):
        draws = np.concatenate(draws)
        logits = LOGITS[-1]
        hit = draws == draws.max(-1, keepdims=True) if case.classes else draws > 0.5
        expected = frequencies(case, logits)
        error = np.sqrt(expected * (1 - expected) / len(hit))
        assert np.all(np.abs(hit.mean(0) - expected) < 5 * error)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@each_case
def test_dtypes(case: Case, dtype: str) -> None:
    logits, upstream = (tf.cast(x[: len(EXTREME) + 20], dtype) for x in (rows_of(case), UPSTREAM))
    for temperature in (1e-3, 0.5, 1e3):
        temperature = tf.constant(temperature, tf.float32)
        result = runner(case, "graph")(logits, upstream, temperature, tf.constant([1, 2]))
        assert result[0].dtype == result[1].dtype == dtype
        check(case, logits.numpy().astype(np.float64), *result)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@each_case
def test_dtypes_compiled(case: Case, dtype: str) -> None:
    logits, upstream = (tf.cast(x[: len(EXTREME) + 20], dtype) for x in (rows_of(case), UPSTREAM))
    for temperature in (1e-3, 0.5, 1e3):
        temperature = tf.constant(temperature, tf.float32)
        result = runner(case, "xla")(logits, upstream, temperature, tf.constant([1, 2]))
        assert result[0].dtype == result[1].dtype == dtype
        check(case, logits.numpy().astype(np.float64), *result)


@each_case
def test_leading_axes_and_unknown_batch(case: Case) -> None:
    logits = tf.constant(LOGITS[-24:], tf.float32)
    upstream = tf.constant(UPSTREAM[-24:], tf.float32)
    temperature, seed = tf.constant(0.7), tf.constant([3, 4])
    expected = run(case, logits, upstream, temperature, seed)
    signature = [tf.TensorSpec([None, 3]), tf.TensorSpec([None, 3])]
    unknown = tf.function(
        lambda logits, upstream: run(case, logits, upstream, temperature, seed),
        input_signature=signature,
    )
    assert unknown.get_concrete_function().structured_outputs[0].shape.as_list() == [None, 3]
    shaped = run(
        case,
        tf.reshape(logits, [2, 3, 4, 3]),
        tf.reshape(upstream, [2, 3, 4, 3]),
        temperature,
        seed,
    )
    assert shaped[0].shape == shaped[1].shape == [2, 3, 4, 3]
    for got in (unknown(logits, upstream), shaped):
        for value, want in zip(got, expected, strict=True):
            np.testing.assert_allclose(
                np.reshape(value, want.shape), want.numpy(), rtol=1e-4, atol=1e-5
            )
    single = run(case, logits[0], upstream[0], temperature, seed)
    assert single[0].shape == single[1].shape == [3]


@each_case
def test_seeds(case: Case) -> None:
    logits = tf.zeros([50, 3])
    draw = lambda seed: case(logits, 0.7, seed).numpy()  # noqa: E731
    np.testing.assert_array_equal(draw(7), draw(7))
    np.testing.assert_array_equal(draw(7), draw((7, 0)))
    np.testing.assert_array_equal(draw(7), draw(tf.constant([7, 0])))
    for other in (8, (7, 1), 7 + 2**32, -7):
        assert np.any(draw(7) != draw(other)), other
    keras_seed = keras.random.SeedGenerator(3).next()
    np.testing.assert_array_equal(draw(keras_seed), draw(keras_seed))


@each_case
def test_temperature_as_number_tensor_and_variable_agree(case: Case) -> None:
    if not case.entry.takes_temperature:
        pytest.skip("it has no temperature")
    logits = tf.constant(LOGITS[-4:], tf.float32)
    upstream = tf.constant(UPSTREAM[-4:], tf.float32)

    def gradients(temperature):  # type: ignore[no-untyped-def]
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = tf.reduce_sum(case(logits, temperature, 5) * upstream)
        return tape.gradient(loss, logits).numpy()

    variable = tf.Variable(0.7)
    for temperature in (tf.constant(0.7), variable, keras.Variable(0.7)):
        np.testing.assert_allclose(gradients(temperature), gradients(0.7), rtol=1e-6)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(case(logits, variable, 5) * upstream)
    reached = tape.gradient(loss, variable)
    assert (reached is not None) == case.entry.temperature_gradient


@pytest.mark.parametrize("shape", [(4,), (3, 1), (3, 4)])
@each_case
def test_temperatures_of_a_shape_are_those_of_each_variable(case: Case, shape) -> None:  # type: ignore[no-untyped-def]
    if not case.entry.takes_temperature:
        pytest.skip("it has no temperature")
    logits, upstream = (
        tf.constant(np.random.default_rng(k).normal(size=(3, 4, 5) if case.classes else (3, 4)))
        for k in range(2)
    )
    temperature = tf.constant(np.random.default_rng(2).uniform(0.3, 2.0, shape))
    seed = tf.constant([1, 2])
    sample, gradient, for_temperature = run(case, logits, upstream, temperature, seed)
    assert for_temperature.shape == temperature.shape
    every = tf.broadcast_to(temperature, [3, 4]).numpy()
    sums = np.zeros([3, 4])
    for index in np.ndindex(3, 4):
        one = tf.constant(every[index])
        mask = np.zeros([3, 4] + [1] * (logits.shape.rank - 2))
        mask[index] = 1.0
        expected = run(case, logits, upstream * mask, one, seed)
        np.testing.assert_allclose(sample[index], expected[0][index], rtol=1e-9)
        np.testing.assert_allclose(gradient[index], expected[1][index], rtol=1e-9, atol=1e-12)
        sums[index] = expected[2]
    axes = tuple(np.flatnonzero(np.array((1,) * (2 - len(shape)) + shape) == 1))
    summed = sums.sum(axes, keepdims=True).reshape(shape)
    np.testing.assert_allclose(for_temperature, summed, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", [(), (("num_samples", 5),)])
def test_temperatures_of_the_last_of_three_axes_and_a_class_far_below(options) -> None:  # type: ignore[no-untyped-def]
    case = Case(ESTIMATORS["gumbel_rao"], options)
    logits, upstream = (np.random.default_rng(k).normal(size=(2, 3, 4, 5)) for k in range(2))
    logits[..., 0] -= 80.0
    seed = tf.constant([1, 2])
    temperature = tf.constant([0.4, 0.9, 2.0, 5.0], tf.float64)
    arguments = tf.constant(logits), tf.constant(upstream)
    _, gradient, _ = run(case, *arguments, temperature, seed)
    for index in range(4):
        expected = run(case, *arguments, temperature[index], seed)[1]
        np.testing.assert_allclose(gradient[:, :, index], expected[:, :, index], rtol=1e-9)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_temperatures_of_examples_whose_number_is_unknown(jit_compile: bool) -> None:
    case = Case(ESTIMATORS["gumbel_rao"])
    logits, upstream = (
        tf.constant(np.random.default_rng(k).normal(size=(3, 2, 4))) for k in range(2)
    )
    temperature = tf.constant([[0.4], [0.7], [2.0]], tf.float64)
    several = tf.TensorSpec([None, 2, 4], tf.float64)

    @tf.function(
        jit_compile=jit_compile,
        input_signature=[several, several, tf.TensorSpec([None, 1], tf.float64)],
    )
    def traced(logits, upstream, temperature):  # type: ignore[no-untyped-def]
        return run(case, logits, upstream, temperature, tf.constant([1, 2]))

    expected = run(case, logits, upstream, temperature, tf.constant([1, 2]))
    for found, value in zip(traced(logits, upstream, temperature), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-12)
    # One for all, though that shows when the graph runs.
    alone = traced(logits, upstream, temperature[:1])
    scalar = run(case, logits, upstream, temperature[0, 0], tf.constant([1, 2]))
    np.testing.assert_allclose(alone[1], scalar[1], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(alone[2][0, 0], scalar[2], rtol=1e-9)


def test_forward_temperatures_are_those_of_each_variable() -> None:
    name = "decoupled_straight_through_gumbel_softmax"
    forward = tf.constant([[0.3], [1.0], [2.0]], tf.float64)
    logits, upstream = (
        tf.constant(np.random.default_rng(k).normal(size=(3, 4, 5))) for k in range(2)
    )

    with tf.GradientTape() as tape:
        tape.watch(forward)
        sample = ESTIMATORS[name](logits, temperature=0.7, forward_temperature=forward, seed=1)
        loss = tf.reduce_sum(sample * upstream)
    for_forward = tape.gradient(loss, forward)
    for index in range(3):
        with tf.GradientTape() as tape:
            one = forward[index, 0]
            tape.watch(one)
            expected = ESTIMATORS[name](logits, temperature=0.7, forward_temperature=one, seed=1)
            loss = tf.reduce_sum((expected * upstream)[index])
        np.testing.assert_array_equal(sample[index], expected[index])
        np.testing.assert_allclose(for_forward[index, 0], tape.gradient(loss, one), rtol=1e-9)


@each_case
def test_temperatures_that_do_not_broadcast_are_refused(case: Case) -> None:
    if case.entry.takes_temperature:
        for shape in ((3,), (2, 4, 1), (5, 2, 4)):
            with pytest.raises(ValueError, match="`temperature` is invalid"):
                case(tf.zeros([2, 4]), tf.fill(shape, 0.5), 0)
