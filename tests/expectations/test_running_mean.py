"""The running mean of costs: what it weights, where it is kept, and when it is read."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel


def test_a_call_reads_the_baseline_before_it_updates_it():
    baseline = tfgumbel.RunningMean(decay=0.5)
    logits = tf.Variable([[0.0, 0.0]])
    for number in (3.0, 5.0):
        before = float(baseline.value)
        with tf.GradientTape() as tape:
            value = tfgumbel.expectation(
                lambda draw, x, number=number: number + 0.0 * draw(x)[:, 0],
                logits,
                estimator="reinforce_baseline",
                baseline=baseline,
                seed=0,
            )
        gradient = tape.gradient(value, logits).numpy()
        # (f - b) (D - p), and D - p = +-1/2.
        np.testing.assert_allclose(np.abs(gradient), (number - before) / 2, rtol=1e-6)
    np.testing.assert_allclose(float(baseline.value), (0.25 * 3.0 + 0.5 * 5.0) / 0.75, rtol=1e-6)


def test_a_mean_of_shape_keeps_the_last_axes():
    baseline = tfgumbel.RunningMean(decay=0.9, shape=(2,))
    baseline.update(tf.constant([[1.0, 10.0], [3.0, 30.0]]))
    np.testing.assert_allclose(baseline.value, [2.0, 20.0], rtol=1e-6)


def test_values_that_are_not_finite_are_left_out():
    baseline = tfgumbel.RunningMean(decay=0.5, shape=(2,))
    baseline.update([1.0, 2.0])
    baseline.update([np.nan, 4.0])
    baseline.update([3.0, np.inf])
    np.testing.assert_allclose(baseline.value, [(0.5 + 3.0) / 1.5, (1.0 + 4.0) / 1.5], rtol=1e-6)


class Model(keras.Model):
    """A model that trains by REINFORCE, with a baseline of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.encoder = keras.layers.Dense(3)
        self.baseline = tfgumbel.RunningMean()

    def call(self, inputs):
        return self.encoder(inputs)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_a_model_saves_its_baseline(tmp_path, suffix):
    model = Model()
    model(tf.zeros([1, 2]))
    model.baseline.update(4.0)
    path = tmp_path / f"model{suffix}"
    if suffix == ".keras":
        model.save(path)
        restored = keras.models.load_model(path, custom_objects={"Model": Model})
    else:
        model.save_weights(path)
        restored = Model()
        restored(tf.zeros([1, 2]))
        restored.load_weights(path)
    np.testing.assert_allclose(float(restored.baseline.value), 4.0, rtol=1e-6)
    assert len(model.trainable_variables) == 2


def test_it_is_checkpointed_and_compiled(tmp_path):
    baseline = tfgumbel.RunningMean()

    @tf.function(jit_compile=True)
    def step(seed):
        return tfgumbel.expectation(
            lambda draw, x: 4.0 * draw(x)[:, 0] ** 0,
            tf.constant([[0.0, 1.0]]),
            estimator="reinforce_baseline",
            baseline=baseline,
            seed=seed,
        )

    step(tf.constant([0, 1]))
    step(tf.constant([0, 2]))
    np.testing.assert_allclose(float(baseline.value), 4.0, rtol=1e-6)
    path = tf.train.Checkpoint(baseline=baseline).write(str(tmp_path / "state"))
    restored = tfgumbel.RunningMean()
    tf.train.Checkpoint(baseline=restored).read(path).assert_consumed()
    np.testing.assert_allclose(float(restored.value), 4.0, rtol=1e-6)


def test_it_is_kept_by_each_replica(strategy):
    with strategy.scope():
        baseline = tfgumbel.RunningMean()

    @tf.function
    def update():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        baseline.update(tf.cast(replica, tf.float32))
        return baseline.value

    values = strategy.experimental_local_results(strategy.run(update))
    assert [float(value) for value in values] == [0.0, 1.0]


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="decay"):
        tfgumbel.RunningMean(decay=1.0)
    with pytest.raises(ValueError, match="do not fit"):
        tfgumbel.RunningMean(shape=(2,)).update(tf.zeros([4, 3]))
