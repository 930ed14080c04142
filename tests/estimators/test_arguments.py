"""The registry, seeds, noise, and what wrong arguments are told."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import tfgumbel
from tests.estimators.cases import CASES, Case
from tfgumbel.internal import random
from tfgumbel.registry import REGISTRY, Entry, get, loss_estimators, register, sample_estimators


def test_registry_names_are_public_and_duplicates_refused() -> None:
    for name, entry in sample_estimators().items():
        assert getattr(tfgumbel, name) is entry.function and name in tfgumbel.__all__
    for name, entry in loss_estimators().items():
        assert getattr(tfgumbel.expectations, name) is entry.function
    for entry in REGISTRY.values():
        assert entry.bias and entry.use_when and entry.reference and entry.variables
    with pytest.raises(ValueError, match="registered twice"):
        register(Entry, bias="", use_when="", reference="")(get("gumbel_max").function)
    with pytest.raises(ValueError, match="(?s)'gumbel_rao'.*'gumbel_roa'"):
        get("gumbel_roa")
    with pytest.raises(TypeError):
        REGISTRY["new"] = get("gumbel_max")  # type: ignore[index]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wrong_arguments(case: Case) -> None:
    def call(logits=((0.0, 1.0),), temperature=0.5, seed=0):  # type: ignore[no-untyped-def]
        return case(logits, temperature, seed)

    for seed in (None, 1.0, True, "a"):
        with pytest.raises(TypeError, match="`seed` is invalid"):
            call(seed=seed)
    for seed in ((1, 2, 3), tf.constant([[1, 2]])):
        with pytest.raises(ValueError, match="shape"):
            call(seed=seed)
    with pytest.raises(TypeError, match="`logits` is not floating point"):
        call(logits=[[1, 2]])
    with pytest.raises(ValueError, match="largest logit|NaN"):
        call(logits=[[float("nan"), float("nan")]])
    if case.entry.takes_temperature:
        for temperature in (-1.0, float("nan"), float("inf"), None, "hot", [1.0, 2.0, 3.0], True):
            with pytest.raises(ValueError, match="`temperature` is invalid"):
                call(temperature=temperature)
    if case.classes:
        with pytest.raises(ValueError, match="no class to draw"):
            call(logits=[[0.0, 1.0], [-np.inf, -np.inf]])
        for logits in (1.0, tf.zeros([3, 0])):
            with pytest.raises(ValueError, match="`logits` has no class"):
                call(logits=logits)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_class_masked_is_nan_in_a_graph(case: Case) -> None:
    if not case.classes:
        pytest.skip("a binary variable has no mask")

    @tf.function
    def draw(logits):  # type: ignore[no-untyped-def]
        return case(logits, 0.5, 0)

    left = [0.0] * case.total
    sample = draw(tf.constant([[-np.inf] * (case.total + 1), [*left, -np.inf]], tf.float32)).numpy()
    assert np.all(np.isnan(sample[0])) and sample[1].tolist() == [1.0] * case.total + [0.0]


def test_options_of_single_estimators() -> None:
    with pytest.raises(ValueError, match="`num_samples` is invalid"):
        tfgumbel.gumbel_rao([[0.0, 1.0]], temperature=0.5, seed=0, num_samples=0)
    with pytest.raises(ValueError, match="`noise` is unknown"):
        tfgumbel.gumbel_rao([[0.0, 1.0]], temperature=0.5, seed=0, num_samples=1, noise="sobol")
    with pytest.raises(ValueError, match="`temperature` is invalid"):
        tfgumbel.gumbel_rao([[0.0, 1.0]], temperature=0.0, seed=0, num_samples=1)
    with pytest.raises(ValueError, match="`gap` is invalid"):
        tfgumbel.gapped_straight_through([[0.0, 1.0]], temperature=0.5, seed=0, gap=-1.0)
    with pytest.raises(ValueError, match="`forward_temperature` is invalid"):
        tfgumbel.decoupled_straight_through_gumbel_softmax(
            [[0.0, 1.0]], temperature=0.5, seed=0, forward_temperature=0.0
        )
    with pytest.raises(ValueError, match="stretch the unit interval"):
        tfgumbel.hard_concrete([0.0], seed=0, lower=0.0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_uniform_is_uniform_on_the_open_interval(dtype: str) -> None:
    draws = random.uniform([1_000_000], 1, dtype).numpy()
    assert draws.dtype == (np.float64 if dtype == "float64" else np.float32)
    assert draws.min() > 0 and draws.max() < 1
    assert stats.kstest(draws, "uniform").pvalue > 1e-4
    # On the grid's midpoints, so that 1 - u is a draw as well.
    assert np.all(draws * 2.0 ** (53 if dtype == "float64" else 24) % 2 == 1)


def test_noise_has_its_distribution() -> None:
    for draw, name in (
        (random.gumbel, "gumbel_r"),
        (random.exponential, "expon"),
        (random.logistic, "logistic"),
    ):
        assert stats.kstest(draw([300_000], 2).numpy(), name).pvalue > 1e-4


def test_lattice_points_are_each_uniform_and_together_even() -> None:
    shift = random.uniform([4, 1, 50_000], 3)
    points = random.lattice(shift, tf.constant(1000), tf.constant(3)).numpy()
    assert points.min() > 0 and points.max() < 1 and np.all(points * 2**24 % 2 == 1)
    for coordinate in range(4):
        for index in range(3):
            assert stats.kstest(points[coordinate, index], "uniform").pvalue > 1e-5
    whole = random.lattice(shift[:, :, :1], tf.constant(0), tf.constant(256)).numpy()[..., 0]
    halves = [
        random.lattice(shift[:, :, :1], tf.constant(s), tf.constant(128)).numpy()[..., 0]
        for s in (0, 128)
    ]
    np.testing.assert_array_equal(whole, np.concatenate(halves, axis=1))
    # 256 independent points leave gaps of about 6 / 256.
    gaps = np.diff(np.sort(whole, axis=1), axis=1)
    assert gaps.max() < 3 / 256


def test_derived_seeds_differ() -> None:
    seeds = [*random.split(5, 3), *(random.fold_in(5, step) for step in range(3))]
    assert len({tuple(seed.numpy().tolist()) for seed in seeds}) == 6
    draws = np.array([random.uniform([1000], seed).numpy() for seed in seeds])
    assert np.abs(np.corrcoef(draws) - np.eye(6)).max() < 5 / np.sqrt(1000)
