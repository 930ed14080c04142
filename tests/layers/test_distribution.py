"""The TFP distribution of a layer: its type, parameters, and agreement with what is drawn."""

import numpy as np
import pytest
import tensorflow as tf

from tests.layers.cases import CASES, case_id, entry, logits, make
from tfgumbel import distributions, layers
from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL


def expected_type(case):
    registered = entry(case)
    if registered.name == "hard_concrete":
        return distributions.HardConcrete
    if registered.variable.parameters:
        return getattr(distributions, repr(registered.variable))
    if registered.variable is ONE_HOT_CATEGORICAL:
        relaxed, hard = distributions.RelaxedOneHotCategorical, distributions.OneHotCategorical
    else:
        relaxed, hard = distributions.RelaxedBernoulli, distributions.Bernoulli
    return hard if registered.hard else relaxed


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_every_layer_has_a_distribution_of_its_samples(case):
    layer = make(case, temperature=0.7, seed=0)
    if case == "relaxed_subset":
        with pytest.raises(ValueError, match="no density that is known"):
            layer.distribution(logits())
        return
    distribution = layer.distribution(logits())
    assert isinstance(distribution, expected_type(case))
    sample = layer(logits(), training=True)
    density = distribution.log_prob(sample)
    assert density.shape == distribution.batch_shape and np.all(np.isfinite(density))
    if not entry(case).hard:
        np.testing.assert_allclose(distribution.temperature, 0.7, rtol=1e-6)


def test_frequencies_are_the_distributions_with_both_temperatures():
    layer = layers.CategoricalLayer(
        "decoupled_straight_through_gumbel_softmax", forward_temperature=0.5, seed=0
    )
    row = tf.constant([[0.5, -0.5, 0.0]])
    drawn = layer(tf.tile(row, [20_000, 1]), training=True)
    mean = layer.distribution(row).mean().numpy()[0]
    error = np.sqrt(mean * (1 - mean) / 20_000)
    assert np.all(np.abs(drawn.numpy().mean(0) - mean) < 5 * error)
    assert np.abs(mean - tf.nn.softmax(row)[0]).max() > 0.1


def test_axis_masks_precision_and_temperature_are_the_layers():
    layer = layers.GumbelSoftmaxLayer(0.5, axis=1, dtype="float16")
    layer.temperature = 0.25
    inputs = tf.cast(logits((2, 3, 4)), tf.float16)
    mask = tf.constant([True, True, False])[:, tf.newaxis]
    distribution = layer.distribution(inputs, class_mask=mask)
    assert distribution.batch_shape == (2, 4) and distribution.event_shape == (3,)
    assert distribution.dtype == tf.float32 and float(distribution.temperature) == 0.25
    hard = layers.GumbelRaoLayer(axis=1).distribution(inputs, class_mask=mask)
    assert np.all(hard.probs_parameter().numpy()[..., 2] == 0.0)


def test_divergences_are_one_call():
    tfd = pytest.importorskip("tensorflow_probability").distributions
    posterior = layers.GumbelRaoLayer().distribution(logits())
    prior = distributions.OneHotCategorical(logits=tf.zeros([5]))
    divergence = tfd.kl_divergence(posterior, prior)
    np.testing.assert_allclose(divergence, np.log(5.0) - posterior.entropy(), rtol=1e-5)
