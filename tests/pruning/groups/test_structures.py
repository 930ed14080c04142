"""Structures, from the arguments of `prune` to the zeros of the finished model."""

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from pruning import PruningSchedule
from pruning.groups.structures import STRUCTURES, parse_structure
from tests.pruning.small_network import kernels_after, network


@pytest.mark.parametrize(
    ("structure", "block", "expected"),
    [
        ("unstructured", None, ("unstructured", None)),
        ("filter", None, ("filter", None)),
        ("unstructured", (1, 4), ("block", [1, 4])),
        ("block", [2, 3], ("block", [2, 3])),
        ("2:4", None, ("2:4", None)),
        ("1:16", None, ("1:16", None)),
    ],
)
def test_arguments_name_the_structure_again(structure, block, expected):
    found = parse_structure(structure, block)
    assert tuple(found.arguments.values()) == expected
    again = parse_structure(**found.arguments)
    assert type(again) is type(found) and again.arguments == found.arguments


def test_every_structure_has_its_class():
    written = [("unstructured", None), ("filter", None), ("unstructured", (1, 4)), ("2:4", None)]
    assert {type(parse_structure(*arguments)) for arguments in written} == set(STRUCTURES)


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
    pruned, (a, b) = kernels_after(k=37, structure="filter", targets="kernel")
    counts = [np.count_nonzero(kernel, axis=0) for kernel in (a, b)]
    assert set(counts[0]) <= {0, 10} and set(counts[1]) <= {0, 8}
    unused = 37 - sum(map(sum, counts))
    assert 0 <= unused < 8, "no group that is out would still fit"


def test_masks_of_filters_are_fixed_earlier_and_drawn_with_less_noise():
    schedules = {
        structure: tfgumbel.prune(network(), k, structure=structure).schedule
        for structure, k in (("unstructured", 0.5), ("filter", 0.5), ("2:4", None))
    }
    found = {name: (s.settle, s.noise_scale) for name, s in schedules.items()}
    assert found == {"unstructured": (0.8, 1.0), "filter": (0.5, 0.5), "2:4": (0.8, 1.0)}
    own = PruningSchedule(settle=0.9)
    assert tfgumbel.prune(network(), 0.5, structure="filter", schedule=own).schedule is own


@pytest.mark.parametrize("noise_scale", [None, 2.0])
def test_masks_of_filters_are_drawn_with_the_noise_of_the_schedule(noise_scale):
    own = None if noise_scale is None else PruningSchedule(noise_scale=noise_scale)
    pruned = tfgumbel.prune(
        network(), 0.5, structure="filter", targets="kernel", hard=True, schedule=own, total_steps=9
    )
    pruned.scores.assign([0.3] * 14)

    @tf.function(autograph=False)
    def kept(draw):
        first, second = (kernel[0] for _, kernel in pruned.masked_weights(True, draw))
        return tf.concat([first, second], 0) != 0

    share = np.mean([kept(tf.constant(i, tf.int64)) for i in range(150)])
    odds = (0.3 / 0.7) ** (1 / (noise_scale or 0.5))
    expected = odds / (1 + odds)  # .16, and .40; with all noise .30
    assert abs(share - expected) < 4.5 * np.sqrt(expected * (1 - expected) / (14 * 150))


def test_two_of_four():
    pruned, (a, b) = kernels_after(structure="2:4")
    assert pruned.budget.k == 8 * (2 + 2 + 2) + 6 * (2 + 2)
    assert np.count_nonzero(a) + np.count_nonzero(b) == pruned.budget.k
    for kernel in (a, b):
        for start in range(0, kernel.shape[0], 4):
            assert np.all(np.count_nonzero(kernel[start : start + 4], axis=0) == 2)
    assert tfgumbel.prune(network(), 0.5, structure="2:4").budget.k == pruned.budget.k
