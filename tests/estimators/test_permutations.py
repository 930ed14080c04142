"""Permutations: Sinkhorn against unrolled autodiff and enumeration, noise, matching, the layer."""

import itertools
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from tfgumbel import registry

INF = float("inf")
NAMES = ["gumbel_sinkhorn", "straight_through_gumbel_sinkhorn"]
every_name = pytest.mark.parametrize("name", NAMES)


def scores_of(shape, seed=0, scale=1.0, dtype="float64"):
    return tf.constant(scale * np.random.default_rng(seed).normal(size=shape), dtype)


def with_gradient(function, scores, upstream):
    with tf.GradientTape() as tape:
        tape.watch(scores)
        value = function(scores)
        loss = tf.reduce_sum(value * tf.cast(upstream, value.dtype))
    return value, tape.gradient(loss, scores)


@pytest.mark.parametrize(("scale", "passes"), [(1.0, 200), (4.0, 3000)])
def test_the_implicit_gradient_is_that_of_unrolled_autodiff(scale, passes):
    scores, upstream = scores_of((2, 5, 5), scale=scale), scores_of((2, 5, 5), seed=1)

    @tf.function
    def looped(scores):
        def once(x):
            x -= tf.reduce_logsumexp(x, axis=-1, keepdims=True)
            return (x - tf.reduce_logsumexp(x, axis=-2, keepdims=True),)

        return tf.exp(tf.while_loop(lambda x: True, once, (scores,), maximum_iterations=passes)[0])

    expected = with_gradient(looped, scores, upstream)
    got = with_gradient(
        lambda x: tfgumbel.sinkhorn(x, num_iterations=5000, tolerance=1e-14), scores, upstream
    )
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-9)
    assert np.abs(expected[1]).max() > 0.05
    np.testing.assert_allclose(got[1], expected[1], rtol=0, atol=1e-10)


def test_memory_does_not_grow_with_the_number_of_passes():
    """The graph keeps nothing of a pass: no list or stack is among its operations."""
    scores = tf.zeros([2, 5, 5])

    def operations(function):
        concrete = tf.function(
            lambda x: with_gradient(function, x, tf.ones_like(x))
        ).get_concrete_function(scores)
        names = {op.type for op in concrete.graph.get_operations()}
        for body in concrete.graph._functions.values():
            names |= {node.op for node in body.cached_definition.node_def}
        return names

    lists = {"TensorListReserve", "EmptyTensorList", "TensorListPushBack", "TensorListSetItem"}
    assert not lists & operations(tfgumbel.sinkhorn)

    def looped(x):
        return tf.while_loop(
            lambda x: True, lambda x: (tf.nn.softmax(x),), (x,), maximum_iterations=9
        )[0]

    assert lists & operations(looped)  # what autodiff of a loop keeps


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
def test_doubly_stochastic_and_finite_at_the_extremes(mode, dtype):
    rows = np.stack(
        [
            np.zeros([3, 3]),
            [[1e4, 0, 0], [0, 1e4, 0], [0, 0, 1e4]],
            [[1e4, -1e4, 0], [-1e4, 1e4, 1e4], [0, 0, 0]],
            [[0, -INF, 1], [-INF, 2, 0], [1, 1, -INF]],
            np.full([3, 3], -1e4),
        ]
    )

    def run(scores, temperature):
        with tf.GradientTape() as tape:
            tape.watch([scores, temperature])
            sample = tfgumbel.gumbel_sinkhorn(scores, temperature=temperature, seed=[1, 2])
            loss = tf.reduce_sum(sample * tf.cast(UPSTREAM, sample.dtype))
        return sample, *tape.gradient(loss, [scores, temperature])

    function = run if mode == "eager" else tf.function(run, jit_compile=mode == "xla")
    for temperature in (1e-3, 0.5, 1e3):
        result = function(tf.constant(rows, dtype), tf.constant(temperature))
        sample, for_scores, for_temperature = (np.float64(part) for part in result)
        assert result[0].dtype == result[1].dtype == dtype
        assert np.all((sample >= 0) & (sample <= 1.01)) and np.all(np.isfinite(for_scores))
        assert np.isfinite(for_temperature)
        np.testing.assert_allclose(sample.sum(-2), 1.0, atol=0.02)
        assert np.all(sample[3][rows[3] == -INF] == 0) and not np.any(
            for_scores[3][rows[3] == -INF]
        )
        if temperature > 1.0:
            np.testing.assert_allclose(sample[0], 1 / 3, atol=0.02)


UPSTREAM = np.random.default_rng(3).normal(size=(3, 3))


def test_matching_is_the_best_of_all_permutations():
    scores = scores_of((20, 2, 4, 4), scale=3.0)
    permutations = np.eye(4)[list(itertools.permutations(range(4)))]
    sums = np.einsum("abij,pij->abp", scores, permutations)
    best = permutations[sums.argmax(-1)]
    np.testing.assert_array_equal(tfgumbel.matching(scores), best)
    cold = tfgumbel.sinkhorn(scores[:4] / 0.01, num_iterations=2000)
    np.testing.assert_allclose(cold, best[:4], atol=5e-3)


