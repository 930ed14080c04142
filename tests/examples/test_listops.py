"""ListOps: expressions, their draws, the tree-LSTM against a plain reference, its gradients."""

import collections
import dataclasses
import itertools
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from examples.common.files import RunError
from examples.listops import data, expressions, pictures, train
from examples.listops.expressions import parse
from examples.listops.model import TreeLSTM, greedy, replace

TINY = train.Settings(
    batch_size=10,
    learning_rate=0.02,
    warmup_steps=0,
    decay="constant",
    max_length=6,
    num_train=60,
    num_validation=20,
    epochs=2,
    units=8,
    estimator="straight_through_gumbel_softmax",
    temperature=1.0,
)


@pytest.fixture(scope="module")
def splits():
    return data.load(6, num_train=60, num_validation=20)


def value(text):
    return expressions.evaluate(parse(text))


def reference_value(tokens):
    """Recursive, by NumPy's median."""

    def node(position):
        token = tokens[position]
        if token >= 4:
            return token - 4, position + 1
        arguments, position = [], position + 1
        while tokens[position] != expressions.CLOSE:
            argument, position = node(position)
            arguments.append(argument)
        function = (np.min, np.max, np.median, lambda numbers: np.sum(numbers) % 10)[token]
        return int(function(arguments)), position + 1

    return node(0)[0]


def test_expressions_have_their_values():
    assert value("7") == 7
    assert value("[MIN 6 3 5 0 ]") == 0 and value("[MAX 6 2 9 ]") == 9
    assert value("[SM 9 8 7 ]") == 4 and value("[MED 4 1 0 ]") == 1
    assert value("[MED 5 8 ]") == 6  # between the two in the middle, rounded down
    assert value("( ( ( [MAX 2 ) ( ( ( [MIN 4 ) 7 ) ] ) ) ] )") == 4
    drawn = expressions.generate(500, seed=3)
    assert [expressions.evaluate(line) for line in drawn] == [reference_value(x) for x in drawn]


@pytest.mark.parametrize(
    "text", ["", "]", "1 2", "[MAX 1 2", "[MAX 1 ] ]", "[MAX 1 ] 2", "[TOP 1 ]"]
)
def test_what_is_no_expression_is_refused(text):
    with pytest.raises(ValueError, match="Expected"):
        parse(text)


def test_the_true_tree_is_the_published_one():
    text = "( ( ( ( [SM 6 ) ( ( ( [MED 7 ) 1 ) ] ) ) 5 ) ] )"
    tokens = parse(text)
    assert expressions.bracketed(tokens) == text
    spans = expressions.spans(expressions.merges(tokens), len(tokens))
    assert spans == {(0, 2), (2, 4), (2, 5), (2, 6), (0, 6), (0, 7), (0, 8)}
    for line in expressions.generate(300, seed=1):
        assert parse(expressions.bracketed(line)) == line == parse(expressions.plain(line))
        assert len(expressions.merges(line)) == len(line) - 1


def test_draws_are_distinct_new_and_of_the_published_shape():
    known = set(expressions.generate(200, seed=5))
    lines = expressions.generate(3_000, excluded=known, seed=5)
    assert len(lines) == len(set(lines)) == 3_000 and not known & set(lines)
    depths, arguments, operators = [], collections.Counter(), collections.Counter()
    for line in lines:
        stack, deepest = [], 0
        for token in line:
            if token < 4:
                operators[token] += 1
            elif token == expressions.CLOSE:
                arguments[stack.pop()] += 1
            if stack and token != expressions.CLOSE:
                stack[-1] += 1
            if token < 4:
                stack.append(0)
                deepest = max(deepest, len(stack))
        depths.append(deepest)
    assert max(depths) == 19  # as in the published file
    assert set(arguments) == {2, 3, 4, 5} and set(operators) == {0, 1, 2, 3}
    # Of all lists but those that are drawn twice, each operator has a quarter.
    total = sum(operators.values())
    assert all(abs(n / total - 0.25) < 5 * np.sqrt(0.1875 / total) for n in operators.values())


