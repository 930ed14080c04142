"""Estimators that claim no bias, against sums over all outcomes by itertools."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from tests.expectations.programs import CASES, derivative, z_scores
from tests.reference import softmax
from tfgumbel import expectations, registry
from tfgumbel.distributions.abilities import BERNOULLI

NUM_DRAWS = 200_000
BIASED = {"darn"}
# For one draw of one categorical variable.
SINGLE = {"sum_and_sample", "unordered_set"}
OPTIONS = {
    "sum_and_sample-2": ("sum_and_sample", {"num_summed": 2}),
    "unordered_set-3": ("unordered_set", {"set_size": 3}),
    "double_control_variates-one": ("double_control_variates", {"scale": 1.0}),
    "rebar-hot": ("rebar", {"temperature": 1.5, "scale": 0.6}),
}
NAMES = [*registry.loss_estimators(), *(name for name in OPTIONS if "-" in name)]


def gradients(program, parameters, name, num_draws=NUM_DRAWS, **arguments):
    """Values and gradients of many independent expectations, one for each row."""
    rows = 3 if name == "enumeration" else num_draws
    repeated = tf.tile(
        tf.constant(parameters, tf.float64)[tf.newaxis], [rows] + [1] * parameters.ndim
    )
    estimator = OPTIONS[name] if "-" in name else name

    @tf.function(autograph=False)
    def run(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = tfgumbel.expectation(program, inputs, estimator=estimator, seed=7, **arguments)
        return value, tape.gradient(value, inputs)

    value, gradient = run(repeated)
    return value.numpy(), gradient.numpy()


def applies(name, case):
    base = name.split("-")[0]
    if base in SINGLE:
        return case.name == "single"
    return registry.get(base).cascades or not case.cascade


PAIRS = [
    pytest.param(name, case, id=f"{name}-{case.name}")
    for name in NAMES
    for case in CASES.values()
    if name not in BIASED and not name.startswith("unordered_set") and applies(name, case)
]


@pytest.mark.parametrize(("name", "case"), PAIRS)
def test_values_and_gradients_are_those_of_the_sum_over_outcomes(name, case):
    # 200,000 draws: five standard errors are within 4% of the gradient's norm, 2% with two samples.
    base = name.split("-")[0]
    num_samples = max(2 if base == "reinforce_baseline" else 1, registry.get(base).min_samples)
    value, gradient = gradients(case.program, case.parameters, name, num_samples=num_samples)
    truth = derivative(case.value, case.parameters)
    assert abs(z_scores(value, case.value(case.parameters))) < 5
    assert np.abs(z_scores(gradient, truth)).max() < 5
    total_error = np.sqrt(gradient.var(0).sum() / len(gradient))
    assert 5 * total_error < 0.1 * np.linalg.norm(truth)


@pytest.mark.parametrize(("set_size", "rows"), [(2, 10_000), (3, 5_000), (4, 50)])
def test_unordered_sets_average_to_the_truth(set_size, rows):
    """Given its set the estimate has no noise: a sum over all sets, and their frequencies."""
    case, seen = CASES["single"], []

    def program(draw, logits):
        sample = draw(logits)
        seen.append(sample)
        return case.program(lambda _: sample, logits)

    logits = tf.tile(tf.constant(case.parameters)[tf.newaxis], [rows, 1])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = tfgumbel.expectation(
            program, logits, estimator="unordered_set", set_size=set_size, seed=7
        )
    estimates = np.column_stack([value, tape.gradient(value, logits)])
    drawn = tf.reduce_sum(tf.reshape(seen[0], [set_size, -1, 4]), 0).numpy() > 0
    probs, mean = softmax(case.parameters), 0.0
    for chosen in itertools.combinations(range(4), set_size):
        chance = 0.0
        for order in itertools.permutations(chosen):
            left = 1.0 - np.cumsum(probs[list(order)]) + probs[list(order)]
            chance += np.prod(probs[list(order)] / left)
        same = np.all(drawn == np.isin(range(4), chosen), axis=1)
        error = np.sqrt(chance * abs(1.0 - chance) / rows)
        assert abs(same.mean() - chance) <= 5 * error + 1e-9
        np.testing.assert_allclose(np.ptp(estimates[same], axis=0), 0.0, atol=1e-9)
        mean += chance * estimates[same][0]
    np.testing.assert_allclose(mean[0], case.value(case.parameters), rtol=1e-6)
    np.testing.assert_allclose(mean[1:], derivative(case.value, case.parameters), atol=1e-6)


@pytest.mark.parametrize("name", [n for n in registry.loss_estimators() if n not in SINGLE])
def test_cascades_are_done_right_or_refused(name):
    case = CASES["cascade"]
    if registry.get(name).cascades:
        return
    with pytest.raises(ValueError, match="cannot do a cascade"):
        gradients(case.program, case.parameters, name)


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_estimators_of_one_variable_say_so(name):
    for case in (CASES["parallel"], CASES["binary"]):
        with pytest.raises(ValueError, match="one categorical variable"):
            gradients(case.program, case.parameters, name)


def test_darn_is_exact_where_the_cost_is_quadratic_in_each_binary_variable():
    logits = np.array([0.8, -0.4])

    def program(draw, inputs):
        sample = draw.variable(BERNOULLI, inputs)
        return (1.0 + sample[:, 0]) ** 2 * (0.4 - sample[:, 1]) ** 2

    def value(logits):
        p, q = 1 / (1 + np.exp(-logits))
        return (1 - p + 4 * p) * ((1 - q) * 0.16 + q * 0.36)

    _, gradient = gradients(program, logits, "darn")
    assert np.abs(z_scores(gradient, derivative(value, logits))).max() < 5

    # The mean of a cubic is another: (f'(0) + f'(1)) / 2 in place of f(1) - f(0).
    def cubic(draw, inputs):
        return tf.reduce_sum((draw.variable(BERNOULLI, inputs) - 0.2) ** 3, -1)

    _, gradient = gradients(cubic, logits, "darn")
    p = 1 / (1 + np.exp(-logits))
    secant = 0.5 * (3 * 0.2**2 + 3 * 0.8**2)
    assert np.abs(z_scores(gradient, p * (1 - p) * secant)).max() < 5


def test_variances_are_in_the_order_that_they_should_be():
    # 20,000 draws know a variance to 2%, one standard error; the ratios are .79, .77, .84, .81,
    # .22, .2.
    def spread(name, case, num_draws=20_000, **arguments):
        program, parameters = CASES[case].program, CASES[case].parameters
        _, gradient = gradients(program, parameters, name, num_draws=num_draws, **arguments)
        return gradient.var(0).sum()

    plain, loo = (spread(n, "parallel", num_samples=4) for n in ("reinforce", "reinforce_loo"))
    assert loo < 0.85 * plain
    loo, double = (
        spread(n, "cascade", num_samples=4) for n in ("reinforce_loo", "double_control_variates")
    )
    assert double < 0.85 * loo
    assert spread("disarm", "binary") < 0.9 * spread("arm", "binary")
    assert spread("rebar", "single") < 0.9 * spread("reinforce", "single")
    assert spread("sum_and_sample-2", "single") < 0.3 * spread("sum_and_sample", "single")
    three, two = (spread(n, "single", 2_000) for n in ("unordered_set-3", "unordered_set"))
    assert three < 0.3 * two


def test_muprop_leaves_little_of_a_cost_that_is_nearly_linear():
    def program(draw, logits):
        total = tf.reduce_sum(draw.variable(BERNOULLI, logits) * [3.0, -2.0, 1.0], -1)
        return total + 0.05 * total**2

    inputs = tf.zeros([20_000, 3])
    spread = {}
    for name in ("muprop", "reinforce"):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = tfgumbel.expectation(program, inputs, estimator=name, seed=0)
        spread[name] = tape.gradient(value, inputs).numpy().var(0).sum()
    assert spread["muprop"] < 0.02 * spread["reinforce"]


@pytest.mark.parametrize("name", ["vimco", "reinforce", "reinforce_loo", "nvil"])
def test_multi_sample_bounds_are_unbiased(name):
    """log (1/m) Sum w of two samples of two binary variables, all 16 pairs by hand."""
    parameters, num_samples = np.array([0.5, -0.7]), 2
    codes = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]

    def log_weight(bits, logits):
        return 0.8 * bits[0] - 1.1 * bits[1] + 0.9 * bits[0] * bits[1] + 0.3 * logits[0]

    def program(draw, logits):
        sample = draw.variable(BERNOULLI, logits)
        return 0.05 * log_weight(tf.unstack(sample, axis=1), tf.unstack(logits, axis=1))

    def value(logits):
        p = 1 / (1 + np.exp(-logits))
        prob = [np.prod(np.where(np.array(bits) > 0, p, 1 - p)) for bits in codes]
        weight = [np.exp(0.05 * log_weight(bits, logits)) for bits in codes]
        return sum(
            prob[i] * prob[j] * np.log((weight[i] + weight[j]) / 2)
            for i in range(4)
            for j in range(4)
        )

    repeated = tf.tile(tf.constant(parameters)[tf.newaxis], [NUM_DRAWS, 1])
    with tf.GradientTape() as tape:
        tape.watch(repeated)
        bound = tfgumbel.multi_sample_bound(
            program, repeated, num_samples=num_samples, estimator=name, seed=3
        )
    gradient = tape.gradient(bound, repeated).numpy()
    assert abs(z_scores(bound.numpy(), value(parameters))) < 5
    assert np.abs(z_scores(gradient, derivative(value, parameters))).max() < 5


@pytest.mark.parametrize("name", ["binary", "cascade"])
def test_double_control_variates_find_the_scale_of_least_variance(name):
    case, products = CASES[name], tfgumbel.RunningMean(decay=0.5, shape=(2,))
    inputs = tf.tile(
        tf.constant(case.parameters)[tf.newaxis], [20_000] + [1] * case.parameters.ndim
    )

    @tf.function(autograph=False)
    def gradient(scale, seed):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = tfgumbel.expectation(
                case.program,
                inputs,
                estimator=("double_control_variates", {"scale": scale}),
                num_samples=2,
                seed=seed,
            )
        return tape.gradient(value, inputs)

    first = gradient(products, 0).numpy()  # nothing was seen before: leave-one-out
    np.testing.assert_allclose(first, gradient(tf.constant(0.0), 0), rtol=1e-9, atol=1e-12)
    learned = gradient(products, 1).numpy()
    assert np.abs(z_scores(learned, derivative(case.value, case.parameters))).max() < 5
    spreads = [gradient(tf.constant(scale), 1).numpy().var(0).sum() for scale in (0.0, 0.3, 0.6)]
    # 20,000 draws of one seed know the ratio of two of them to some .5%.
    assert learned.var(0).sum() < 1.01 * min(spreads) < 0.99 * spreads[0]


@pytest.mark.parametrize("gamma", [0.0, 0.4, 1.0])
def test_ovis_misses_the_gradient_of_the_shares_times_gamma(gamma):
    """Log weights that hold -log q, two samples of one binary variable and a class, 36 pairs."""
    parameters = np.array([0.5, -0.7, 0.2, 0.4])
    log_joint = np.array([[0.3, -1.0, 0.5], [-0.4, 0.9, -0.2]])
    outcomes = list(itertools.product(range(2), range(3)))

    def program(draw, logits):
        bit = draw.variable(BERNOULLI, logits[:, :1])
        one = draw(logits[:, 1:])
        table = tf.einsum("rb,bc,rc->r", tf.concat([1.0 - bit, bit], 1), log_joint, one)
        log_odds = tf.concat([tf.zeros_like(bit), logits[:, :1]], 1)
        log_q = tf.reduce_sum(tf.concat([1.0 - bit, bit], 1) * tf.nn.log_softmax(log_odds), 1)
        return table - log_q - draw.log_prob(logits[:, 1:], one)

    def log_probs(logits):
        pair = np.log(softmax(np.array([0.0, logits[0]])))
        return np.array([pair[b] + np.log(softmax(logits[1:]))[c] for b, c in outcomes])

    def value(logits):
        log_q = log_probs(logits)
        weights = np.exp([log_joint[o] - log_q[i] for i, o in enumerate(outcomes)])
        probs = np.exp(log_q)
        return probs @ np.log((weights[:, np.newaxis] + weights) / 2) @ probs

    log_q = log_probs(parameters)
    probs = np.exp(log_q)
    weights = np.exp([log_joint[o] - log_q[i] for i, o in enumerate(outcomes)])
    scores = np.array([derivative(lambda x, i=i: log_probs(x)[i], parameters) for i in range(6)])
    shares = weights[:, np.newaxis] / (weights[:, np.newaxis] + weights)
    missing = 2 * np.einsum("i,j,ij,id->d", probs, probs, shares, scores)
    repeated = tf.tile(tf.constant(parameters)[tf.newaxis], [NUM_DRAWS, 1])
    with tf.GradientTape() as tape:
        tape.watch(repeated)
        bound = tfgumbel.multi_sample_bound(
            program, repeated, num_samples=2, estimator="ovis", gamma=gamma, seed=3
        )
    gradient = tape.gradient(bound, repeated).numpy()
    truth = derivative(value, parameters)
    assert abs(z_scores(bound.numpy(), value(parameters))) < 5
    assert np.abs(z_scores(gradient, truth + gamma * missing)).max() < 5
    error = np.sqrt(gradient.var(0).sum() / len(gradient))
    assert 5 * error < 0.15 * np.linalg.norm(missing)
    assert np.linalg.norm(missing) > 0.1 * np.linalg.norm(truth)


@pytest.mark.parametrize("name", ["rebar", "relax"])
def test_learned_control_variates_stay_unbiased_and_save_variance(name):
    case = CASES["binary"]
    layer = expectations.RebarParameters(2.0, 0.2) if name == "rebar" else None
    layer = layer or expectations.RelaxControl(hidden=8, temperature=2.0, scale=0.2)
    option = {"parameters" if name == "rebar" else "control": layer}
    optimizer = keras.optimizers.Adam(0.03)
    inputs = tf.tile(tf.constant(case.parameters, tf.float32)[tf.newaxis], [500, 1])

    def estimate(inputs, seed):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(inputs)
            value = tfgumbel.expectation(case.program, inputs, estimator=name, seed=seed, **option)
            loss = tf.add_n(layer.losses)
        return tape.gradient(value, inputs), tape.gradient(loss, layer.trainable_variables)

    before, slopes = estimate(inputs, 0)
    assert all(slope is not None for slope in slopes)
    optimizer.build(layer.trainable_variables)

    @tf.function(autograph=False)
    def step(seed):
        _, slopes = estimate(inputs, seed)
        optimizer.apply(slopes, layer.trainable_variables)

    for index in range(300):
        step(tfgumbel.fold_in(1, index))
    after, _ = estimate(tf.tile(inputs, [100, 1]), 2)
    assert after.numpy().var(0).sum() < 0.9 * before.numpy().var(0).sum()
    truth = derivative(case.value, case.parameters)
    assert np.abs(z_scores(after.numpy(), truth)).max() < 5