def test_hard_samples_have_the_gradient_and_the_noise_of_the_relaxed_ones():
    logits, upstream = scores_of((6, 5, 5)), scores_of((6, 5, 5), seed=1)
    options = {"temperature": 0.7, "seed": 4}
    soft = with_gradient(lambda x: tfgumbel.gumbel_sinkhorn(x, **options), logits, upstream)
    hard = with_gradient(
        lambda x: tfgumbel.straight_through_gumbel_sinkhorn(x, **options), logits, upstream
    )
    assert set(np.unique(hard[0])) == {0.0, 1.0}
    assert np.all(hard[0].numpy().sum(-1) == 1) and np.all(hard[0].numpy().sum(-2) == 1)
    np.testing.assert_allclose(hard[1], soft[1], rtol=1e-12)
    np.testing.assert_array_equal(hard[0], tfgumbel.matching(tf.math.log(soft[0])))


def test_reparameterised_gradients_match_differences():
    logits, upstream = scores_of((2, 4, 4)), scores_of((2, 4, 4), seed=1).numpy()
    heat, step = tf.constant([0.6, 1.1], tf.float64), 1e-6

    def sample(logits, heat):
        return tfgumbel.gumbel_sinkhorn(
            logits, temperature=heat, seed=3, num_iterations=2000, tolerance=1e-14
        )

    def difference(for_logits, for_heat):
        ends = [
            np.sum(sample(logits + sign * for_logits, heat + sign * for_heat) * upstream)
            for sign in (1, -1)
        ]
        return (ends[0] - ends[1]) / (2 * step)

    with tf.GradientTape() as tape:
        tape.watch([logits, heat])
        loss = tf.reduce_sum(sample(logits, heat) * upstream)
    for_logits, for_heat = tape.gradient(loss, [logits, heat])
    for index in ((0, 1, 2), (1, 3, 0)):
        nudge = np.zeros((2, 4, 4))
        nudge[index] = step
        np.testing.assert_allclose(for_logits[index], difference(nudge, 0.0), rtol=1e-5)
    for index in range(2):
        expected = difference(0.0, step * np.eye(2)[index])
        np.testing.assert_allclose(for_heat[index], expected, rtol=1e-5)


def test_noise_is_gumbel_and_scaled():
    # Two things in two places: the difference of two sums of two Gumbels decides.
    count = 20_000
    logits = tf.tile(tf.constant([[[0.8, 0.0], [0.0, 0.0]]]), [count, 1, 1])
    drawn = tfgumbel.straight_through_gumbel_sinkhorn(logits, temperature=1.0, seed=2).numpy()
    noise = np.random.default_rng(0).gumbel(size=(10**6, 4)) @ [1, 1, -1, -1]
    expected = np.mean(noise > -0.8)
    error = np.sqrt(expected * (1 - expected) / count)
    assert abs(drawn[:, 0, 0].mean() - expected) < 5 * error
    still = tfgumbel.gumbel_sinkhorn(logits[:1], temperature=0.5, seed=2, noise_scale=0.0)
    np.testing.assert_allclose(still, tfgumbel.sinkhorn(logits[:1] / 0.5), rtol=1e-5)


@every_name
def test_seeds_leading_axes_and_unknown_batches(name):
    function = getattr(tfgumbel, name)
    logits = scores_of((6, 3, 3), dtype="float32")
    draw = lambda x, seed=7: function(x, temperature=0.7, seed=seed).numpy()  # noqa: E731
    np.testing.assert_array_equal(draw(logits), draw(logits, (7, 0)))
    assert np.any(draw(logits) != draw(logits, 8))
    shaped = draw(tf.reshape(logits, [2, 3, 3, 3]))
    np.testing.assert_allclose(shaped.reshape(6, 3, 3), draw(logits), rtol=1e-5)
    unknown = tf.function(
        lambda x: function(x, temperature=0.7, seed=7),
        input_signature=[tf.TensorSpec([None, 3, 3])],
    )
    assert unknown.get_concrete_function().structured_outputs.shape.as_list() == [None, 3, 3]
    np.testing.assert_allclose(unknown(logits), draw(logits), rtol=1e-5)
    assert draw(tf.zeros([1, 1])).tolist() == [[1.0]]