def test_giving_up_long_ones_changes_none_of_the_short():
    short = expressions.generate(20_000, max_length=8, seed=1)
    whole = [line for line in expressions.generate(20_000, seed=2) if len(line) <= 8]
    assert max(map(len, short)) == 8
    share = (len(short) + len(whole)) / 40_000
    error = np.sqrt(share * (1 - share) * 2 / 20_000)
    assert abs(len(short) - len(whole)) / 20_000 < 5 * error
    for length in (5, 6, 7, 8):
        ones, others = (sum(len(line) == length for line in lines) for lines in (short, whole))
        assert abs(ones - others) < 5 * np.sqrt(ones + others), length


def published():
    path = os.environ.get("TFGUMBEL_LISTOPS_FILE")
    if not path or not pathlib.Path(path).is_file():
        pytest.skip("set TFGUMBEL_LISTOPS_FILE to the published test file of ListOps")
    return path


def test_the_published_labels_and_trees():
    path = published()
    lines = data.read(path)  # which evaluates every one
    assert len(lines) == 10_000
    opened = data.gzip.open if path.endswith(".gz") else open
    with opened(path, "rt") as file:
        texts = [line.split("\t")[1].strip() for line in file]
    assert [expressions.bracketed(tokens) for _, tokens in lines] == texts


def test_draws_are_distributed_as_the_published_ones():
    """Chi-square of lengths and labels, of 100,000 drawn and the 10,000 published."""
    lines = [tokens for _, tokens in data.read(published())]
    drawn = expressions.generate(100_000, seed=11)
    bins = [1, 5, 6, 7, 8, 9, 10, 11, 13, 16, 20, 25, 32, 40, 50, 70, 100, 200, 400]
    for name, feature in (
        ("length", lambda line: np.searchsorted(bins, len(line), "right")),
        ("label", expressions.evaluate),
    ):
        counts = [collections.Counter(map(feature, one)) for one in (lines, drawn)]
        keys = sorted(set(counts[0]) | set(counts[1]))
        seen, expected = np.array([[one[key] for key in keys] for one in counts], float)
        expected *= len(lines) / len(drawn)
        statistic = np.sum((seen - expected) ** 2 / (expected * (1 + len(lines) / len(drawn))))
        degrees = len(keys) - 1
        assert statistic < degrees + 5 * np.sqrt(2 * degrees), name


def test_splits_have_nothing_in_common(splits, tmp_path):
    parts = [set(splits.train), set(splits.validation), set(splits.test)]
    assert [len(one) for one in parts[:2]] == [60, 20]
    assert all(not one & other for one, other in itertools.combinations(parts, 2))
    kept = splits.test[:30]
    text = "".join(f"{expressions.evaluate(x)}\t{expressions.bracketed(x)}\n" for x in kept)
    longer = "[MAX 1 2 3 4 5 ]"
    (tmp_path / "test.tsv").write_text(f"{text}5\t{longer}\n")
    again = data.load(6, num_validation=20, test_file=tmp_path / "test.tsv")
    assert again.test == kept
    assert not set(kept) & (set(again.train) | set(again.validation))
    with pytest.raises(RunError, match="num_train=10000000"):
        data.load(6, num_train=10_000_000)


@pytest.mark.parametrize("line", ["3\t[MAX 1 2 ]", "2\t[MAX 1 2", "2 [MAX 1 2 ]"])
def test_a_wrong_line_of_a_file_is_named(tmp_path, line):
    path = tmp_path / "test.tsv"
    path.write_text(f"1\t1\n{line}\n")
    with pytest.raises(RunError, match=r"test\.tsv cannot be read"):
        data.read(path)


