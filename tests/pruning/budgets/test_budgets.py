"""Budgets, scopes and structures: exactly what is kept, and where."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from pruning.budgets.segments import PatternBudget, SegmentBudget, resolve_budget
from pruning.groups.structures import Grid, Structure

layers = keras.layers


def network():
    return keras.Sequential(
        [keras.Input((10,)), layers.Dense(8, "relu", name="a"), layers.Dense(6, name="b")]
    )


def kernels_after(scores=None, seed=0, **arguments):
    """Kernels of the finished model, its scores set at random."""
    model = network()
    pruned = tfgumbel.prune(model, **arguments)
    rng = np.random.default_rng(seed)
    pruned.scores.assign(rng.uniform(0.1, 0.9, pruned.scores.shape))
    sparse = pruned.finalize()
    return pruned, [layer.kernel.numpy() for layer in sparse.layers]


@pytest.mark.parametrize("k", [1, 7, 128, 0.25, 1.0])
def test_global_budget_is_exact(k):
    pruned, kernels = kernels_after(k=k)
    expected = k if isinstance(k, int) else round(k * 128)
    assert sum(map(np.count_nonzero, kernels)) == expected == pruned.budget.k


def test_layer_scope_keeps_the_density_of_each_and_the_total():
    pruned, kernels = kernels_after(k=33, scope="layer")
    counts = [np.count_nonzero(kernel) for kernel in kernels]
    assert sum(counts) == 33
    assert counts == [21, 12]  # 80 and 48 weights, 20.6 and 12.4


def test_mapping_gives_each_target_its_own():
    pruned, kernels = kernels_after(scope={"a/kernel": 0.25, "b/kernel": 3})
    assert [np.count_nonzero(kernel) for kernel in kernels] == [20, 3]


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"k": 0}, ValueError, "int from 1 to 128(.|\n)*received: 0"),
        ({"k": -3}, ValueError, "int from 1 to 128(.|\n)*received: -3"),
        ({"k": 129}, ValueError, "int from 1 to 128(.|\n)*received: 129"),
        ({"k": 1.5}, ValueError, "fraction"),
        ({"k": 0.0}, ValueError, "fraction"),
        ({"k": True}, TypeError, "an int(.|\n)*received: True"),
        ({"k": "10%"}, TypeError, "an int(.|\n)*received: '10%'"),
        ({}, ValueError, "missing"),
        ({"k": 0.5, "scope": "model"}, ValueError, "scope"),
        ({"k": 0.5, "scope": {"a/kernel": 0.5}}, ValueError, "leave `k` out"),
        ({"scope": {"a/kernel": 0.5, "c": 0.5}}, ValueError, r"add \['b/kernel'\], remove \['c'\]"),
        ({"k": 0.5, "structure": "rows"}, ValueError, "received: 'rows'"),
        ({"k": 0.5, "structure": "4:2"}, ValueError, "n < m"),
        ({"k": 0.3, "structure": "2:4"}, ValueError, "leave `k` out"),
        ({"k": 0.5, "block": (0, 4)}, ValueError, "two integers"),
        ({"k": 0.5, "block": (1, 4), "structure": "filter"}, ValueError, "not both"),
        ({"k": 0.5, "method": "lottery"}, ValueError, "method"),
        ({"k": 0.5, "num_samples": 0}, ValueError, "num_samples"),
        ({"k": 0.5, "total_steps": 0}, ValueError, "total_steps"),
    ],
)
def test_errors(arguments, error, match):
    with pytest.raises(error, match=match):
        tfgumbel.prune(network(), **arguments)


def test_pruning_twice_is_an_error():
    pruned = tfgumbel.prune(network(), 0.5)
    with pytest.raises(ValueError, match="being pruned already"):
        tfgumbel.prune(pruned, 0.5)
    with pytest.raises(TypeError, match="keras.Model"):
        tfgumbel.prune(pruned.model.layers[0], 0.5)
    assert tfgumbel.prune(pruned.finalize(), 0.25).budget.k == 32, "a finished one can be pruned on"


def test_input_blocks():
    # 10 inputs in blocks of 4, 4 and 2; 8 in two of 4.
    pruned, (a, b) = kernels_after(k=0.5, block=(1, 4))
    kept = np.count_nonzero(a) + np.count_nonzero(b)
    assert 64 - 4 < kept <= 64
    for kernel in (a, b):
        for start in range(0, kernel.shape[0], 4):
            block = kernel[start : start + 4] != 0
            assert np.all(block.all(0) == block.any(0))


def test_filters_fill_the_budget_as_far_as_they_fit():
    # Columns of 10 and of 8 weights: 37 = 3 * 10 with 7 over, 2 * 10 + 2 * 8 = 36, ...
    pruned, (a, b) = kernels_after(k=37, structure="filter")
    counts = [np.count_nonzero(kernel, axis=0) for kernel in (a, b)]
    assert set(counts[0]) <= {0, 10} and set(counts[1]) <= {0, 8}
    left = 37 - sum(map(sum, counts))
    assert 0 <= left < 8, "nothing that was left out would still fit"


def test_two_of_four():
    pruned, (a, b) = kernels_after(structure="2:4")
    assert pruned.budget.k == 8 * (2 + 2 + 2) + 6 * (2 + 2)
    assert np.count_nonzero(a) + np.count_nonzero(b) == pruned.budget.k
    for kernel in (a, b):
        for start in range(0, kernel.shape[0], 4):
            assert np.all(np.count_nonzero(kernel[start : start + 4], axis=0) == 2)
    assert tfgumbel.prune(network(), 0.5, structure="2:4").budget.k == pruned.budget.k


def test_pattern_projection_is_that_of_each_row():
    grids = [Grid((8, 3), (1, 1)), Grid((6,), (1,))]
    budget = PatternBudget(grids, [0, 0], 2, 4)
    rng = np.random.default_rng(0)
    z = rng.normal(0.5, 0.8, 30).astype(np.float32)
    z[:3] = 0.9  # rows with ties
    s, _ = budget.project(tf.constant(z), 1.0)
    rows = np.concatenate([z[:24].reshape(2, 4, 3).swapaxes(1, 2).reshape(6, 4)])
    mine = s[:24].numpy().reshape(2, 4, 3).swapaxes(1, 2).reshape(6, 4)
    for row, result in zip(rows.astype(np.float64), mine, strict=True):
        low, high = 0.0, 4.0
        if np.clip(row, 0, 1).sum() > 2:
            for _ in range(60):
                middle = (low + high) / 2
                low, high = (
                    (middle, high) if np.clip(row - middle, 0, 1).sum() > 2 else (low, middle)
                )
        expected = np.clip(row - high, 0, 1) if high < 4 else np.clip(row, 0, 1)
        np.testing.assert_allclose(result, expected, atol=2e-6)
    for tail in (s[24:28], s[28:]):
        assert np.sum(tail) <= 2 + 1e-5
    np.testing.assert_allclose(budget.project(tf.constant(z), 0.0)[0], np.clip(z, 0, 1), atol=1e-6)


def test_ties_go_to_the_larger_weight_then_to_the_lower_index():
    budget = SegmentBudget([6], [3], np.ones(6, np.int64))
    scores = tf.constant([0.5, 1.0, 0.5, 0.5, 0.5, 0.2])
    size = tf.constant([0.1, 0.0, 0.3, 0.1, 0.2, 9.0])
    assert budget.top(scores, 1.0, size).numpy().tolist() == [0, 1, 1, 0, 1, 0]
    assert budget.top(scores, 1.0).numpy().tolist() == [1, 1, 1, 0, 0, 0]
    rows = PatternBudget([Grid((4,), (1,))], [0], 2, 4)
    assert rows.top(tf.fill([4], 0.5), 1.0).numpy().tolist() == [1, 1, 0, 0]
    assert rows.top(tf.fill([4], 0.5), 1.0, tf.constant([1.0, 2, 1, 3])).numpy().tolist() == [
        0, 1, 0, 1,
    ]  # fmt: skip


@pytest.mark.parametrize("pruned", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("sizes", [[1] * 12, [4] * 6 + [2] * 6])
def test_projection_meets_the_budget_of_the_moment(pruned, sizes):
    sizes = np.array(sizes, np.int64)
    budget = SegmentBudget([4, 8], [3, 5], sizes)
    s, multiplier = budget.project(tf.ones([12]) * 0.99, pruned)
    for part, kept in (((0, 4), 3), ((4, 12), 5)):
        size = sizes[slice(*part)]
        limit = size.sum() - (size.sum() - kept) * pruned
        used = float(np.sum(s[slice(*part)] * size))
        assert used == pytest.approx(min(limit, 0.99 * size.sum()), rel=1e-6)
    assert multiplier.shape == (2,)


def test_group_sizes_and_means():
    grid = Grid((5, 3), (2, 3))
    assert grid.sizes().tolist() == [6, 6, 3]
    weight = np.arange(-7, 8, dtype=np.float32).reshape(5, 3)
    means = [np.abs(weight[i : i + 2]).mean() for i in (0, 2, 4)]
    np.testing.assert_allclose(grid.reduce_mean_abs(tf.constant(weight)), means, rtol=1e-6)
    assert Structure.parse("2:4").sizes == (2, 4)


def test_fraction_rounds_to_the_nearest_count():
    assert [resolve_budget(k, 10) for k in (0.01, 0.14, 0.16, 1.0, 1)] == [1, 1, 2, 10, 1]
