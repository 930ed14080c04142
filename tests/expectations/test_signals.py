"""What each sample is to blame for: signals and baselines against NumPy, given the draws."""

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from tests.reference import softmax
from tfgumbel import expectations, registry
from tfgumbel.distributions.abilities import BERNOULLI, ONE_HOT_CATEGORICAL
from tfgumbel.expectations.objectives import LogMeanExp, Mean
from tfgumbel.expectations.score_function import mean_of_others

COSTS = np.array([[0.3, -1.0], [1.2, 0.4], [-0.7, 2.0]])


def others(index, costs=COSTS):
    return np.delete(costs, index, axis=0)


def bound(log_weights):
    return np.log(np.exp(log_weights).mean(0))


def test_the_mean_of_the_others_leaves_out_ones_own():
    np.testing.assert_allclose(mean_of_others(tf.constant([1.0, 2.0, 6.0])), [4.0, 3.5, 1.5])
    np.testing.assert_allclose(mean_of_others(tf.constant([[1.0, 2.0], [6.0, 3.0]]))[1, 0], 2.0)
    assert mean_of_others(tf.constant([5.0])) == 0.0


def test_signals_of_the_mean():
    mean, costs = Mean(), tf.constant(COSTS)
    np.testing.assert_allclose(mean.value(costs), COSTS.mean(0))
    np.testing.assert_allclose(mean.signal(costs, 0.5), (COSTS - 0.5) / 3)
    expected = [(COSTS[k] - others(k).mean(0)) / 3 for k in range(3)]
    np.testing.assert_allclose(mean.leave_one_out(costs), expected)
    np.testing.assert_allclose(mean.geometric_leave_one_out(costs), expected)
    np.testing.assert_allclose(mean.asymptotic_leave_one_out(costs, 0.3), expected)


def test_signals_of_the_multi_sample_bound():
    objective, costs = LogMeanExp(), tf.constant(COSTS)
    np.testing.assert_allclose(objective.value(costs), bound(COSTS))
    np.testing.assert_allclose(objective.signal(costs, 0.5), np.tile(bound(COSTS) - 0.5, (3, 1)))
    expected = [bound(COSTS) - bound(others(k)) for k in range(3)]
    np.testing.assert_allclose(objective.leave_one_out(costs), expected)
    # Mnih & Rezende 2016, eq. 10: the others' geometric mean in place of the weight.
    replaced = [np.vstack([others(k), others(k).mean(0)]) for k in range(3)]
    expected = [bound(COSTS) - bound(costs) for costs in replaced]
    np.testing.assert_allclose(objective.geometric_leave_one_out(costs), expected)
    # Lievin et al. 2020, eq. 17, whose d_k is the bound less the share that its own gradient has.
    shares = np.exp(COSTS) / np.exp(COSTS).sum(0)
    for gamma in (0.0, 0.3, 1.0):
        control = [bound(others(k)) - gamma * shares[k] for k in range(3)]
        control = np.array(control) + (1 - gamma) * np.log(1 - 1 / 3)
        expected = bound(COSTS) - shares - control
        signal = objective.asymptotic_leave_one_out(costs, gamma)
        np.testing.assert_allclose(signal - shares, expected)


@pytest.mark.parametrize(
    "name", [name for name in registry.loss_estimators() if name not in ("reinforce", "darn")]
)
def test_a_constant_in_the_cost_changes_no_gradient(name):
    """Each takes off a baseline, and one that is in the costs' own units."""
    logits = tf.constant(np.random.default_rng(0).normal(size=(5, 4)))
    options = {"num_summed": 2} if name == "sum_and_sample" else {}
    options |= {"scale": 0.6} if name == "rebar" else {}

    def gradient(constant):
        def program(draw, logits):
            scores = tf.linalg.matvec(draw(logits), tf.constant([0.1, -0.2, 0.05, 0.3], tf.float64))
            return constant + (scores - 0.3) ** 2 + scores * tf.sin(logits[:, 0])

        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = tfgumbel.expectation(
                program,
                logits,
                estimator=name,
                seed=2,
                num_samples=registry.get(name).min_samples,
                **options,
            )
        return tape.gradient(value, logits)

    np.testing.assert_allclose(gradient(100.0), gradient(0.0), rtol=0, atol=1e-8)