def test_wrong_arguments_are_refused():
    for function in (
        tfgumbel.matching,
        tfgumbel.sinkhorn,
        lambda x: tfgumbel.gumbel_sinkhorn(x, temperature=1.0, seed=0),
    ):
        for shape in ((3,), (2, 3), (2, 0, 0)):
            with pytest.raises(ValueError, match="no square matrices"):
                function(tf.zeros(shape))
        with pytest.raises(ValueError, match="NaN or \\+inf"):
            function([[0.0, float("nan")], [0.0, 0.0]])
        with pytest.raises(TypeError, match="not floating point"):
            function([[1, 2], [3, 4]])
    with pytest.raises(ValueError, match="`num_iterations` is invalid"):
        tfgumbel.sinkhorn([[0.0]], num_iterations=0)
    with pytest.raises(ValueError, match="`noise_scale` is invalid"):
        tfgumbel.gumbel_sinkhorn([[0.0]], temperature=1.0, seed=0, noise_scale=-1.0)
    for temperature in (0.0, -1.0, None, [1.0, 2.0, 3.0]):
        with pytest.raises(ValueError, match="`temperature` is invalid"):
            tfgumbel.gumbel_sinkhorn(tf.zeros([2, 2, 2]), temperature=temperature, seed=0)
    forbidden = tfgumbel.matching([[0.0, -INF], [0.0, -INF]])
    assert np.all(np.isnan(forbidden))


def test_xla_names_what_it_cannot_compile():
    compiled = tf.function(tfgumbel.matching, jit_compile=True)
    with pytest.raises(tf.errors.InvalidArgumentError, match="SciPy_runs_in_Python_and_not_under"):
        compiled(tf.zeros([2, 2]))


def test_layers_are_relaxed_in_training_and_exact_outside_it(tmp_path):
    layer = tfgumbel.GumbelSinkhornLayer(0.7, noise_scale=0.5, seed=5)
    inputs = scores_of((4, 3, 3), dtype="float32")
    expected = tfgumbel.gumbel_sinkhorn(inputs, temperature=0.7, seed=(5, 0), noise_scale=0.5)
    np.testing.assert_array_equal(layer(inputs, training=True), expected)
    assert set(np.unique(layer(inputs))) == {0.0, 1.0}
    layer.inference = "argmax"
    np.testing.assert_array_equal(layer(inputs), tfgumbel.matching(inputs))
    model = keras.Sequential([keras.Input([3, 3]), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].get_config() == layer.get_config()
    np.testing.assert_array_equal(loaded(inputs, training=True), model(inputs, training=True))
    with pytest.raises(ValueError, match="`inference` is unknown"):
        tfgumbel.GumbelSinkhornLayer(inference="probs")
    with pytest.raises(ValueError, match="no square matrices"):
        tfgumbel.GumbelSinkhornLayer()(tf.zeros([2, 3, 4]))
    with pytest.raises(ValueError, match="(?s)cannot serve this layer.*gumbel_sinkhorn"):
        tfgumbel.GumbelSinkhornLayer(estimator="gumbel_softmax")


@every_name
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_layers_follow_dtype_policies(name, policy):
    layer = tfgumbel.GumbelSinkhornLayer(0.7, name, dtype=policy, seed=1)
    sample = layer(scores_of((2, 4, 4)), training=True)
    assert sample.dtype == tf.as_dtype(layer.compute_dtype)
    np.testing.assert_allclose(np.float64(sample).sum(-2), 1.0, atol=0.02)


def test_a_layer_learns_a_permutation_by_fit():
    keras.utils.set_random_seed(0)
    things = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    order = [2, 0, 3, 1]

    class Permuted(keras.Model):
        def __init__(self):
            super().__init__()
            self.scores = self.add_weight(shape=(4, 4), initializer="zeros")
            self.layer = tfgumbel.GumbelSinkhornLayer("learnable", noise_scale=0.1, seed=0)

        def call(self, inputs, training=False):
            matrix = self.layer(self.scores[tf.newaxis], training=training)[0]
            return inputs @ matrix

    model = Permuted()
    model.compile(keras.optimizers.Adam(0.1), "mse")
    assert not model.layer.supports_jit  # what Keras asks where it would compile by itself
    model.fit(things, things[:, order], batch_size=64, epochs=60, verbose=0)
    np.testing.assert_allclose(model.predict(things, verbose=0), things[:, order], atol=1e-6)


PEAK = """
import json, resource, sys
import numpy as np, tensorflow as tf, tfgumbel
passes = int(sys.argv[1])
x = tf.constant(np.random.default_rng(0).normal(size=(1, 700, 700)), tf.float32)
@tf.function
def run(x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tfgumbel.sinkhorn(x, num_iterations=passes, tolerance=0.0)
    return tape.gradient(value, x, output_gradients=x)
run(x).numpy()
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


@pytest.mark.slow
def test_the_peak_does_not_grow_with_the_number_of_passes():
    # Autodiff would keep several matrices of 2 MB a pass: 400 passes more are 800 MB or more.
    peaks = [
        json.loads(
            subprocess.run(
                [sys.executable, "-W", "ignore", "-c", PEAK, str(passes)],
                check=True, capture_output=True, text=True,
            ).stdout.splitlines()[-1]
        )
        for passes in (2, 402)
    ]  # fmt: skip
    assert peaks[1] - peaks[0] < 50 * 1024, peaks


def test_the_registry_knows_permutations():
    for name in NAMES:
        (kind,) = registry.get(name).variables
        assert kind.event_rank == 2 and repr(kind) == "GumbelMatching"
    with pytest.raises(ValueError, match="no closed form"):
        kind.make(tf.zeros([2, 2]))
