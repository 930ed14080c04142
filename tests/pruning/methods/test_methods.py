"""The seam: a method is a class and a line of the table, and masks do the rest."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from pruning import methods
from pruning.methods.method import Method

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 6)).astype("float32")
Y = X[:, :2]


class Movement(Method):
    """Sanh, Wolf & Rush (2020), "Movement Pruning": weights that move away from 0 are kept."""

    uses_gradients = True

    def memory(self):
        return {"movement": self.groups.num_groups}

    def observe(self, gradient, moment):
        return {"movement": moment.memory["movement"] - gradient}

    def scores(self, moment):
        return moment.memory["movement"]


def network():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(7, "relu"), keras.layers.Dense(2)]
    )


@pytest.mark.parametrize("arguments", [{"k": 19}, {"k": 0.5, "block": (1, 4)}], ids=str)
def test_a_new_method_is_a_line_of_the_table(monkeypatch, tmp_path, arguments):
    monkeypatch.setitem(methods.METHODS, "movement", Movement)
    pruned = tfgumbel.prune(network(), method="movement", seed=0, total_steps=16, **arguments)
    pruned.compile("adam", "mse")
    pruned.fit(X, Y, batch_size=8, epochs=1, verbose=0)
    pruned.save(tmp_path / "half.keras")
    loaded = keras.models.load_model(tmp_path / "half.keras")
    np.testing.assert_array_equal(loaded.masks.memory["movement"], pruned.masks.memory["movement"])
    loaded.fit(X, Y, batch_size=8, epochs=1, verbose=0)
    assert int(loaded.settled) == 1
    sparse = loaded.finalize()
    kept = sum(np.count_nonzero(w) for w in sparse.get_weights() if w.ndim == 2)
    assert loaded.budget.k - 4 < kept <= loaded.budget.k


def test_the_gradient_of_a_rank_is_that_of_its_mask_also_where_it_is_0(monkeypatch):
    monkeypatch.setitem(methods.METHODS, "movement", Movement)
    pruned = tfgumbel.prune(network(), 19, method="movement", seed=0, total_steps=16)
    pruned.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    mask = (np.arange(56) % 3 == 0).astype("float32")
    pruned.scores.assign(mask)
    kernels = [tf.convert_to_tensor(target.variable) for target in pruned.targets]
    biases = [layer.bias.numpy() for layer in pruned.model.layers]
    with tf.GradientTape() as tape:
        m = tf.constant(mask)
        tape.watch(m)
        first, second = tf.reshape(m[:42], (6, 7)), tf.reshape(m[42:], (7, 2))
        hidden = tf.nn.relu(X[:8] @ (kernels[0] * first) + biases[0])
        outputs = hidden @ (kernels[1] * second) + biases[1]
        loss = tf.reduce_mean((outputs - Y[:8]) ** 2)
    expected = tape.gradient(loss, m)
    pruned.train_on_batch(X[:8], Y[:8])
    np.testing.assert_allclose(-pruned.masks.memory["movement"], expected, rtol=1e-4, atol=1e-7)
    assert np.any(expected.numpy()[mask == 0])


def test_random_masks_contain_each_other():
    pruned = tfgumbel.prune(network(), 19, method="random", seed=3)
    weights = [tf.convert_to_tensor(target.variable) for target in pruned.targets]
    loose, tight = (pruned.masks.best(weights, tightness).numpy() for tightness in (0.4, 1.0))
    assert tight.sum() == 19 < loose.sum() and np.all(loose >= tight)


def test_magnitude_ranks_by_the_mean_of_a_group():
    pruned = tfgumbel.prune(network(), 0.5, method="magnitude", block=(1, 4))
    kernel = pruned.targets[0].variable
    kernel.assign(np.repeat([[0.1], [9.0]], [4, 2], 0) * np.ones((6, 7)))
    # Blocks of 4 of .1, and of 2 of 9, in the first kernel: the small blocks come first.
    mask = pruned.final_mask().numpy()
    assert mask[7:14].all() and not mask[:7].all()


@pytest.mark.parametrize(("total", "expected"), [(60, 5), (3000, 15)])
def test_ranks_are_looked_at_now_and_then(total, expected):
    pruned = tfgumbel.prune(network(), 19, method="magnitude", total_steps=total)
    weights = [tf.convert_to_tensor(target.variable) for target in pruned.targets]
    pruned.step.assign(total // 10)
    seen = []
    for _ in range(3 * expected):
        before = pruned.scores.numpy()
        # Other weights are the largest at each step, so a look is a change.
        weights = [tf.random.normal(w.shape) for w in weights]
        pruned.masks.project(weights)
        if np.any(pruned.scores.numpy() != before):
            seen.append(int(pruned.step))
    assert len(seen) == 3 and np.all(np.diff(seen) == expected)
