"""Groups: their sizes, means and expansion, against loops in NumPy."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from pruning.groups.groups import Grid, Groups

GRIDS = [
    Grid((5, 3), (2, 3)),
    Grid((7, 4, 5), (1, 4, 2)),
    Grid((6,), (1,)),
    Grid((4, 6), (2, 3)),
    Grid((3, 2), (8, 1)),  # a step longer than the axis
]


def blocks_of(grid):
    """The slices of each group, in order."""
    ranges = [
        [slice(start, start + step) for start in range(0, length, step)]
        for length, step in zip(grid.shape, grid.steps, strict=True)
    ]
    return list(itertools.product(*ranges))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_sizes_means_and_expansion(grid):
    weight = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    blocks = blocks_of(grid)
    sizes = [weight[block].size for block in blocks]
    assert grid.num_groups == len(blocks)
    assert grid.sizes().numpy().tolist() == sizes
    assert grid.uniform_size == (sizes[0] if len(set(sizes)) == 1 else None)
    means = [np.abs(weight[block]).mean() for block in blocks]
    np.testing.assert_allclose(grid.mean_abs(tf.constant(weight)), means, rtol=1e-6)
    values = np.arange(1, len(blocks) + 1, dtype=np.float32)
    expected = np.zeros(grid.shape, np.float32)
    for value, block in zip(values, blocks, strict=True):
        expected[block] = value
    np.testing.assert_array_equal(grid.expand(tf.constant(values)), expected)


def test_several_grids_are_one_vector():
    groups = Groups(GRIDS[:3])
    assert groups.lengths == (3, 7 * 1 * 3, 6) and groups.num_groups == 30
    assert groups.num_weights == 15 + 140 + 6 == int(tf.reduce_sum(groups.sizes()))
    assert groups.uniform_size is None
    assert Groups([Grid((4, 6), (2, 3)), Grid((6,), (6,))]).uniform_size == 6
    rng = np.random.default_rng(1)
    weights = [tf.constant(rng.normal(size=grid.shape), dtype) for grid, dtype in zip(
        GRIDS, ("float32", "float16", "float32"), strict=False)]  # fmt: skip
    mask = tf.constant(rng.random(30), tf.float32)
    for product, weight, part in zip(
        groups.multiply(mask, weights), weights, groups.expand(mask), strict=True
    ):
        assert product.dtype == weight.dtype
        np.testing.assert_array_equal(product, weight * tf.cast(part, weight.dtype))
    means = [grid.mean_abs(weight) for grid, weight in zip(groups.grids, weights, strict=True)]
    np.testing.assert_array_equal(groups.mean_abs(weights), np.concatenate(means))


def test_no_graph_holds_a_number_for_every_group():
    grid = Grid((301, 101), (1, 2))  # the last block of each row is smaller
    function = tf.function(lambda weight: (grid.sizes(), grid.mean_abs(weight)))
    graph = function.get_concrete_function(tf.TensorSpec((301, 101))).graph
    constants = [node for node in graph.as_graph_def().node if node.op == "Const"]
    assert constants and max(node.ByteSize() for node in constants) < 2000
