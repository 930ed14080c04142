"""Structures: which weights share one score, and what a budget of such groups is.

A structure is a class here and a place in `STRUCTURES`.
"""

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from pruning.budgets.amounts import amounts, resolve_amount
from pruning.budgets.budget import Budget
from pruning.budgets.patterns import PatternBudget
from pruning.budgets.segments import SegmentBudget
from pruning.groups.groups import Grid, Groups
from pruning.groups.targets import Target
from pruning.training.schedules import PruningSchedule
from tfgumbel.internal import validation


class Structure:
    """How weights are grouped under one score.

    `arguments` are the `structure` and `block` of `prune` that give this structure.
    """

    arguments: dict[str, Any]
    # Whether a group is all that makes one output of a layer, so that the layers that give the
    # model's outputs are left alone unless `targets` names them.
    removes_outputs: ClassVar[bool] = False
    # When the mask is fixed, unless a schedule is given.
    settle: ClassVar[float] = PruningSchedule.SETTLE
    # What multiplies the noise of masks that are learned, unless a schedule is given.
    noise_scale: ClassVar[float] = 1.0

    @classmethod
    def parse(cls, structure: Any, block: Any) -> "Structure | None":
        """The structure that these arguments of `prune` mean, None if it is one of another class.

        Raises:
            ValueError: they mean this class, and are out of range.
        """
        raise NotImplementedError

    def schedule(self) -> PruningSchedule:
        """The schedule of these groups, unless one is given."""
        return PruningSchedule(settle=self.settle, noise_scale=self.noise_scale)

    def steps(self, target: Target) -> list[int]:
        """Length of a group along each axis of a target."""
        return [1] * len(target.shape)

    def groups(self, targets: Sequence[Target]) -> Groups:
        """The groups of all targets."""
        return Groups([Grid(target.shape, tuple(self.steps(target))) for target in targets])

    def budget(self, targets: Sequence[Target], groups: Groups, k: Any, scope: Any) -> Budget:
        """The budget that `k` and `scope` of `prune` mean for these groups."""
        sizes = {target.name: target.size for target in targets}
        kept = amounts(k, scope, sizes)
        segments = groups.lengths if len(kept) == len(groups.lengths) else (groups.num_groups,)
        _room_for_one(groups, segments, kept, k if k is not None else scope)
        return SegmentBudget(segments, kept, groups.uniform_size or groups.sizes)


class Unstructured(Structure):
    """Every weight by itself."""

    arguments = {"structure": "unstructured", "block": None}

    @classmethod
    def parse(cls, structure, block):
        return cls() if structure == "unstructured" else None


class Block(Structure):
    """Rectangles of `outputs` by `inputs` consecutive weights."""

    def __init__(self, outputs: int, inputs: int):
        self.outputs, self.inputs = outputs, inputs
        self.arguments = {"structure": "block", "block": [outputs, inputs]}

    @classmethod
    def parse(cls, structure, block):
        if block is None and structure != "block":
            return None
        if block is not None and structure not in ("unstructured", "block"):
            raise _no_groups("structure", "none beside `block`: either, not both", structure)
        sizes = tuple(block) if isinstance(block, (list, tuple)) else ()
        if len(sizes) != 2 or not all(isinstance(i, int) and i >= 1 for i in sizes):
            raise _no_groups("block", "two integers >= 1, (outputs, inputs)", block)
        return cls(*sizes)

    def steps(self, target):
        steps = super().steps(target)
        steps[target.output_axes[-1]] = self.outputs
        steps[target.input_axis] = self.inputs
        return steps


class Filter(Structure):
    """Whole output channels."""

    arguments = {"structure": "filter", "block": None}
    removes_outputs = True
    # The noise of some dozens of masks does not average out, as that of thousands of weights does:
    # what is kept trains better, and longer, without it.
    settle = 0.5
    # For the same reason: weights under the full noise of such masks train as under a dropout of
    # 1/2, and its gradients drown what filters are worth.
    noise_scale = 0.5

    @classmethod
    def parse(cls, structure, block):
        return cls() if structure == "filter" else None

    def steps(self, target):
        return [
            1 if axis in target.output_axes else length for axis, length in enumerate(target.shape)
        ]


class Pattern(Structure):
    """n of every m consecutive inputs, each weight with a score of its own."""

    def __init__(self, n: int, m: int):
        self.n, self.m = n, m
        self.arguments = {"structure": f"{n}:{m}", "block": None}

    @classmethod
    def parse(cls, structure, block):
        match = re.fullmatch(r"(\d+):(\d+)", structure) if isinstance(structure, str) else None
        n, m = (int(match[1]), int(match[2])) if match else (0, 0)
        return cls(n, m) if 1 <= n < m else None

    def budget(self, targets, groups, k, scope):
        shapes, axes = zip(*((t.shape, t.input_axis) for t in targets), strict=True)
        budget = PatternBudget(shapes, axes, self.n, self.m)
        # Its own fraction may be said again, where the last rows keep more than that, too.
        if k is None or isinstance(k, float) and np.isclose(k, self.n / self.m):
            return budget
        if resolve_amount(k, groups.num_weights) != budget.k:
            raise ValueError(
                validation.describe(
                    f"`k` does not go with structure='{self.n}:{self.m}'.",
                    expected=f"no `k`: the structure keeps {budget.k} of {groups.num_weights} "
                    "weights",
                    received=k,
                    fix="leave `k` out",
                )
            )
        return budget


# In the order in which they are asked: `block` makes a Block of the default structure.
STRUCTURES: tuple[type[Structure], ...] = (Block, Unstructured, Filter, Pattern)


def parse_structure(structure: Any = "unstructured", block: Any = None) -> Structure:
    """Reads the `structure` and `block` arguments of `prune`.

    Example:
        >>> parse_structure("2:4").arguments
        {'structure': '2:4', 'block': None}
        >>> parse_structure(block=(1, 4)).steps(target)  # doctest: +SKIP
        [4, 1]
    """
    for kind in STRUCTURES:
        found = kind.parse(structure, block)
        if found is not None:
            return found
    expected = "'unstructured', 'filter', or 'n:m' with 1 <= n < m, such as '2:4'"
    raise _no_groups("structure", expected, structure)


def _room_for_one(
    groups: Groups, segments: Sequence[int], kept: Sequence[int], received: Any
) -> None:
    """Refuses a budget smaller than a group in every segment, which would keep nothing."""
    if groups.uniform_size is not None:
        smallest = [groups.uniform_size] * len(kept)
    else:
        smallest = [int(tf.reduce_min(part)) for part in tf.split(groups.sizes(), segments)]
    if all(amount < size for amount, size in zip(kept, smallest, strict=True)):
        raise ValueError(
            validation.describe(
                "`k` is smaller than one group, and would keep nothing.",
                expected=f"at least {min(smallest)} weights, the smallest group",
                received=received,
                fix="keep more, or smaller groups",
            )
        )


def _no_groups(name: str, expected: str, received: Any) -> ValueError:
    fix = "leave both out for single weights; block=(1, 4) gives blocks of four inputs"
    problem = f"`{name}` describes no groups of weights."
    return ValueError(validation.describe(problem, expected=expected, received=received, fix=fix))