def test_buckets_hold_every_line_once():
    lines = expressions.generate(500, max_length=12, seed=0)
    made = data.buckets(lines, 12, smallest=30)
    assert [bucket.tokens.shape[1] for bucket in made] == [7, 10, 12]
    found = [
        tuple(tokens[:length])
        for bucket in made
        for tokens, length in zip(bucket.tokens, bucket.lengths, strict=True)
    ]
    assert sorted(found) == sorted(lines)
    for bucket in made:
        assert list(bucket.labels) == [
            expressions.evaluate(tuple(tokens[:length].tolist()))
            for tokens, length in zip(bucket.tokens, bucket.lengths, strict=True)
        ]
        assert len(bucket.labels) >= 30
    whole = data.buckets(lines, 12, smallest=len(lines))
    assert len(whole) == 1 and len(whole[0].labels) == len(lines)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def reference(model, tokens, choose):
    """Class logits of one sentence, float64: a list of nodes, of which two are merged at a time.

    `choose` maps the candidates' logits and the step to the candidate that is merged.
    """
    weights = {v.name: v.numpy().astype(np.float64) for v in model.weights}
    units = model.units

    def parent(left, right):
        gates = np.concatenate([left[1], right[1]]) @ weights["merge"] + weights["merge_bias"]
        i, f_left, f_right, u, o = np.split(gates, 5)
        c = left[0] * sigmoid(f_left + 1) + right[0] * sigmoid(f_right + 1)
        c += np.tanh(u) * sigmoid(i)
        return c, sigmoid(o) * np.tanh(c)

    nodes = []
    for token in tokens:
        both = weights["embedding"][token] @ weights["leaf"] + weights["leaf_bias"]
        nodes.append((both[:units], both[units:]))
    step = 0
    while len(nodes) > 1:
        parents = [parent(*pair) for pair in itertools.pairwise(nodes)]
        scores = [h @ weights["query"][:, 0] / np.sqrt(units) for _, h in parents]
        place = choose(np.array(scores), step)
        nodes[place : place + 2] = [parents[place]]
        step += 1
    hidden = np.maximum(nodes[0][1] @ weights["hidden"] + weights["hidden_bias"], 0.0)
    return hidden @ weights["output_matrix"] + weights["output_bias"]


@pytest.fixture(scope="module")
def model():
    made = TreeLSTM(15, 10, units=6, seed=1)
    rng = np.random.default_rng(0)
    for variable in made.weights:  # biases too, and a query that prefers
        variable.assign(rng.normal(size=variable.shape) * 0.6)
    made.query.assign(made.query * 8.0)
    return made


SENTENCES = [(9,), (3, 8), (1, 5, 14), (0, 4, 5, 6, 7, 9, 14), (2, 4, 9, 14)]


def padded(sentences, bound, filler=0):
    tokens = np.full([len(sentences), bound], filler, np.int32)
    for row, sentence in zip(tokens, sentences, strict=True):
        row[: len(sentence)] = sentence
    return tokens, np.array([len(one) for one in sentences], np.int32)


