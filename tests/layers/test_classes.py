"""The class axis, class masks, and Keras masks of the leading axes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.cases import ESTIMATORS, case_id, gradient, logits, make, total
from tfgumbel import layers

WITH_CLASSES = [name for name, entry in ESTIMATORS.items() if entry.variable.event_rank == 1]
every_estimator = pytest.mark.parametrize("case", WITH_CLASSES, ids=case_id)


@every_estimator
@pytest.mark.parametrize("axis", [0, 1, -2])
def test_any_axis_may_hold_the_classes(case, axis):
    inputs, upstream = logits((3, 4, 5)), logits((3, 4, 5), seed=1)
    moved = make(case, temperature=0.7, axis=axis, seed=3)
    value, grad = gradient(lambda x: moved(x, training=True), inputs, upstream)
    last = make(case, temperature=0.7, seed=3)
    expected, expected_grad = gradient(
        lambda x: last(x, training=True),
        keras.ops.moveaxis(inputs, axis, -1),
        keras.ops.moveaxis(upstream, axis, -1),
    )
    np.testing.assert_array_equal(value, keras.ops.moveaxis(expected, -1, axis))
    np.testing.assert_allclose(tf.reduce_sum(value, axis), total(case), rtol=1e-6)
    if expected_grad is not None:
        np.testing.assert_array_equal(grad, keras.ops.moveaxis(expected_grad, -1, axis))


@every_estimator
@pytest.mark.parametrize("inference", ["sample", "argmax", "probs"])
def test_masked_classes_get_neither_mass_nor_gradient(case, inference):
    mask = tf.constant([True, False, True, True, False])
    layer = make(case, temperature=0.7, seed=3, inference=inference)
    # The masked classes would win nearly every draw.
    inputs = logits((2000, 5)) + tf.where(mask, 0.0, 50.0)
    for training in (True, False):
        value, grad = gradient(
            lambda x, training=training: layer(x, class_mask=mask, training=training),
            inputs,
            logits((2000, 5), seed=1),
        )
        assert not np.any(value.numpy()[:, ~mask.numpy()])
        np.testing.assert_allclose(tf.reduce_sum(value, -1), total(case), rtol=1e-5)
        assert np.all(np.count_nonzero(value, axis=0)[mask.numpy()] > 100)
        if grad is not None:
            assert np.isfinite(grad).all() and not np.any(grad.numpy()[:, ~mask.numpy()])


def test_class_masks_follow_the_axis_and_may_be_inputs():
    logits_in = keras.Input((5, 4))
    mask_in = keras.Input((5, 1), dtype="bool")
    layer = layers.GumbelRaoLayer(axis=1, seed=0)
    model = keras.Model([logits_in, mask_in], layer(logits_in, class_mask=mask_in))
    mask = np.zeros((64, 5, 1), bool)
    mask[:, [1, 3]] = True
    sample = model([np.zeros((64, 5, 4), "float32"), mask], training=True).numpy()
    np.testing.assert_array_equal(sample.sum(1), 1.0)
    np.testing.assert_array_equal(sample[:, [0, 2, 4]], 0.0)
    assert 0.3 < sample[:, 1].mean() < 0.7


def test_class_masks_must_be_boolean_and_leave_a_class():
    layer = layers.StraightThroughLayer()
    with pytest.raises(TypeError, match="not boolean"):
        layer(tf.zeros([2, 3]), class_mask=tf.ones([2, 3]))
    with pytest.raises(ValueError, match="no class to draw"):
        layer(tf.zeros([2, 3]), class_mask=tf.zeros([2, 3], tf.bool))


@pytest.mark.parametrize("shape", [(2, 2), (3, 2, 3), (2, 2, 3), (1, 1, 1, 3)])
def test_class_masks_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match="does not broadcast"):
        layers.StraightThroughLayer()(tf.zeros([2, 3]), class_mask=tf.ones(shape, tf.bool))


@every_estimator
def test_rows_without_a_class_are_zeros_where_asked_for(case):
    mask = np.ones((40, 5), bool)
    mask[::3] = False
    layer = make(case, temperature=0.7, seed=3, empty_rows="zeros")
    copy = type(layer).from_config(layer.get_config())
    assert copy.empty_rows == "zeros"

    @tf.function
    def run(inputs):
        return gradient(
            lambda x: layer(x, class_mask=mask, training=True), inputs, logits((40, 5), seed=1)
        )

    value, grad = run(logits((40, 5)))
    np.testing.assert_allclose(tf.reduce_sum(value, -1), total(case) * mask[:, 0], rtol=1e-5)
    if grad is not None:
        assert np.isfinite(grad).all() and not np.any(grad.numpy()[::3])
        assert np.any(grad.numpy()[1::3])


def test_padding_trains_where_rows_without_a_class_are_zeros():
    tokens = keras.Input([4, 3])
    mask = keras.Input([4, 3], dtype="bool")
    sample = layers.GumbelRaoLayer(empty_rows="zeros", seed=0)(
        keras.layers.Dense(3)(tokens), class_mask=mask
    )
    model = keras.Model([tokens, mask], keras.layers.Dense(1)(keras.layers.Flatten()(sample)))
    model.compile("sgd", "mse")
    allowed = np.ones((16, 4, 3), bool)
    allowed[:, 2:] = False
    history = model.fit([np.ones((16, 4, 3)), allowed], np.ones((16, 1)), epochs=3, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("case", [layers.GumbelRaoLayer, layers.BinaryConcreteLayer], ids=case_id)
def test_keras_masks_of_leading_axes_are_handed_on(case):
    model = keras.Sequential(
        [
            keras.layers.Embedding(10, 6, mask_zero=True),
            make(case, seed=0),
            keras.layers.GlobalAveragePooling1D(),
        ]
    )
    tokens = np.array([[1, 2, 3, 0, 0]])
    pooled = model(tokens)
    sampled = make(case, seed=0)(model.layers[0](tokens))
    np.testing.assert_allclose(pooled, tf.reduce_mean(sampled[:, :3], axis=1), rtol=1e-6)


@pytest.mark.parametrize(("axis", "shape"), [(2, (3, 4)), (-3, (3, 4)), (-1, ())])
def test_an_axis_out_of_range_is_refused_when_built(axis, shape):
    with pytest.raises(ValueError, match="axis"):
        layers.GumbelSoftmaxLayer(axis=axis).build(shape)


def test_a_changed_number_of_classes_is_refused():
    layer = layers.GumbelSoftmaxLayer()
    layer(tf.zeros([2, 3]))
    with pytest.raises(ValueError, match="axis"):
        layer(tf.zeros([2, 4]))
