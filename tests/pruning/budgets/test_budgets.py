"""Budgets and scopes: exactly what is kept, and where."""

import numpy as np
import pytest
import tensorflow as tf

from pruning.budgets.amounts import resolve_amount
from pruning.budgets.patterns import PatternBudget
from pruning.budgets.segments import SegmentBudget
from tests.pruning.small_network import kernels_after


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
    ("scope", "counts"),
    [
        ({"kernel": 0.25}, [20, 12]),  # each target its own
        ({"kernel$": 0.25, "b/kernel": 3}, [20, 3]),  # a name goes before expressions
        ({"^[ac]/": 7, "b": 1.0}, [7, 48]),
    ],
)
def test_mapping_takes_regular_expressions(scope, counts):
    pruned, kernels = kernels_after(scope=scope)
    assert [np.count_nonzero(kernel) for kernel in kernels] == counts


def test_pattern_projection_is_that_of_each_row():
    budget = PatternBudget([(8, 3), (6,)], [0, 0], 2, 4)
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
    budget = SegmentBudget([6], [3])
    scores = tf.constant([0.5, 1.0, 0.5, 0.5, 0.5, 0.2])
    size = tf.constant([0.1, 0.0, 0.3, 0.1, 0.2, 9.0])
    assert budget.top(scores, 1.0, size).numpy().tolist() == [0, 1, 1, 0, 1, 0]
    assert budget.top(scores, 1.0).numpy().tolist() == [1, 1, 1, 0, 0, 0]
    rows = PatternBudget([(4,)], [0], 2, 4)
    assert rows.top(tf.fill([4], 0.5), 1.0).numpy().tolist() == [1, 1, 0, 0]
    assert rows.top(tf.fill([4], 0.5), 1.0, tf.constant([1.0, 2, 1, 3])).numpy().tolist() == [
        0, 1, 0, 1,
    ]  # fmt: skip


@pytest.mark.parametrize("tightness", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("sizes", [[1] * 12, [4] * 6 + [2] * 6])
def test_projection_meets_the_budget_of_the_moment(tightness, sizes):
    sizes = np.array(sizes, np.int64)
    budget = SegmentBudget([4, 8], [3, 5], lambda: tf.constant(sizes))
    s, multiplier = budget.project(tf.ones([12]) * 0.99, tightness)
    for part, kept in (((0, 4), 3), ((4, 12), 5)):
        size = sizes[slice(*part)]
        limit = size.sum() - (size.sum() - kept) * tightness
        used = float(np.sum(s[slice(*part)] * size))
        assert used == pytest.approx(min(limit, 0.99 * size.sum()), rel=1e-6)
    assert multiplier.shape == (2,)


def test_fraction_rounds_to_the_nearest_count():
    assert [resolve_amount(k, 10) for k in (0.01, 0.14, 0.16, 1.0, 1)] == [1, 1, 2, 10, 1]


@pytest.mark.parametrize("uneven", [False, True])
def test_the_kept_fit_the_budget_of_the_moment_and_no_other_would(uneven):
    # Also in mid-schedule, where the budget of the moment is no whole number.
    rng = np.random.default_rng(0)
    segments, kept = [31, 70], [11, 40]
    sizes = rng.integers(1, 6, 101) if uneven else np.full(101, 3)
    budget = SegmentBudget(segments, kept, (lambda: tf.constant(sizes)) if uneven else 3)
    scores = rng.random(101).astype(np.float32)
    for tightness in (0.0, 0.13, 0.5, 0.777, 1.0):
        mask = budget.top(tf.constant(scores), tightness).numpy() > 0
        for start, stop, count in ((0, 31, 11), (31, 101, 40)):
            size, inside = sizes[start:stop], mask[start:stop]
            limit = size.sum() - (size.sum() - count) * tightness
            unused = limit - size[inside].sum()
            assert unused >= -1e-6
            assert np.all(size[~inside] > unused)
            # Greedy: what is out had no room left by those above it.
            above = scores[start:stop]
            for i in np.flatnonzero(~inside):
                ahead = size[inside & (above > above[i])].sum()
                assert ahead + size[i] > limit


@pytest.mark.parametrize("uneven", [False, True])
def test_no_graph_holds_a_number_for_every_score(uneven):
    size = 5000
    sizes = (lambda: 1 + tf.range(size, dtype=tf.int64) % 3) if uneven else 2
    budget = SegmentBudget([3000, 2000], [100, 200], sizes)

    def both(scores):
        return budget.top(scores, 0.5), budget.project(scores, 0.5, jit_compile=False)

    function = tf.function(both).get_concrete_function(tf.TensorSpec((size,)))
    library = function.graph.as_graph_def().library.function
    nodes = [*function.graph.as_graph_def().node, *(node for f in library for node in f.node_def)]
    constants = [node for node in nodes if node.op == "Const"]
    assert constants and max(node.ByteSize() for node in constants) < 2000
