"""The benchmark steps that are lowered to StableHLO do what the library does."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.pruning import lowering


def test_mask_and_projection_lowers_and_keeps_the_budget(tmp_path):
    step, arguments, carry = lowering.mask_and_projection(2000)
    size = lowering.lower(tmp_path, "step", step, arguments)
    assert (tmp_path / "step.mlirbc").stat().st_size == size > 0
    with np.load(tmp_path / "step.npz") as saved:
        state = [tf.constant(saved[f"arr_{i}"]) for i in range(len(arguments))]
    compiled = tf.function(step, jit_compile=True, autograph=False)
    for index in range(3):
        state[:carry] = compiled(*state)
        used = np.sum(state[0].numpy(), dtype=np.float64)
        budget = lowering.DENSITY * 2000
        assert used <= budget * (1.0 + 2e-7)
        if index == 0:  # from almost 1 everywhere; a later step may leave some of it unused
            assert used == pytest.approx(budget, rel=1e-6)
            assert float(state[1]) > 0.5
        assert int(state[2]) == index + 1
