"""Two replicas: the same scores on both, their own noise, the budget held."""

import keras
import numpy as np
import tensorflow as tf

import tfgumbel


def test_mirrored_strategy(strategy):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 6)).astype("float32")
    y = x[:, :2]
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((6,)),
                keras.layers.Dense(12, "relu"),
                # Not BatchNormalization: Keras keeps its statistics apart on each replica.
                keras.layers.LayerNormalization(),
                keras.layers.Dense(2),
            ]
        )
        pruned = tfgumbel.prune(model, 0.25, seed=0)
        pruned.compile("adam", "mse", metrics=["mae"])

    sums = []

    class Check(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            first, second = (v.numpy() for v in strategy.experimental_local_results(
                self.model.scores.value))  # fmt: skip
            np.testing.assert_array_equal(first, second)
            sums.append(first.astype(np.float64).sum())

    history = pruned.fit(x, y, batch_size=16, epochs=3, verbose=0, callbacks=[Check()]).history
    assert int(pruned.step.numpy()) == int(pruned.total_steps.numpy()) == len(sums) == 12
    for step, total in enumerate(sums, 1):
        allowed = 96 - 72 * float(pruned.schedule.tightness(step / 12))
        assert total <= allowed * (1 + 1e-6)
    assert sums[-1] == pruned.budget.k == 24
    assert history["density"][-1] == 0.25 and history["decided"][-1] == 1
    sparse = pruned.finalize()
    assert sum(np.count_nonzero(w) for w in sparse.get_weights() if w.ndim == 2) == 24
    np.testing.assert_allclose(
        sparse.predict(x, verbose=0), pruned.predict(x, verbose=0), rtol=1e-4, atol=1e-5
    )


def test_replicas_draw_their_own_noise(strategy):
    with strategy.scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(16)])
        pruned = tfgumbel.prune(model, 0.5, seed=0, total_steps=10)
        pruned.scores.assign(tf.fill(pruned.scores.shape, 0.5))
    draw = tf.function(lambda: pruned.masked_weights(training=True)[0][1])
    first, second = strategy.experimental_local_results(strategy.run(draw))
    assert np.mean(np.abs(first - second) > 1e-3) > 0.9