def nvil_gradient(logits, values, seed, baseline=None, **options):
    """Costs, scores D - p, NVIL's gradient and losses; a feature is among the inputs."""
    seen = []

    def program(draw, inputs):
        seen.append(draw(inputs["logits"]))
        return tf.linalg.matvec(seen[0], values)

    feature = tf.ones([len(logits), 2])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([logits, feature])
        inputs = {"logits": logits, "feature": feature}
        options = {"estimator": "nvil", "baseline": baseline, "seed": seed, **options}
        value = tfgumbel.expectation(program, inputs, **options)
        losses = [] if baseline is None else baseline.losses
    assert all(tape.gradient(loss, [logits, feature]) == [None, None] for loss in losses)
    sample = seen[0].numpy()
    costs, score = sample @ values.numpy(), sample - softmax(logits.numpy())
    return costs, score, tape.gradient(value, logits).numpy(), [float(loss) for loss in losses]


@pytest.mark.parametrize("normalize", [False, True])
def test_nvil_takes_off_mean_and_prediction_and_divides_by_the_deviation_if_told_to(normalize):
    logits = tf.constant(np.random.default_rng(1).normal(size=(40, 3)), tf.float32)
    values = tf.constant([10.0, -5.0, 2.0])
    options = {"normalize": normalize}
    costs, score, gradient, _ = nvil_gradient(logits, values, 0, **options)
    # Without a baseline's state: the others' moments.
    total, square = costs.sum() - costs, (costs**2).sum() - costs**2
    level = total / 39
    scale = np.sqrt(square / 39 - level**2)
    assert scale.min() > 1.0
    expected = ((costs - level) / (scale if normalize else 1.0))[:, np.newaxis] * score
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)

    baseline = expectations.NVILBaseline(hidden=4, decay=0.5)
    first, score, gradient, losses = nvil_gradient(logits, values, 1, baseline, **options)
    # Nothing was seen before: no level, and a scale of 1.
    np.testing.assert_allclose(gradient, first[:, np.newaxis] * score, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(losses, [np.mean(first**2)], rtol=1e-5)
    baseline.trainable_variables[-1].assign([0.7])  # the last bias: what is predicted
    second, score, gradient, losses = nvil_gradient(logits, values, 2, baseline, **options)
    level, scale = first.mean() + 0.7, first.std()
    expected = ((second - level) / (scale if normalize else 1.0))[:, np.newaxis] * score
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(losses, [np.mean((second - level) ** 2) / scale**2], rtol=1e-5)


def test_muprop_is_its_formula():
    """What the expansion about the mean leaves over, less the other rows' mean of that."""
    logits = tf.constant(np.random.default_rng(4).normal(size=(7, 3)))
    values, seen = tf.constant([1.0, -2.0, 0.5], tf.float64), []

    def program(draw, logits):
        seen.append(draw(logits))
        return tf.linalg.matvec(seen[-1], values) ** 3

    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = tfgumbel.expectation(program, logits, estimator="muprop", seed=4)
    gradient = tape.gradient(value, logits).numpy()
    sample, probs, values = seen[0].numpy(), softmax(logits.numpy()), values.numpy()
    field = probs @ values
    slope = 3.0 * field[:, np.newaxis] ** 2 * values
    left = (sample @ values) ** 3 - field**3 - np.sum(slope * (sample - probs), 1)
    signal = left - (left.sum() - left) / 6
    linear = probs * (slope - np.sum(probs * slope, 1, keepdims=True))
    np.testing.assert_allclose(gradient, signal[:, np.newaxis] * (sample - probs) + linear)


def test_double_control_variates_are_their_formula_in_a_cascade():
    """Three samples of two examples: a class and one given it, by hand from what was drawn."""
    rng = np.random.default_rng(4)
    logits = tf.constant(rng.normal(size=(2, 3)))
    weights = tf.constant(rng.normal(size=(3, 4)))
    costs_one, costs_two = rng.normal(size=3), rng.normal(size=4)
    seen = []

    def program(draw, inputs):
        seen.extend([draw(inputs)])
        seen.append(draw(seen[0] @ weights))
        return tf.linalg.matvec(seen[0], costs_one) * tf.linalg.matvec(seen[1], costs_two) ** 2

    with tf.GradientTape() as tape:
        tape.watch([logits, weights])
        value = tfgumbel.expectation(
            program,
            logits,
            estimator=("double_control_variates", {"scale": 0.7}),
            num_samples=3,
            seed=5,
        )
    gradient = tape.gradient(value, [logits, weights])
    one, two = (sample.numpy().reshape(3, 2, -1) for sample in seen)
    first, second = one @ costs_one, two @ costs_two
    np.testing.assert_allclose(value, np.mean(first * second**2, 0))
    slope_one = (second**2)[..., np.newaxis] * costs_one
    slope_two = (2 * first * second)[..., np.newaxis] * costs_two
    p = softmax(logits.numpy())[np.newaxis] + np.zeros([3, 1, 1])
    q = softmax(one @ weights.numpy())
    expected = [np.zeros((2, 3)), np.zeros((3, 4))]
    for row in range(2):
        left = np.zeros(3)
        steps = []
        for k in range(3):
            rest = [j for j in range(3) if j != k]
            steps.append((slope_one[rest, row].mean(0), slope_two[rest, row].mean(0)))
            linear = steps[k][0] @ (one - p)[k, row] + steps[k][1] @ (two - q)[k, row]
            left[k] = first[k, row] * second[k, row] ** 2 - 0.7 * linear
        for k in range(3):
            signal = (left[k] - np.delete(left, k).mean()) / 3
            toward_p = 0.7 * steps[k][0] * p[k, row] / 3
            toward_q = 0.7 * steps[k][1] * q[k, row] / 3
            expected[0][row] += signal * (one - p)[k, row] + toward_p - p[k, row] * toward_p.sum()
            for_logits = signal * (two - q)[k, row] + toward_q - q[k, row] * toward_q.sum()
            expected[1] += np.outer(one[k, row], for_logits)
    np.testing.assert_allclose(gradient[0], expected[0], rtol=1e-9)
    np.testing.assert_allclose(gradient[1], expected[1], rtol=1e-9)


def test_darn_is_its_formula_in_a_cascade_of_classes():
    """The slope at the sample, straight through later draws, times the distance to the middle."""
    first_cost, second_cost = tf.constant([1.0, -2.0, 0.5]), tf.constant([0.3, 1.5, -1.0, 2.0])
    matrix = tf.constant(np.random.default_rng(2).normal(size=(3, 4)), tf.float32)
    logits = tf.constant(np.random.default_rng(3).normal(size=(20, 3)), tf.float32)
    seen = []

    def program(draw, logits):
        first = draw(logits)
        second = draw(first @ matrix)
        seen[:] = [first, second]
        return tf.linalg.matvec(first, first_cost) * tf.linalg.matvec(second, second_cost)

    with tf.GradientTape() as tape:
        tape.watch([logits, matrix])
        value = tfgumbel.expectation(program, logits, estimator="darn", seed=4)
    gradient = tape.gradient(value, [logits, matrix])
    first_cost, second_cost, weights = (x.numpy() for x in (first_cost, second_cost, matrix))
    expected = np.zeros([20, 3]), np.zeros([3, 4])
    for row, (one, two) in enumerate(zip(*(sample.numpy() for sample in seen), strict=True)):
        probs = softmax(one @ weights)
        slope_two = (one @ first_cost) * second_cost
        jacobian = np.diag(probs) - np.outer(probs, probs)
        slope_one = (two @ second_cost) * first_cost + weights @ jacobian @ slope_two
        own = softmax(logits[row].numpy())
        expected[0][row] = slope_one @ (one - 1 / 3) * (one - own)
        expected[1][:] += slope_two @ (two - 1 / 4) * np.outer(one, two - probs)
    np.testing.assert_allclose(gradient[0], expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradient[1], expected[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["arm", "disarm"])
def test_sticks_past_both_outcomes_get_no_gradient(name):
    """Classes that neither run reached matter by their sum alone: shares of their softmax."""
    costs, seen = tf.constant([1.0, 4.0, -2.0, 0.5], tf.float64), []

    def program(draw, logits):
        seen.append(draw(logits))
        return tf.linalg.matvec(seen[-1], costs)

    inputs = tf.constant(np.tile([0.5, 0.0, -0.3, 0.9], (500, 1)))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = tfgumbel.expectation(program, inputs, estimator=name, seed=0)
    gradient = tape.gradient(value, inputs).numpy()
    # The value is the mean of both runs.
    both = seen[0].numpy() + seen[1].numpy()
    np.testing.assert_allclose(value, both @ costs.numpy() / 2)
    last = np.maximum(*(sample.numpy().argmax(-1) for sample in seen))
    early = gradient[(last < 2) & (gradient[:, 0] != 0)]
    assert len(early) > 20
    np.testing.assert_allclose(early[:, 2] / early[:, 3], np.exp(-0.3 - 0.9))


@pytest.mark.parametrize("name", ["reinforce", "disarm", "rebar", "relax"])
@pytest.mark.parametrize("variable", [ONE_HOT_CATEGORICAL, BERNOULLI], ids=str)
def test_draws_of_one_shape_have_noise_of_their_own_in_every_run(name, variable):
    runs = []

    def program(draw, logits):
        runs.append([draw.variable(variable, logits) for _ in range(2)])
        return tf.reduce_sum(runs[-1][0] * runs[-1][1], -1)

    tfgumbel.expectation(program, tf.zeros([50, 3]), estimator=name, seed=0)
    assert len(runs) == {"reinforce": 1, "disarm": 2}.get(name, 3)
    for first, second in runs:
        relaxed = np.any((first > 0) & (first < 1))
        same = np.all(first == second, axis=-1)
        assert not same.any() if relaxed else not same.all()


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, entry in registry.loss_estimators().items()
        if ONE_HOT_CATEGORICAL in entry.variables and name != "enumeration"
    ],
)
def test_no_run_of_a_program_sees_a_masked_class(name):
    """Nor do relaxed samples, the mean field, and those given the outcome."""
    logits = tf.constant(np.tile([[0.5, -np.inf, 0.0]], (30, 1)), tf.float32)
    runs = []

    def program(draw, logits):
        runs.append(draw(logits))
        return tf.linalg.matvec(runs[-1], [1.0, 3.0, -2.0]) ** 2

    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = tfgumbel.expectation(
            program,
            logits,
            estimator=name,
            seed=0,
            num_samples=registry.get(name).min_samples,
        )
    gradient = tape.gradient(value, logits)
    assert all(np.all(sample[:, 1] == 0.0) for sample in runs)
    assert np.all(np.isfinite(value)) and np.all(np.isfinite(gradient))


