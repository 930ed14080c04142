"""What a reader of a report should know before expecting speed."""

import keras
import numpy as np

from pruning.groups.carriers import CONVOLUTIONS
from pruning.groups.targets import Target

# Above this share of weights kept, XNNPACK ran unstructured zeros no faster than dense weights: an
# MLP 1024-2048-2048-16 gained nothing at 10% and 5%, and 4.0x and 6.9x at 2% and 1%. With zeros in
# blocks of 1 x 4 inputs it gained 3.6x and 5.9x at 10% and 5% (`benchmarks.pruning`).
UNSTRUCTURED_LIMIT = 0.03
BLOCK_LIMIT = 0.15
BLOCK = 4


def speed_notes(found: list[tuple[Target, np.ndarray]]) -> list[str]:
    notes = []
    matrices = [(target, mask) for target, mask in found if len(target.shape) == 2]
    kernels = [target for target, _ in found if _is_spatial(target)]
    size = sum(mask.size for _, mask in matrices)
    if size:
        density = sum(int(mask.sum()) for _, mask in matrices) / size
        blocks = _in_blocks(matrices)
        if UNSTRUCTURED_LIMIT < density < 1 and not (blocks and density <= BLOCK_LIMIT):
            remedy = (
                "keep fewer"
                if blocks
                else f"keep fewer, or prune with block=(1, {BLOCK}), which was faster up to 10%"
            )
            notes.append(
                f"these zeros will not make CPU inference faster: {100 * density:.2f}% of the "
                f"fully connected weights are kept, {'in blocks' if blocks else 'one by one'}; "
                f"sparse kernels (XNNPACK) gained nothing at that density. For speed, {remedy}."
            )
    if kernels and any(not mask.all() for _, mask in found):
        notes.append(
            "zeros in convolutions wider than 1x1 make files smaller, not inference faster: "
            "no CPU kernel skips them, and whole filters of zeros are computed as well."
        )
    return notes


_CONVOLUTIONS = (*CONVOLUTIONS, keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)


def lost_note(found: list[tuple[Target, np.ndarray]]) -> str | None:
    """Which weights have lost everything, if any."""
    names = [target.name for target, mask in found if not mask.any()]
    if not names:
        return None
    return (
        f"nothing is left of {', '.join(names)}: what it computes is the same for every input. "
        "Keep more, leave it dense with `exclude`, or give every weight its own k by `scope`."
    )


def _is_spatial(target: Target) -> bool:
    """Whether it is the kernel of a convolution over more than one place."""
    wide = any(length > 1 for length in target.shape[:-2])
    return isinstance(target.layer, _CONVOLUTIONS) and wide


def _in_blocks(found: list[tuple[Target, np.ndarray]]) -> bool:
    """Whether most of what is kept comes in whole blocks along the inputs."""
    kept = whole = 0
    for target, mask in found:
        rows = np.moveaxis(mask, target.input_axis, 0).reshape(mask.shape[target.input_axis], -1)
        length = len(rows) // BLOCK * BLOCK
        blocks = rows[:length].reshape(-1, BLOCK, rows.shape[1]).sum(axis=1)
        kept += int(blocks.sum())
        whole += BLOCK * int((blocks == BLOCK).sum())
    return kept > 0 and whole >= 0.9 * kept
