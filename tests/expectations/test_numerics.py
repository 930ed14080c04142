"""Every estimator that acts on the loss: extremes, masks, dtypes, unknown batches, every mode."""

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from tfgumbel import registry
from tfgumbel.distributions.abilities import BERNOULLI, ONE_HOT_CATEGORICAL

INF = float("inf")
CATEGORICAL = np.array(
    [
        [0.0, 1.0, -1.0],
        [1e4, -1e4, 0.0],
        [-1e4, -1e4, -1e4],
        [-INF, 0.0, 1.0],
        [-INF, -INF, -3.0],
        [0.5, -INF, -INF],
        [60.0, -60.0, 59.0],
    ]
)
BINARY = np.array(
    [[0.0, 1.0], [1e4, -1e4], [60.0, -60.0], [1e-3, -80.0], [INF, -INF], [0.3, INF], [-INF, 0.3]]
)
CASES = [
    pytest.param(name, variable, id=f"{name}-{variable}")
    for name, entry in registry.loss_estimators().items()
    for variable in entry.variables
]


@pytest.mark.parametrize("mode", ["graph", "xla"])
@pytest.mark.parametrize(("name", "variable"), CASES)
def test_extremes_are_finite_and_masked_classes_get_nothing(name, variable, mode):
    logits = CATEGORICAL if variable is ONE_HOT_CATEGORICAL else BINARY
    weights = tf.constant([1.0, -2.0, 0.5][: logits.shape[1]])
    num_samples = max(2, registry.get(name).min_samples)

    @tf.function(
        input_signature=[tf.TensorSpec([None, logits.shape[1]])],
        jit_compile=mode == "xla",
        autograph=False,
    )
    def run(logits):
        def program(draw, logits):
            return (tf.linalg.matvec(draw.variable(variable, logits), weights) - 0.5) ** 2

        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = tfgumbel.expectation(
                program, logits, estimator=name, seed=0, num_samples=num_samples
            )
        return value, tape.gradient(value, logits)

    value, gradient = run(tf.constant(logits, tf.float32))
    assert value.shape == (len(logits),) and np.all(np.isfinite(value))
    assert np.all(np.isfinite(gradient))
    assert not np.any(gradient.numpy()[np.isinf(logits)])
    certain = np.isneginf(logits).sum(1) == 2
    if certain.any():
        best = logits[certain].argmax(1)
        np.testing.assert_allclose(
            value.numpy()[certain], (np.array([1.0, -2.0, 0.5])[best] - 0.5) ** 2, rtol=1e-6
        )
        np.testing.assert_allclose(gradient.numpy()[certain], 0.0, atol=1e-6)
    assert np.any(gradient.numpy()[0] != 0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize(("name", "variable"), CASES)
def test_dtypes(name, variable, dtype):
    logits = tf.cast(CATEGORICAL[:1] if variable is ONE_HOT_CATEGORICAL else BINARY[:1], dtype)

    def program(draw, logits):
        sample = draw.variable(variable, logits)
        assert sample.dtype == dtype
        return tf.reduce_sum(sample, -1) - sample[:, 0] ** 2

    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = tfgumbel.expectation(
            program, logits, estimator=name, seed=0, num_samples=registry.get(name).min_samples
        )
    assert value.dtype == (tf.float64 if dtype == "float64" else tf.float32)
    gradient = tape.gradient(value, logits)
    assert gradient.dtype == dtype and np.all(np.isfinite(gradient.numpy().astype(np.float64)))


def test_relaxed_densities_are_tfps_with_both_temperatures():
    tfd = pytest.importorskip("tensorflow_probability").distributions
    logits, prior = tf.constant([[0.3, -1.0, 0.8]] * 5), tf.constant([0.1, 0.5, -0.2])
    seen = {}

    def program(draw, logits):
        sample = draw(logits)
        binary = draw.variable(BERNOULLI, logits)
        seen["categorical"] = sample, draw.log_prob(logits, sample)
        seen["prior"] = sample, draw.log_prob(prior, sample, temperature=0.4)
        bernoulli = tfd.Bernoulli(logits=prior)
        seen["binary"] = binary, draw.log_prob(bernoulli, binary, temperature=0.4)
        return tf.reduce_sum(sample, -1)

    tfgumbel.expectation(program, logits, estimator="gumbel_softmax", temperature=0.7, seed=1)
    sample, density = seen["categorical"]
    jacobian = tf.reduce_sum(tf.math.log(sample), -1)  # from the simplex to log space
    expected = tfd.RelaxedOneHotCategorical(0.7, logits=logits).log_prob(sample) + jacobian
    np.testing.assert_allclose(density, expected, rtol=1e-4, atol=1e-5)
    expected = tfd.RelaxedOneHotCategorical(0.4, logits=prior).log_prob(sample) + jacobian
    np.testing.assert_allclose(seen["prior"][1], expected, rtol=1e-4, atol=1e-5)
    sample, density = seen["binary"]
    jacobian = tf.math.log(sample) + tf.math.log1p(-sample)
    expected = tfd.RelaxedBernoulli(0.4, logits=prior).log_prob(sample) + jacobian
    np.testing.assert_allclose(density, tf.reduce_sum(expected, -1), rtol=1e-4, atol=1e-4)


def test_masked_classes_are_not_in_the_relaxed_density():
    """It is that of the others alone, and finite in every derivative, the temperature's too."""
    tfd = pytest.importorskip("tensorflow_probability").distributions
    logits = tf.constant([[0.3, -INF, -1.0, 0.8]] * 5)
    temperature, seen = tf.constant(0.7), []

    def program(draw, logits):
        sample = draw(logits)
        other = draw.log_prob(tf.constant([0.1, 5.0, 0.5, -0.2]), sample, temperature=0.4)
        seen.append((sample, draw.log_prob(logits, sample), other))
        return seen[0][1] + sample[:, 2]

    with tf.GradientTape() as tape:
        tape.watch([logits, temperature])
        value = tfgumbel.expectation(
            program, logits, estimator="gumbel_softmax", temperature=temperature, seed=1
        )
    sample, *densities = seen[0]
    assert np.all(sample[:, 1] == 0.0)
    rest = tf.gather(sample, [0, 2, 3], axis=1)
    laws = (0.7, [0.3, -1.0, 0.8]), (0.4, [0.1, 0.5, -0.2])  # what the sample lacks is left out
    for density, (heat, others) in zip(densities, laws, strict=True):
        expected = tfd.RelaxedOneHotCategorical(heat, logits=others).log_prob(rest)
        expected += tf.reduce_sum(tf.math.log(rest), -1)
        np.testing.assert_allclose(density, expected, rtol=1e-4, atol=1e-5)
    for_logits, for_temperature = tape.gradient(value, [logits, temperature])
    assert np.all(np.isfinite(for_logits)) and np.all(for_logits[:, 1] == 0.0)
    assert np.isfinite(for_temperature) and for_temperature != 0.0


def test_certain_binary_variables_are_out_of_the_temperatures_gradient():
    temperature, seen = tf.constant(0.7), []

    def program(draw, logits):
        seen.append(draw.variable(BERNOULLI, logits))
        return tf.reduce_sum(seen[0], -1)

    with tf.GradientTape() as tape:
        tape.watch(temperature)
        value = tfgumbel.expectation(
            program,
            tf.constant([[0.3, INF, -INF]]),
            estimator="gumbel_softmax",
            temperature=temperature,
            seed=1,
        )
    assert seen[0].numpy()[0, 1:].tolist() == [1.0, 0.0]
    odds = tf.math.log(seen[0][0, 0] / (1.0 - seen[0][0, 0]))
    slope = -seen[0][0, 0] * (1.0 - seen[0][0, 0]) * odds / temperature
    np.testing.assert_allclose(tape.gradient(value, temperature), slope, rtol=1e-4)


def test_discrete_log_probs_are_tfps_and_linear_in_the_sample():
    tfd = pytest.importorskip("tensorflow_probability").distributions
    logits = tf.constant(CATEGORICAL[:1], tf.float32)

    def program(draw, logits):
        sample = draw(logits)
        expected = tfd.OneHotCategorical(logits=logits).log_prob(sample)
        np.testing.assert_allclose(draw.log_prob(logits, sample), expected, rtol=1e-6)
        np.testing.assert_allclose(
            draw.log_prob(logits, tf.nn.softmax(logits)),
            -tfd.OneHotCategorical(logits=logits).entropy(),
            rtol=1e-6,
        )
        with tf.GradientTape() as tape:
            tape.watch(sample)
            log_prob = draw.log_prob(logits, sample)
        np.testing.assert_allclose(tape.gradient(log_prob, sample), tf.nn.log_softmax(logits))
        impossible = draw.log_prob(tf.constant([[0.0, -INF, 0.0]]), tf.constant([[0.0, 1.0, 0.0]]))
        assert impossible[0] == -INF
        return tf.reduce_sum(sample, -1)

    tfgumbel.expectation(program, logits, estimator="reinforce", seed=1)