@pytest.mark.parametrize("name", ["rebar", "relax"])
@pytest.mark.parametrize("variable", [ONE_HOT_CATEGORICAL, BERNOULLI], ids=str)
def test_control_variates_learn_from_what_is_certain_too(name, variable):
    rows = [[0.5, -np.inf, 0.0], [-np.inf, -np.inf, 1.0]]
    if variable is BERNOULLI:
        rows = [[0.5, -np.inf, np.inf], [np.inf, -np.inf, -1.0]]
    option, layer = "parameters", expectations.RebarParameters()
    if name == "relax":
        option, layer = "control", expectations.RelaxControl(hidden=3)

    def program(draw, logits):
        return tf.linalg.matvec(draw.variable(variable, logits), [1.0, 3.0, -2.0]) ** 2

    with tf.GradientTape() as tape:
        tfgumbel.expectation(program, tf.constant(rows), estimator=name, seed=0, **{option: layer})
        loss = tf.add_n(layer.losses)
    slopes = tape.gradient(loss, layer.trainable_variables)
    assert loss == 0.0 and all(np.all(np.isfinite(slope)) for slope in slopes)
    assert np.any(slopes[0] != 0.0)


def test_what_is_impossible_may_cost_anything():
    logits = tf.constant([[0.3, -np.inf, -0.5]], tf.float64)

    def program(draw, logits):
        sample = draw(logits)
        return tf.linalg.matvec(sample, tf.constant([1.0, 9.0, 2.0], tf.float64)) / (
            1.0 - sample[:, 1]
        )

    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = tfgumbel.expectation(program, logits, estimator="enumeration", seed=0)
    probs = softmax(logits.numpy()[0])
    np.testing.assert_allclose(value, [probs @ [1.0, 0.0, 2.0]])
    slope = probs[0] * probs[2]
    np.testing.assert_allclose(tape.gradient(value, logits), [[-slope, 0.0, slope]])


