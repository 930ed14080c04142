"""The interface: programs, their draws, what every estimator must do with them, and errors."""

import functools

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from tests.expectations.programs import LOGITS, derivative, parallel, parallel_value, z_scores
from tests.reference import softmax
from tfgumbel import registry
from tfgumbel.distributions.abilities import BERNOULLI, ONE_HOT_CATEGORICAL, VARIABLES

GRADIENTS = [
    pytest.param(name, variable, id=f"{name}-{variable}")
    for variable in VARIABLES
    for name in registry.gradient_estimators(variable)
]


def arguments(name):
    """What an estimator cannot do without."""
    entry = registry.get(name)
    options = {"temperature": 0.5} if entry.needs_temperature else {}
    return {**options, "baseline": 1.0} if name == "reinforce_baseline" else options


def test_straight_through_is_exact_where_the_cost_is_linear():
    cost = tf.constant([1.0, -2.0, 0.5], tf.float64)
    logits = tf.Variable(LOGITS[:1])
    with tf.GradientTape() as tape:
        value = tfgumbel.expectation(
            lambda draw, logits: tf.linalg.matvec(draw(logits), cost),
            logits,
            estimator="straight_through",
            seed=3,
        )
    probs = softmax(LOGITS[0])
    expected = probs * (cost.numpy() - probs @ cost.numpy())
    np.testing.assert_allclose(tape.gradient(value, logits)[0], expected, rtol=1e-12)


@pytest.mark.parametrize(("name", "variable"), GRADIENTS)
def test_what_the_program_closes_over_gets_the_mean_sample(name, variable):
    weight = tf.Variable([1.0, 2.0, 3.0])
    logits = tf.constant([[0.5, 0.0, -0.5], [1.0, 2.0, 0.0]])
    seen = []

    def program(draw, logits):
        seen.append(draw.variable(variable, logits))
        return tf.linalg.matvec(seen[-1], weight)

    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = tfgumbel.expectation(
            program, logits, estimator=name, seed=5, num_samples=7, **arguments(name)
        )
    for_weight, for_logits = tape.gradient(value, [weight, logits])
    assert value.shape == (2,)
    assert np.all(np.isfinite(for_logits)) and np.any(for_logits != 0)
    if len(seen) > 1 or seen[0].shape != (14, 3):
        return  # several runs, or several outcomes at once: see test_unbiased
    samples = tf.reshape(seen[0], [7, 2, 3])
    np.testing.assert_allclose(for_weight, tf.reduce_sum(tf.reduce_mean(samples, 0), 0), rtol=1e-5)
    np.testing.assert_allclose(
        value, tf.reduce_mean(tf.linalg.matvec(samples, weight), 0), rtol=1e-5
    )


@pytest.mark.parametrize("mode", ["graph", "xla"])
@pytest.mark.parametrize("name", ["reinforce", "gumbel_rao", "gumbel_softmax"])
def test_a_cascade_in_a_graph_of_unknown_batch(name, mode):
    weight = tf.Variable(tf.random.stateless_normal([3, 4], [0, 1]))

    def program(draw, inputs):
        first = draw(inputs["first"])
        second = draw.variable(BERNOULLI, tf.matmul(first, weight))
        return tf.reduce_sum(second, -1) * inputs["scale"]

    signature = {"first": tf.TensorSpec([None, 3]), "scale": tf.TensorSpec([None])}

    @tf.function(input_signature=[signature], jit_compile=mode == "xla")
    def step(inputs):
        with tf.GradientTape() as tape:
            value = tfgumbel.expectation(
                program, inputs, estimator=name, seed=0, num_samples=4, **arguments(name)
            )
        return value, tape.gradient(value, weight)

    inputs = {"first": tf.zeros([5, 3]), "scale": tf.constant([0.0, 1.0, 2.0, 3.0, 4.0])}
    value, gradient = step(inputs)
    assert value.shape == (5,) and value[0] == 0.0 and gradient.shape == (3, 4)
    assert np.any(gradient != 0)
    if mode == "graph":  # the same noise as in eager mode, under XLA another
        eager = tfgumbel.expectation(
            program, inputs, estimator=name, seed=0, num_samples=4, **arguments(name)
        )
        np.testing.assert_allclose(value, eager, rtol=1e-5)


def test_sites_and_samples_have_noise_of_their_own():
    drawn = []

    def program(draw, logits):
        drawn.append([draw(logits), draw(logits)])
        return tf.zeros(tf.shape(logits)[:1])

    tfgumbel.expectation(program, tf.zeros([50, 8]), estimator="reinforce", seed=0, num_samples=2)
    first, second = drawn[0]
    assert np.any(first != second) and np.any(first[:50] != first[50:])


