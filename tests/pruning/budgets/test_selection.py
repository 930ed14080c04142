"""The highest entries, against a stable sort."""

import numpy as np
import pytest
import tensorflow as tf

from pruning.budgets import selection

VECTORS = {
    "normal": lambda rng, size: rng.normal(size=size),
    "grid": lambda rng, size: rng.integers(-2, 3, size) / 4,
    "settled": lambda rng, size: np.clip(2 * rng.normal(size=size), 0, 1),
    "zeros": lambda rng, size: np.where(np.arange(size) % 3, 0.0, -0.0),
    "extreme": lambda rng, size: rng.choice([-np.inf, -3e38, -1e-45, 0, 1e-45, 3e38, np.inf], size),
}


@pytest.mark.parametrize("mark", [selection._highest, selection._highest_compiled])
@pytest.mark.parametrize("size", [7, 9001])
@pytest.mark.parametrize("name", VECTORS)
def test_equals_a_stable_sort(name, size, mark):
    rng = np.random.default_rng(size)
    key = VECTORS[name](rng, size).astype("float32")
    if name == "extreme" and mark is selection._highest_compiled:
        key = np.where(np.abs(key) < 1e-38, 0, key).astype("float32")  # XLA flushes denormals
    ties = rng.integers(0, 4, size).astype("float32")
    for second in (None, ties):
        keys = [key] if second is None else [key, second]
        # np.lexsort takes the most important key last.
        order = np.lexsort([np.arange(size), *(-k for k in reversed(keys))])
        for count in (0, 1, size // 3, size - 1, size):
            expected = np.isin(np.arange(size), order[:count])
            found = mark([tf.constant(k) for k in keys], tf.constant(count))
            np.testing.assert_array_equal(found, expected)


def test_long_vectors_are_compiled(monkeypatch):
    monkeypatch.setattr(selection, "_COMPILE_FROM", 100)
    monkeypatch.setattr(selection, "_highest", None)
    key = tf.constant(np.random.default_rng(0).random(101), tf.float32)
    found = selection.highest([key], tf.constant(13, tf.int64))
    np.testing.assert_array_equal(found, key >= np.sort(key)[-13])