def test_control_variates_learn_the_slope_of_the_squared_gradient():
    """Against differences in scale and temperature; one row has no other to centre by."""
    logits = tf.constant([[0.8, -0.4, 0.3]], tf.float64)

    def program(draw, logits):
        pair = draw.variable(BERNOULLI, logits[:, :2])
        last = draw.variable(BERNOULLI, logits[:, 2])
        return (1.0 + pair[:, 0] - 2.0 * last) * (2.0 - 3.0 * pair[:, 1] + last) ** 2

    def square(log_temperature, scale):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = tfgumbel.expectation(
                program,
                logits,
                estimator="rebar",
                scale=scale,
                temperature=np.exp(log_temperature),
                seed=1,
            )
        return float(tf.reduce_sum(tape.gradient(value, logits) ** 2))

    layer = expectations.RebarParameters(temperature=0.8, scale=0.6)
    with tf.GradientTape() as tape:
        tfgumbel.expectation(program, logits, estimator="rebar", parameters=layer, seed=1)
        (loss,) = layer.losses
    assert loss == 0.0
    point, step = np.array([np.log(0.8), 0.6]), 1e-4
    slopes = tape.gradient(loss, layer.trainable_variables)  # the temperature's, then the scale's
    for slope, shift in zip(slopes, step * np.eye(2), strict=True):
        difference = square(*(point + shift)) - square(*(point - shift))
        np.testing.assert_allclose(slope, difference / (2 * step), rtol=1e-3)