WAYS = ["unrolled", "loop", "once"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_batch_equals_sentences_one_at_a_time(model, way, jit_compile):
    tokens, lengths = padded(SENTENCES, 7)
    classify = tf.function(
        lambda *arrays: model(*arrays, draw=greedy, way=way), jit_compile=jit_compile
    )
    expected = [reference(model, line, lambda scores, _: np.argmax(scores)) for line in SENTENCES]
    np.testing.assert_allclose(classify(tokens, lengths), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bound", [12, 13, 14, 17])
def test_long_sentences_equal_sentences_one_at_a_time(model, bound):
    rng = np.random.default_rng(3)
    sentences = [tuple(rng.integers(0, 15, length)) for length in (1, 2, 5, 6, 7, 8, bound)]
    tokens, lengths = padded(sentences, bound)
    expected = [reference(model, line, lambda scores, _: np.argmax(scores)) for line in sentences]
    for way in ("loop", "once"):
        found = model(tokens, lengths, draw=greedy, way=way)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_any_order_of_merges(model, way):
    """Candidates in an order of its own for each sentence, not by their logits."""
    tokens, lengths = padded(SENTENCES, 7)

    def place(row, step, candidates):
        return (3 * row + 2 * step + 1) % candidates

    def draw(logits, step):
        rows = []
        for row, one in enumerate(logits.numpy()):
            finite = np.isfinite(one)
            left = max(1, lengths[row] - 1 - step)
            np.testing.assert_array_equal(finite, np.arange(len(one)) < left)
            rows.append(place(row, step, left))
        return tf.one_hot(rows, logits.shape[-1])

    expected = [
        reference(model, line, lambda scores, step, row=row: place(row, step, len(scores)))
        for row, line in enumerate(SENTENCES)
    ]
    found = model(tokens, lengths, draw=draw, way=way)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_replace_is_linear_in_the_choice():
    rng = np.random.default_rng(0)
    state, parents = rng.normal(size=[1, 4, 2]), rng.normal(size=[1, 3, 2])
    choice = np.array([[0.5, 0.2, 0.3]])
    expected = 0.0
    for place, weight in enumerate(choice[0]):
        nodes = [*state[0, :place], parents[0, place], *state[0, place + 2 :]]
        expected = expected + weight * np.array(nodes)
    np.testing.assert_allclose(replace(state, parents, tf.constant(choice))[0], expected)
    nothing = replace(state, parents, tf.zeros_like(choice))
    np.testing.assert_array_equal(nothing, state[:, :-1])


@pytest.mark.parametrize("way", WAYS)
def test_what_is_past_the_end_never_matters(model, way):
    """Neither tokens nor places there change a logit or a gradient, of each sentence by itself."""

    def draw(logits, step):  # the same noise at the same place, and a gradient
        noise = tf.cast(tf.math.mod(7 * (step + 1) * (tf.range(9) + 2), 11), tf.float32) / 3.0
        relaxed = tf.nn.softmax(logits + noise[: logits.shape[-1]])
        return tf.stop_gradient(greedy(relaxed, step) - relaxed) + relaxed

    def outcome(sentences, bound, filler):
        with tf.GradientTape() as tape:
            logits = model(*padded(sentences, bound, filler), draw=draw, way=way)
            loss = tf.reduce_sum(logits * tf.range(10.0))
        return logits, tape.gradient(loss, model.trainable_variables)

    logits, gradient = outcome(SENTENCES, 7, 0)
    longer, longer_gradient = outcome(SENTENCES, 10, 13)
    np.testing.assert_allclose(longer, logits, rtol=1e-5, atol=1e-5)
    for one, other in zip(gradient, longer_gradient, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4)
    apart = [outcome([line], len(line), 0) for line in SENTENCES]
    np.testing.assert_allclose(np.concatenate([one for one, _ in apart]), logits, atol=1e-5)
    for index, one in enumerate(gradient):
        total = sum(
            np.nan_to_num(np.zeros(one.shape) if g[index] is None else g[index]) for _, g in apart
        )
        np.testing.assert_allclose(total, one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("estimator", "mode"),
    [
        ("gumbel_rao", "eager"),
        ("reinmax", "eager"),
        ("straight_through_gumbel_softmax", "graph"),
        ("straight_through_gumbel_softmax", "jit_compile"),
    ],
)
def test_merging_once_has_the_gradient_of_all_candidates_at_all_steps(estimator, mode):
    """In float64, so that a part of it of one in 10^9 would show."""
    model, rng = TreeLSTM(15, 10, units=5, dtype="float64"), np.random.default_rng(2)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape) * 0.6)
    model.query.assign(model.query * 8.0)
    options = {"temperature": 0.4} if estimator != "reinmax" else {}
    estimate = tfgumbel.registry.get(estimator).function
    batches = [[*SENTENCES, (5, 4, 3, 2, 1), (9, 9, 1, 0, 3, 14)], [(9,), (1, 2), (3, 8, 14)]]
    for sentences in batches if mode == "eager" else batches[:1]:
        tokens, lengths = padded(sentences, max(map(len, sentences)))

        def outcome(way, tokens=tokens, lengths=lengths):
            def draw(logits, step):
                seed = tfgumbel.fold_in(tf.constant([3, 4]), step)
                return estimate(logits, seed=seed, **options)

            with tf.GradientTape() as tape:
                logits = model(tokens, lengths, draw=draw, way=way)
                loss = tf.reduce_sum(logits * tf.range(10.0, dtype=tf.float64))
            return logits, tape.gradient(loss, model.trainable_variables)

        run = outcome
        if mode != "eager":
            run = tf.function(outcome, jit_compile=mode == "jit_compile")
        (logits, gradient), (found, found_gradient) = run("loop"), run("once")
        np.testing.assert_allclose(found, logits, rtol=1e-10)
        for variable, one, other in zip(model.weights, gradient, found_gradient, strict=True):
            scale = np.abs(one).max()
            assert scale > 0.0
            np.testing.assert_allclose(other, one, atol=1e-9 * scale, err_msg=variable.name)


