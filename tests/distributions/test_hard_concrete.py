"""The Hard Concrete distribution against its definition, integration and its own samples."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, special

from tfgumbel.distributions import HardConcrete, RelaxedBernoulli

LOGITS = np.array([-4.0, -1.0, 0.0, 0.7, 3.0])
TEMPERATURES = [0.1, 2.0 / 3.0, 2.0]


ENDS = (-0.1, 1.1)


def gates(temperature: float, ends: tuple[float, float] = ENDS) -> HardConcrete:
    return HardConcrete(tf.constant(LOGITS, tf.float64), temperature, *ends)


@pytest.mark.parametrize(
    ("temperature", "ends"), list(zip(TEMPERATURES, [ENDS, (-0.4, 1.2), ENDS], strict=True))
)
def test_masses_and_density_add_up_to_one_and_match_the_cdf(
    temperature: float, ends: tuple[float, float]
) -> None:
    distribution = gates(temperature, ends)
    grid, weights = np.polynomial.legendre.leggauss(400)
    for end in (0.3, 1.0):
        points = 0.5 * end * (grid + 1)
        density = distribution.prob(points[:, None]).numpy()
        inside = 0.5 * end * weights @ density
        mass = distribution.prob(0.0).numpy() + inside
        if end == 1.0:
            mass += distribution.prob(1.0).numpy()
        np.testing.assert_allclose(mass, distribution.cdf(end).numpy(), rtol=0, atol=1e-9)
    # P(gate = 0) from the stretched Concrete's definition.
    shift = temperature * np.log(-ends[0] / ends[1])
    np.testing.assert_allclose(distribution.prob(0.0), special.expit(shift - LOGITS), rtol=1e-12)
    np.testing.assert_allclose(distribution.expected_l0(), special.expit(LOGITS - shift))
    assert np.all(distribution.cdf(-1e-9).numpy() == 0)
    assert np.all(np.isneginf(distribution.log_prob([[-0.1], [1.1]]).numpy()))


def test_density_inside_is_the_stretched_binary_concrete() -> None:
    points = np.linspace(0.01, 0.99, 50)[:, None]
    relaxed = RelaxedBernoulli(0.7, logits=tf.constant(LOGITS, tf.float64))
    expected = relaxed.prob((points + 0.1) / 1.2).numpy() / 1.2
    np.testing.assert_allclose(gates(0.7).prob(points).numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("temperature", [*TEMPERATURES, 5.0])
def test_mean_and_variance_match_adaptive_integration(temperature: float) -> None:
    def survival(z: float, logit: float) -> float:
        return special.expit(logit - temperature * np.log((z + 0.1) / (1.1 - z)))

    def second(z: float, logit: float) -> float:
        return 2 * z * survival(z, logit)

    mean = [integrate.quad(survival, 0, 1, (logit,), epsabs=1e-12)[0] for logit in LOGITS]
    square = [integrate.quad(second, 0, 1, (logit,), epsabs=1e-12)[0] for logit in LOGITS]
    distribution = gates(temperature)
    np.testing.assert_allclose(distribution.mean().numpy(), mean, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        distribution.variance().numpy(), np.subtract(square, np.square(mean)), rtol=0, atol=1e-6
    )


def test_scalar_logits_have_moments() -> None:
    batch = gates(0.5)
    for index, logit in enumerate(LOGITS):
        scalar = HardConcrete(tf.constant(logit, tf.float64), temperature=0.5)
        for name in ("mean", "variance", "stddev"):
            moment = getattr(scalar, name)()
            assert moment.shape == ()
            np.testing.assert_allclose(moment, getattr(batch, name)()[index], rtol=1e-12)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_samples_have_the_masses_the_cdf_and_the_mean(temperature: float) -> None:
    # 2e5 draws: a probability of 0.5 is known to 0.0011, so 2% is nine standard errors.
    count = 200_000
    distribution = gates(temperature)
    sample = distribution.sample(count, seed=(1, 2)).numpy()
    assert sample.shape == (count, len(LOGITS)) and sample.min() == 0 and sample.max() == 1
    for z in (0.0, 0.25, 0.5, 0.75, 0.999):
        probability = distribution.cdf(z).numpy()
        error = np.sqrt(probability * (1 - probability) / count)
        assert np.all(np.abs((sample <= z).mean(0) - probability) < 5 * error), z
    error = np.sqrt(distribution.variance().numpy() / count)
    assert np.all(np.abs(sample.mean(0) - distribution.mean().numpy()) < 5 * error)
    opened = distribution.expected_l0().numpy()
    np.testing.assert_allclose(opened, 1 - distribution.prob(0.0).numpy(), rtol=1e-12)


def test_quantile_inverts_the_cdf_inside() -> None:
    distribution = gates(0.5)
    value = np.array([[0.1], [0.5], [0.9]])
    probability = distribution.cdf(value * np.ones(len(LOGITS)))
    np.testing.assert_allclose(
        distribution.quantile(probability).numpy(), value * np.ones(len(LOGITS)), rtol=1e-9
    )


def test_reparameterised_gradient_of_the_mean() -> None:
    # The pathwise derivative averages to that of the mean, known by quadrature.
    logits = tf.Variable(LOGITS, dtype=tf.float64)
    count = 200_000
    with tf.GradientTape(persistent=True) as tape:
        distribution = HardConcrete(logits, temperature=0.5)
        mean = distribution.mean()
        copies = tf.broadcast_to(logits, [count, len(LOGITS)])
        sample = HardConcrete(copies, temperature=0.5).sample(seed=(3, 4))
    exact = tape.gradient(mean, logits).numpy()
    pathwise = tape.gradient(sample, copies).numpy()
    error = pathwise.std(0) / np.sqrt(count)
    assert np.all(error < 0.02 * exact)
    assert np.all(np.abs(pathwise.mean(0) - exact) < 5 * error)


def test_batch_semantics() -> None:
    distribution = HardConcrete(tf.zeros([3, 1]), temperature=tf.constant([0.5, 1.0]))
    assert distribution.batch_shape == [3, 2] and distribution.event_shape == []
    assert distribution.sample(4, seed=0).shape == [4, 3, 2]
    assert distribution[0].batch_shape == [2]
    assert distribution.mean().shape == [3, 2]
    assert distribution.copy(temperature=0.3).batch_shape == [3, 1]


def test_compiled_samples() -> None:
    @tf.function(jit_compile=True)
    def draw(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return HardConcrete(logits).sample(1000, seed=seed)

    sample = draw(tf.zeros([2]), tf.constant([1, 2])).numpy()
    assert abs((sample == 0).mean() - (1 - 0.8318)) < 5 * np.sqrt(0.14 / 2000)


@pytest.mark.parametrize("ends", [(0.0, 1.1), (-0.1, 1.0), (-np.inf, 1.1)])
def test_ends_must_reach_beyond_the_unit_interval(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="stretch the unit interval"):
        HardConcrete(0.0, lower=ends[0], upper=ends[1])


def test_values_outside_are_refused_when_asked() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[0, 1\]"):
        HardConcrete(0.0, validate_args=True).log_prob(1.5)
