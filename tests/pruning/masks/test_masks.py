"""The mask of an evaluation is that of the scores and the schedule as they are now."""

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from pruning.masks.fingerprint import fingerprint, fingerprint_compiled
from tests.pruning.small_network import network


def test_the_mask_follows_scores_and_schedule_at_the_same_step():
    pruned = tfgumbel.prune(network(), 32, seed=0, total_steps=100)
    pruned.step.assign(40)  # past `end`: the budget is 32

    def top(values, count):
        return np.isin(np.arange(128), np.argsort(-values, kind="stable")[:count])

    first, second = (np.random.default_rng(i).random(128).astype("float32") for i in (0, 1))
    for values in (first, second, first):
        pruned.scores.assign(values)
        for _ in range(2):
            np.testing.assert_array_equal(pruned.mask(), top(values, 32))
    pruned.total_steps.assign(10**6)  # the budget has not begun to fall
    np.testing.assert_array_equal(pruned.mask(), np.ones(128))


def test_the_mask_follows_weights_that_are_loaded(tmp_path):
    pruned = tfgumbel.prune(network(), 32, seed=0, total_steps=100)
    pruned.step.assign(40)
    pruned.scores.assign(np.linspace(0.1, 0.9, 128))
    pruned.save_weights(tmp_path / "a.weights.h5")
    expected = pruned.mask().numpy()
    pruned.scores.assign(np.linspace(0.9, 0.1, 128))
    assert np.any(pruned.mask().numpy() != expected)
    pruned.load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(pruned.mask(), expected)


@pytest.mark.parametrize("hashed", [fingerprint, fingerprint_compiled])
def test_fingerprints_tell_vectors_apart(hashed):
    rng = np.random.default_rng(0)
    base = rng.choice([0.0, 0.25, 0.5, 1.0], 3000).astype("float32")
    vectors = [base]
    for _ in range(100):
        changed, (i, j) = base.copy(), rng.integers(0, 3000, 2)
        changed[i], changed[j] = base[j], base[i]
        vectors.append(changed)  # two entries swapped
        changed = base.copy()
        changed[i] = np.nextafter(base[i], 2, dtype="float32")
        vectors.append(changed)
    different = {vector.tobytes() for vector in vectors}
    found = {int(hashed(tf.constant(vector))) for vector in vectors}
    assert len(found) == len(different) > 150
