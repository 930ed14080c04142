"""Beside TensorFlow Probability's variational losses, at the very same samples."""

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from tfgumbel.distributions.abilities import BERNOULLI

tfp = pytest.importorskip("tensorflow_probability")
tfd = tfp.distributions

BATCH, NUM_SAMPLES = 5, 4
RNG = np.random.default_rng(3)
FEATURES = tf.constant(RNG.normal(size=(BATCH, 3)))
ENCODER = tf.Variable(RNG.normal(size=(3, 2, 4)))
DECODER = tf.Variable(RNG.normal(size=(2, 4, 3)))


def posterior_logits(features):
    return tf.einsum("...f,fvc->...vc", features, ENCODER)


def log_joint(features, sample):
    """Not linear in the sample: log p(D) + log p(x | D), up to constants."""
    mean = tf.einsum("...vc,vcf->...f", sample, DECODER)
    return -tf.reduce_sum((tf.tanh(mean) - features) ** 2, axis=-1)


def prepared(cls, samples, **arguments):
    """The distribution, whose next samples are these, sample by sample."""

    class Prepared(cls):
        def sample(self, sample_shape=(), seed=None, name="sample", **kwargs):
            shape = tf.concat([tf.reshape(sample_shape, [-1]), tf.shape(samples)[1:]], axis=0)
            return tf.reshape(samples, shape)

    return tfd.Independent(Prepared(**arguments, dtype=tf.float64), 1)


@pytest.mark.parametrize("variable", ["categorical", "binary"])
@pytest.mark.parametrize("name", ["vimco", "reinforce"])
def test_value_and_gradient_are_those_of_tfps_loss(name, variable):
    seen = []

    def log_weights(draw, features):
        logits = posterior_logits(features)
        if variable == "binary":
            seen.append(draw.variable(BERNOULLI, logits[..., 0]))
            distribution = tfd.Bernoulli(logits=logits[..., 0])
            sample = tf.stack([seen[-1]] * 4, axis=-1)
        else:
            seen.append(draw(logits))
            distribution, sample = logits, seen[-1]
        return log_joint(features, sample) - draw.log_prob(distribution, seen[-1])

    arguments = {"num_samples": NUM_SAMPLES, "estimator": name, "seed": 2}
    with tf.GradientTape() as tape:
        estimate = tfgumbel.multi_sample_bound if name == "vimco" else tfgumbel.expectation
        ours = estimate(log_weights, FEATURES, **arguments)
    our_slopes = tape.gradient(ours, [ENCODER, DECODER])
    samples = tf.reshape(seen[0], [NUM_SAMPLES, BATCH, *seen[0].shape[1:]])

    def target(sample):
        return log_joint(FEATURES, tf.stack([sample] * 4, -1) if variable == "binary" else sample)

    multi = name == "vimco"
    with tf.GradientTape() as tape:
        logits = posterior_logits(FEATURES)
        if variable == "binary":
            surrogate = prepared(tfd.Bernoulli, samples, logits=logits[..., 0])
        else:
            surrogate = prepared(tfd.OneHotCategorical, samples, logits=logits)
        theirs = tfp.vi.monte_carlo_variational_loss(
            target,
            surrogate,
            sample_size=1 if multi else NUM_SAMPLES,
            importance_sample_size=NUM_SAMPLES if multi else 1,
            gradient_estimator=getattr(
                tfp.vi.GradientEstimators, "VIMCO" if multi else "SCORE_FUNCTION"
            ),
            seed=0,
        )
    their_slopes = tape.gradient(theirs, [ENCODER, DECODER])
    assert theirs.shape == (BATCH,)
    np.testing.assert_allclose(ours, -theirs, rtol=1e-10)
    for our, their in zip(our_slopes, their_slopes, strict=True):
        assert np.abs(our).max() > 0.1
        np.testing.assert_allclose(our, -their, rtol=1e-9, atol=1e-12)