def test_a_way_that_is_none_is_refused(model):
    with pytest.raises(ValueError, match="'unrolled', 'loop', 'once'"):
        model(*padded(SENTENCES, 7), draw=greedy, way="twice")


@pytest.mark.parametrize("estimator", train.estimators())
def test_every_estimator_gives_finite_gradients(estimator):
    num_samples = 3 if estimator in ("reinforce_loo", "vimco", "gumbel_rao") else "exact"
    settings = dataclasses.replace(
        TINY, estimator=estimator, temperature=None, num_samples=num_samples
    )
    lines = [(9,), (3, 8, 14), (0, 4, 5, 14), (1, 5, 6, 14)] * 3
    trained = train.Training(
        dataclasses.replace(settings, max_length=4, num_train=12), data.Splits(lines, lines, lines)
    )
    trained.model.query.assign(trained.model.query * 100.0)
    batch = [tf.constant(one) for one in data.Sentences.of(lines, 4).arrays]
    with tf.GradientTape() as tape:
        loss = trained.mean_loss(batch, tf.constant([1, 2]))
    gradient = tape.gradient(loss, trained.model.trainable_variables)
    assert np.isfinite(loss)
    if isinstance(trained.entry, tfgumbel.registry.SampleEstimator):

        def draw(logits, step):
            seed = tfgumbel.fold_in(tf.constant([1, 2]), step)
            return trained.entry.function(logits, seed=seed, **trained.options)

        # Once for each candidate, or, where draws are relaxed, at each step.
        plain = train.cross_entropy(batch[2], trained.model(*batch[:2], draw=draw, way="loop"))
        np.testing.assert_allclose(loss, tf.reduce_mean(plain), rtol=1e-5)
    assert all(np.isfinite(np.asarray(one)).all() for one in gradient)
    query = gradient[[v.name for v in trained.model.trainable_variables].index("query")]
    assert np.abs(query).max() > 0.0


@pytest.fixture(scope="module")
def exact(model):
    """The gradient of a tiny sentence's expected cost, by enumeration of all orders of merges."""
    trained = train.Training(
        dataclasses.replace(TINY, max_length=4, num_train=12, units=6),
        data.Splits([(9,)] * 12, [(9,)], [(9,)]),
    )
    for variable, other in zip(trained.model.weights, model.weights, strict=True):
        variable.assign(other)
    # Trees that differ in cost: the gradient is then large beside an estimate's deviation.
    trained.model.output_matrix.assign(3.0 * trained.model.output_matrix)
    with tf.GradientTape() as tape:
        expected = 0.0
        for order in itertools.product(range(3), range(2)):
            probabilities = []

            def draw(logits, step, order=order, probabilities=probabilities):
                probabilities.append(tf.nn.softmax(logits)[0, order[step]])
                return tf.one_hot([order[step]], logits.shape[-1])

            logits = trained.model(*padded([LINE], 4), draw=draw)
            cost = train.cross_entropy([LABEL], logits)[0]
            expected += tf.reduce_prod(probabilities) * cost
    return trained, expected, tape.gradient(expected, variables_of(trained))


LINE, LABEL = (2, 13, 11, 12), 7
GROUPS, GROUP = 60, 1_000


def variables_of(trained):
    return [v for v in trained.model.trainable_variables if v.name in ("query", "merge_bias")]