def test_distributions_are_drawn_by_type():
    tfd = pytest.importorskip("tensorflow_probability").distributions
    logits = tf.constant(LOGITS, tf.float32)

    def costs(program, name):
        return tfgumbel.expectation(
            program, logits, estimator=name, seed=1, temperature=0.5, num_samples=3
        )

    for name in ("straight_through", "gumbel_rao"):
        expected = costs(lambda draw, x: draw(x)[:, 0], name)
        given = costs(lambda draw, x: draw(tfd.OneHotCategorical(logits=x))[:, 0], name)
        np.testing.assert_array_equal(expected, given)
        binary = costs(lambda draw, x: draw.variable(BERNOULLI, x)[:, 0], name)
        independent = costs(
            lambda draw, x: draw(tfd.Independent(tfd.Bernoulli(logits=x), 1))[:, 0], name
        )
        np.testing.assert_array_equal(binary, independent)
    with pytest.raises(TypeError, match="OneHotCategorical"):
        costs(lambda draw, x: draw(tfd.Categorical(logits=x)), "gumbel_rao")


def test_booleans_and_integers_are_costs():
    logits = tf.Variable(np.tile(LOGITS[:1], (1000, 1)))
    for cost in (lambda d: d[:, 0] > 0.5, lambda d: tf.cast(d[:, 0], tf.int32)):
        with tf.GradientTape() as tape:
            value = tfgumbel.expectation(
                lambda draw, x, cost=cost: cost(draw(x)), logits, estimator="reinforce", seed=0
            )
        assert value.dtype == tf.float64 and set(value.numpy()) == {0.0, 1.0}
        gradient = tape.gradient(value, logits).numpy()
        probs = softmax(LOGITS[0])
        expected = probs[0] * (np.eye(3)[0] - probs)
        assert np.abs(z_scores(gradient, expected)).max() < 5


def test_half_precision_costs_are_summed_in_single():
    value = tfgumbel.expectation(
        lambda draw, x: tf.cast(draw(x)[:, 0], tf.float16) * 60_000.0,
        tf.constant([[10.0, 0.0]]),
        estimator="reinforce",
        seed=0,
        num_samples=50,
    )
    assert value.dtype == tf.float32 and 40_000 < value[0] < 60_001


def test_a_pair_or_a_callable_says_what_a_name_cannot():
    def gradient(estimator, **options):
        logits = tf.constant(LOGITS, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = tfgumbel.expectation(
                lambda draw, x: tf.linalg.matvec(draw(x), [1.0, -2.0, 0.5]) ** 2,
                logits,
                estimator=estimator,
                seed=2,
                **options,
            )
        return tape.gradient(value, logits).numpy()

    pair = gradient(("gumbel_rao", {"num_samples": 3, "temperature": 0.3}))
    function = gradient(functools.partial(tfgumbel.gumbel_rao, num_samples=3), temperature=0.3)
    np.testing.assert_array_equal(pair, function)
    assert np.any(pair != gradient("gumbel_rao", temperature=0.3))


def test_masked_classes_are_never_drawn_and_get_no_gradient():
    logits = tf.constant([[0.0, -np.inf, 1e4, 1e4]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = tfgumbel.expectation(
            lambda draw, x: tf.linalg.matvec(draw(x), [100.0, 100.0, 1.0, 3.0]),
            logits,
            estimator="reinforce",
            seed=0,
            num_samples=1000,
        )
    gradient = tape.gradient(value, logits).numpy()[0]
    assert 1.5 < value < 2.5
    assert gradient[0] == gradient[1] == 0.0
    assert np.all(np.isfinite(gradient)) and gradient[2] * gradient[3] != 0


def test_replicas_run_programs(strategy):
    with strategy.scope():
        logits = tf.Variable([[0.5, 0.0, -0.5]])
        baseline = tfgumbel.RunningMean()

    @tf.function
    def step():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        with tf.GradientTape() as tape:
            value = tfgumbel.expectation(
                lambda draw, x: draw(x)[:, 0],
                tf.convert_to_tensor(logits),
                estimator="reinforce_baseline",
                baseline=baseline,
                seed=tfgumbel.fold_in(0, replica),
                num_samples=8,
            )
        return tape.gradient(value, logits)

    gradients = strategy.experimental_local_results(strategy.run(step))
    assert len(gradients) == 2 and np.any(gradients[0] != gradients[1])


def program(draw, logits):
    return parallel(draw, logits)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"estimator": "reinforced"}, "reinforce_baseline"),
        ({"estimator": "reinforce_loo"}, "num_samples >= 2"),
        ({"estimator": "unordered_set", "set_size": 1}, "set_size"),
        ({"estimator": "enumeration", "max_outcomes": 8}, r"3 \*\* 2"),
        ({"estimator": "reinforce", "num_samples": 0}, "num_samples"),
        ({"estimator": "gumbel_max"}, "no gradient"),
        ({"estimator": "relaxed_subset", "k": 2}, "PlackettLuceSubset, which no program draws"),
        ({"estimator": "gumbel_sinkhorn"}, "which no program draws"),
        ({"estimator": "gumbel_rao"}, "needs a temperature"),
        ({"estimator": "reinforce", "temperature": 0.5}, "no option 'temperature'"),
        ({"estimator": "straight_through", "gap": 0.5}, "no option 'gap'"),
        ({"program": lambda draw, x: tf.reduce_sum(draw(x))}, "one for each row"),
        ({"program": lambda draw, x: draw(x)}, "one for each row"),
        ({"program": lambda draw, x: draw(tf.zeros([3, 2]))[:2, 0]}, "no batch axis"),
        ({"inputs": tf.constant(1.0)}, "no batch axis"),
        ({"inputs": (tf.zeros([2, 3]), tf.zeros([4]))}, "batch axis in common"),
        ({"estimator": "hard_concrete"}, "cannot draw from a OneHotCategorical"),
    ],
)
def test_errors_say_what_to_do(changes, message):
    given = {"program": program, "inputs": tf.zeros([2, 2, 3]), "estimator": "reinforce", "seed": 0}
    given.update(changes)
    with pytest.raises((ValueError, TypeError), match=message):
        tfgumbel.expectation(given.pop("program"), given.pop("inputs"), **given)


