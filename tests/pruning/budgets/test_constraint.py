"""L0Budget: the projection as a Keras constraint, in optimizers, strategies and configs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pruning.budgets.constraint import L0Budget
from pruning.budgets.projection import project_onto_budget


def score_variable(constraint, size=64):
    layer = keras.layers.Layer()
    return layer.add_weight(
        shape=(size,), initializer=keras.initializers.Constant(0.9), constraint=constraint
    )


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
def test_an_optimizer_step_is_projected_gradient_descent(mode):
    multiplier = keras.Variable(0.0, trainable=False)
    s = score_variable(L0Budget(10.0, multiplier=multiplier))
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build([s])
    gradient = tf.constant(np.random.default_rng(0).normal(size=64), tf.float32)

    def step():
        optimizer.apply([gradient], [s])

    if mode != "eager":
        step = tf.function(step, jit_compile=mode == "xla")
    value = s.numpy()
    for _ in range(3):
        step()
        expected = project_onto_budget(value - 0.5 * gradient, 10.0)
        np.testing.assert_allclose(s.numpy(), expected, atol=1e-6)
        value = s.numpy()
        assert np.sum(value, dtype=np.float64) == pytest.approx(10.0, rel=1e-6)
    assert float(multiplier.value) > 0.0


def test_a_schedule_moves_the_budget_without_a_retrace():
    budget = keras.Variable(50.0, trainable=False)
    s = score_variable(L0Budget(budget))
    project = tf.function(lambda: s.assign(s.constraint(s)))
    for k in (50.0, 20.0, 7.5):
        budget.assign(k)
        project()
        assert np.sum(s.numpy(), dtype=np.float64) == pytest.approx(k, rel=1e-6)
    assert project.experimental_get_tracing_count() == 1


def test_config_round_trip():
    budget = keras.Variable([3.0, 1.0], trainable=False)
    costs = np.array([1.0, 1.0, 2.0, 2.0, 3.0], np.float32)
    constraint = L0Budget(budget, costs=costs, segments=[2, 3])
    restored = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(constraint)
    )
    assert restored.get_config() == constraint.get_config()
    assert restored.get_config()["k"] == [3.0, 1.0]
    z = np.array([0.9, 2.0, 0.3, 0.9, 0.8], np.float32)
    np.testing.assert_array_equal(restored(z), constraint(z))
    plain = keras.constraints.get({"class_name": "tfgumbel>L0Budget", "config": {"k": 2}})
    assert np.sum(plain(z)) == pytest.approx(2.0, rel=1e-6)


def test_replicas_stay_equal_and_within_the_budget(strategy):
    with strategy.scope():
        multiplier = keras.Variable(0.0, trainable=False, synchronization="on_read")
        layer = keras.layers.Layer()
        s = layer.add_weight(
            shape=(64,),
            initializer=keras.initializers.Constant(0.9),
            constraint=L0Budget(10.0, multiplier=multiplier),
            aggregation="mean",
        )
        optimizer = keras.optimizers.Adam(0.1)
        optimizer.build([s])

    def replica_step():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        gradient = tf.random.stateless_normal([64], tf.stack([7, replica]))
        optimizer.apply([gradient], [s])

    @tf.function
    def step():
        strategy.run(replica_step)

    for _ in range(3):
        step()
        first, second = (local.numpy() for local in strategy.experimental_local_results(s.value))
        np.testing.assert_array_equal(first, second)
        assert np.sum(first, dtype=np.float64) == pytest.approx(10.0, rel=1e-6)
    starts = [float(local) for local in strategy.experimental_local_results(multiplier.value)]
    assert starts[0] == starts[1] > 0.0