def samples(trained, estimator, num_samples="exact", **options):
    """Gradients of GROUPS independent means over GROUP draws of the tree, one row each."""
    settings = dataclasses.replace(trained.settings, estimator=estimator, num_samples=num_samples)
    trained.settings, trained.entry = settings, tfgumbel.registry.get(estimator)
    trained.options = options
    tokens, lengths = padded([LINE] * GROUP, 4)
    batch = (tf.constant(tokens), tf.constant(lengths), tf.fill([GROUP], LABEL))

    @tf.function
    def gradient(seed):
        with tf.GradientTape() as tape:
            loss = trained.mean_loss(batch, seed)
        return tf.concat(
            [tf.reshape(one, [-1]) for one in tape.gradient(loss, variables_of(trained))], 0
        )

    return np.array([gradient(tf.constant([5, group])) for group in range(GROUPS)], np.float64)


def flat(gradient):
    return np.concatenate([np.ravel(one) for one in gradient])


def z_scores(rows, expected):
    error = rows.std(axis=0, ddof=1) / np.sqrt(len(rows))
    return (rows.mean(axis=0) - expected) / np.maximum(error, 1e-9)


def test_the_programs_enumeration_is_exact(exact):
    trained, expected, gradient = exact
    batch = [tf.constant(one) for one in padded([LINE], 4)] + [tf.constant([LABEL])]
    with tf.GradientTape() as tape:
        value = tfgumbel.expectation(trained.program, tuple(batch), estimator="enumeration", seed=0)
    np.testing.assert_allclose(value, [expected], rtol=1e-5)
    found = tape.gradient(value, variables_of(trained))
    np.testing.assert_allclose(flat(found), flat(gradient), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("estimator", "num_samples"),
    [("reinforce", 1), ("reinforce_loo", 2), ("reinforce_baseline", 1)],
)
def test_unbiased_estimators_against_enumeration(exact, estimator, num_samples):
    trained, _, gradient = exact
    rows, gradient = samples(trained, estimator, num_samples), flat(gradient)
    z = z_scores(rows, gradient)
    assert np.abs(z).max() < 5.0
    # Fine enough to show a bias of a twentieth of the gradient's norm, along it.
    direction = gradient / np.linalg.norm(gradient)
    error = (rows @ direction).std(ddof=1) / np.sqrt(len(rows))
    assert 5.0 * error < 0.05 * np.linalg.norm(gradient)


@pytest.mark.slow
def test_gumbel_rao_has_the_mean_of_straight_through_and_less_variance(exact):
    trained, _, gradient = exact
    crude = samples(trained, "straight_through_gumbel_softmax", temperature=0.3)
    rao = samples(trained, "gumbel_rao", temperature=0.3, num_samples="exact")
    error = np.sqrt((crude.var(axis=0, ddof=1) + rao.var(axis=0, ddof=1)) / GROUPS)
    assert np.abs((crude.mean(axis=0) - rao.mean(axis=0)) / error).max() < 5.0
    query = slice(-6, None)  # the gradient that passes the draws alone
    assert rao[:, query].var(axis=0).sum() < 0.8 * crude[:, query].var(axis=0).sum()
    # Biased both, but of the right direction.
    cosine = rao.mean(axis=0) @ flat(gradient)
    cosine /= np.linalg.norm(rao.mean(axis=0)) * np.linalg.norm(flat(gradient))
    assert 0.5 < cosine < 1.0


def variables(trained):
    return [np.asarray(v) for v in (*trained.model.variables, *trained.optimizer.variables)]