def test_a_relaxed_estimator_gives_relaxed_samples_and_hard_ones_hard():
    def program(draw, logits):
        sample = draw(logits)
        return tf.reduce_sum(sample * (1.0 - sample), -1)

    for name, entry in registry.sample_estimators(ONE_HOT_CATEGORICAL).items():
        if entry.differentiable:
            value = tfgumbel.expectation(
                program, tf.zeros([4, 3]), estimator=name, seed=0, **arguments(name)
            )
            assert np.all(value.numpy() == 0.0) == entry.hard


def test_value_is_the_mean_of_the_costs():
    value = tfgumbel.expectation(
        program, tf.constant(LOGITS[np.newaxis]), estimator="reinforce", seed=4, num_samples=100_000
    )
    error = 10.0 / np.sqrt(100_000)  # the cost varies by less than 10
    assert abs(value[0] - parallel_value(LOGITS)) < 5 * error
    assert derivative(parallel_value, LOGITS).shape == (2, 3)


@pytest.mark.parametrize(
    "name", ["straight_through", "straight_through_gumbel_softmax", "gumbel_rao"]
)
def test_cascades_are_the_surrogates_written_out_by_hand(name):
    """Paulus et al. 2021, appendix B: each draw's derivative passes through those that follow."""
    weight = tf.constant(np.random.default_rng(0).normal(size=(3, 4)))
    cost = tf.constant(np.random.default_rng(1).normal(size=4))
    logits = tf.constant(np.random.default_rng(2).normal(size=(6, 3)))
    function = functools.partial(getattr(tfgumbel, name), temperature=0.4)

    def finish(first, second):
        return tf.linalg.matvec(second, cost) ** 2 + first[:, 0] * second[:, 1]

    def program(draw, logits):
        first = draw(logits)
        return finish(first, draw(tf.matmul(first, weight)))

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        value = tfgumbel.expectation(program, logits, estimator=name, temperature=0.4, seed=9)
        first = function(logits, seed=tfgumbel.fold_in(9, 0))
        second = function(tf.matmul(first, weight), seed=tfgumbel.fold_in(9, 1))
        expected = finish(first, second)
    np.testing.assert_array_equal(value, expected)
    gradient = tape.gradient(value, logits)
    np.testing.assert_allclose(gradient, tape.gradient(expected, logits), rtol=1e-12)
    assert np.any(gradient != 0)


def test_bounds_of_estimators_that_do_not_know_them_are_refused():
    with pytest.raises(ValueError, match="(?s)does not know multi-sample.*vimco"):
        tfgumbel.multi_sample_bound(
            program, tf.zeros([2, 2, 3]), estimator="muprop", num_samples=3, seed=0
        )