def test_training_lowers_the_loss_and_resumes_as_if_it_had_not_stopped(splits, tmp_path):
    settings = dataclasses.replace(TINY, steps=60)
    unbroken = train.Training(settings, splits)
    first = unbroken.advance(20)
    unbroken.save(tmp_path / "checkpoint.npz")
    unbroken.advance(20)
    last = unbroken.advance(20)
    assert last < 0.95 * first
    resumed = train.Training(settings, splits)
    resumed.restore(tmp_path / "checkpoint.npz")
    resumed.advance(30)
    resumed.advance(10)
    assert resumed.step == unbroken.step
    for one, other in zip(variables(resumed), variables(unbroken), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_epoch_takes_no_sentence_twice_and_a_batch_one_bucket():
    lines = expressions.generate(400, max_length=12, seed=0)
    trained = train.Training(
        dataclasses.replace(TINY, max_length=12, batch_size=7),
        data.Splits(lines, lines[:5], lines[:5]),
    )
    sizes = [len(arrays[0]) for arrays in trained.data]
    batches = sum(size // 7 for size in sizes)
    assert len(sizes) == 3 and trained.settings.steps == 2 * batches
    epochs = []
    for epoch in range(2):
        seen = []
        for step in range(epoch * batches, (epoch + 1) * batches):
            bucket, rows = trained.batch(tf.constant(step, tf.int64))
            assert rows.shape == [7] and int(tf.reduce_max(rows)) < sizes[int(bucket)]
            seen += [(int(bucket), int(row)) for row in rows]
        assert len(set(seen)) == len(seen) == batches * 7
        epochs.append(seen)
    assert epochs[0] != epochs[1]


def test_accuracy_and_trees_are_those_of_the_reference(splits):
    trained = train.Training(TINY, splits)
    trained.model.query.assign(trained.model.query * 100.0)
    lines = splits.test[:40]
    right, positions = 0, []
    for line in lines:
        positions.append([])

        def choose(scores, _, positions=positions):
            positions[-1].append(int(np.argmax(scores)))
            return positions[-1][-1]

        logits = reference(trained.model, line, choose)
        right += np.argmax(logits) == expressions.evaluate(line)
    assert trained.accuracy(lines) == pytest.approx(100.0 * right / len(lines))
    assert trained.trees(lines) == positions
    shared, total = 0, 0
    for line, tree in zip(lines, positions, strict=True):
        spans = expressions.spans(expressions.merges(line), len(line))
        shared += len(spans & expressions.spans(tree, len(line))) - 1 * (len(line) > 1)
        total += len(spans) - 1 * (len(line) > 1)
    assert trained.agreement(lines) == pytest.approx(100.0 * shared / total)


@pytest.mark.slow
def test_the_command_ends_with_the_accuracy(tmp_path):
    command = [sys.executable, "-m", "examples.listops.main", "--max_length=6", "--units=4"]
    command += ["--num_train=40", "--batch_size=10", "--epochs=2", "--num_samples=2"]
    command.append(f"--run_dir={tmp_path}")
    root = pathlib.Path(train.__file__).parents[2]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    result = json.loads((tmp_path / "result.json").read_text())
    assert done.stdout.splitlines()[-1] == f"test accuracy: {result['test_accuracy']:.2f}%"
    assert len(result["history"]) == 2 and result["train_lines"] == 40
    assert result["settings"]["num_samples"] == 2
    assert (tmp_path / "trees.png").stat().st_size > 5_000
    command.append("--learning_rate=0.5")
    refused = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert refused.returncode and "learning_rate: 0.003 there, 0.5 now" in refused.stderr


def test_the_picture_tells_true_constituents_from_others(tmp_path):
    line = parse("[MAX 1 [MIN 2 3 ] ]")
    true = expressions.merges(line)
    right_branching = list(range(len(line) - 2, -1, -1))
    colors = []
    for tree in (true, right_branching):
        from matplotlib.image import imread

        image = imread(pictures.trees([line], [tree], tmp_path / "trees.png"))[..., :3]
        half = image[:, image.shape[1] // 2 :]
        wanted = [int(pictures.FALSE[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        colors.append(np.all(np.abs(half - wanted) < 0.05, axis=-1).sum())
    assert colors[0] == 0 and colors[1] > 100


def test_a_temperature_that_an_estimator_has_not_is_refused(splits):
    with pytest.raises(RunError, match="has no temperature"):
        train.Training(dataclasses.replace(TINY, estimator="reinforce"), splits)
