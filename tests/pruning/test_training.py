"""Training: budgets held at every step, schedules, methods, modes of execution, finishing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from pruning import PruningSchedule
from pruning.masks import masks

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 6)).astype("float32")
Y = (X[:, :1] - X[:, 1:2] > 0).astype("int32")


def network():
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(16, "relu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.Dropout(0.1),
            layers.Dense(2),
        ]
    )


def trained(epochs=5, compile_arguments=None, fit_arguments=None, **arguments):
    pruned = tfgumbel.prune(network(), arguments.pop("k", 0.25), seed=1, **arguments)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    pruned.compile("adam", loss, metrics=["accuracy"], **(compile_arguments or {}))
    history = pruned.fit(X, Y, batch_size=16, epochs=epochs, verbose=0, **(fit_arguments or {}))
    return pruned, history.history


class Recorder(keras.callbacks.Callback):
    """What the metrics and the scores are after every step."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def on_train_batch_end(self, batch, logs=None):
        scores = self.model.scores.numpy().astype(np.float64)
        assert scores.min() >= 0 and scores.max() <= 1
        self.rows.append(
            {name: float(value) for name, value in logs.items()}
            | {"sum": scores.sum(), "step": int(self.model.step)}
        )


def test_a_run_keeps_its_budget_and_its_schedule():
    recorder = Recorder()
    pruned, history = trained(fit_arguments={"callbacks": [recorder], "validation_data": (X, Y)})
    schedule, rows = PruningSchedule(), recorder.rows
    assert {"loss", "accuracy", "density", "temperature", "decided", "val_loss"} <= set(history)
    assert not {"val_density", "val_temperature"} & set(history)
    assert [row["step"] for row in rows] == list(range(1, 21))
    assert int(pruned.total_steps) == 20
    for row in rows:
        allowed = 128 - 96 * float(schedule.tightness(row["step"] / 20))
        assert row["sum"] <= allowed * (1 + 1e-6) + 1e-9
        assert row["density"] == pytest.approx(row["sum"] / 128, rel=1e-5)
        temperature = float(schedule.temperature((row["step"] - 1) / 20))
        assert row["temperature"] == pytest.approx(temperature, rel=1e-5)
    assert all(row["decided"] == 1 for row in rows[15:]) and rows[10]["decided"] < 1
    assert rows[-1]["sum"] == 32
    # The fixed mask is 0 or 1, evaluation uses it, and so does the result.
    sparse = pruned.finalize()
    assert type(sparse) is keras.Sequential and sparse is not pruned.model
    kernels = [layer.kernel.numpy() for layer in sparse.layers if hasattr(layer, "kernel")]
    assert sum(map(np.count_nonzero, kernels)) == 32
    np.testing.assert_allclose(
        sparse.predict(X, verbose=0), pruned.predict(X, verbose=0), rtol=1e-5, atol=1e-5
    )
    ours, plain = (model.evaluate(X, Y, verbose=0, return_dict=True) for model in (pruned, sparse))
    assert plain["accuracy"] == ours["accuracy"]
    assert plain["loss"] <= ours["loss"], "the plain model has no penalty on weights that are out"
    assert history["loss"][-1] < history["loss"][0]

    # Fine-tuning, by itself or through `finalize`, leaves the zeros alone and changes the rest.
    tuned = pruned.finalize(fine_tune={"x": X, "y": Y, "epochs": 2, "verbose": 0})
    for before, layer in zip(kernels, (tuned.layers[0], tuned.layers[-1]), strict=True):
        after = layer.kernel.numpy()
        np.testing.assert_array_equal(after != 0, before != 0)
        assert np.any(after != before)
    # More training of the pruned model is fine-tuning as well.
    mask = pruned.scores.numpy()
    pruned.fit(X, Y, epochs=3, verbose=0)
    np.testing.assert_array_equal(pruned.scores.numpy(), mask)


def test_fused_and_plain_steps_agree(monkeypatch):
    # Without noise, which XLA draws from another stream: first the update and the projection by
    # themselves, then whole runs.
    scores, runs = [], []
    for fuse_from in (1, 10**9):
        monkeypatch.setattr(masks, "FUSE_FROM", fuse_from)
        pruned = tfgumbel.prune(network(), 0.5, seed=0, total_steps=4)
        rng = np.random.default_rng(0)
        optimizer = keras.optimizers.Adam(0.02)
        for _ in range(3):
            shapes = [variable.shape for variable in pruned.trainable_variables]
            gradients = [tf.constant(rng.normal(size=s), tf.float32) for s in shapes]
            to_scores = tf.constant(rng.normal(size=128), tf.float32)
            pruned.update(gradients, to_scores, optimizer)
        scores.append(pruned.scores.numpy())
        assert 60 < scores[-1].sum() <= 64 * (1 + 1e-6)
        magnitude, history = trained(2, method="magnitude", fit_arguments={"shuffle": False})
        runs.append((history["loss"], magnitude.scores.numpy()))
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)
    np.testing.assert_allclose(runs[0][0], runs[1][0], rtol=1e-4)
    np.testing.assert_array_equal(runs[0][1], runs[1][1])


@pytest.mark.parametrize("fuse_from", [1, 10**9])
def test_the_step_that_fixes_the_mask(monkeypatch, fuse_from):
    monkeypatch.setattr(masks, "FUSE_FROM", fuse_from)
    pruned = tfgumbel.prune(network(), 0.5, seed=0, total_steps=5)  # fixed by the fourth
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(pruned.trainable_variables)
    rng = np.random.default_rng(0)

    @tf.function(autograph=False)
    def step(to_scores):
        return pruned.update([tf.ones(v.shape) for v in pruned.trainable_variables], to_scores)

    pruned.compile(optimizer, "mse")
    for number in range(1, 6):
        before = pruned.scores.numpy()
        logs = step(tf.constant(rng.normal(size=128), tf.float32))
        settled, fine_tuned = int(pruned.settled), int(pruned.masks.fine_tuned)
        assert (settled, fine_tuned, int(pruned.step)) == (number >= 4, number == 5, number)
        assert (float(logs["decided"]) == 1.0) == (number >= 4)
        if number == 4:
            best = np.argsort(-before, kind="stable")[:64]
            np.testing.assert_array_equal(np.flatnonzero(pruned.scores.numpy()), np.sort(best))
            assert float(logs["density"]) == 0.5


def test_a_compiled_step_has_no_room_for_what_happens_once(monkeypatch):
    # The memory of a program is that of its greatest branch, at every step.
    monkeypatch.setattr(masks, "FUSE_FROM", 1)
    pruned = tfgumbel.prune(network(), 0.5, seed=0, total_steps=9)

    def refuse(*_):
        raise AssertionError("the final mask is part of the step")

    monkeypatch.setattr(type(pruned.masks), "best", refuse)
    gradients = [tf.zeros(v.shape) for v in pruned.trainable_variables]
    pruned.update(gradients, tf.zeros([128]), keras.optimizers.SGD(0.1))
    assert int(pruned.step) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"method": "magnitude"},
        {"method": "random"},
        {"method": "magnitude", "structure": "filter", "k": 0.5, "targets": "kernel"},
        {"block": (1, 4), "num_samples": 2, "compile_arguments": {"steps_per_execution": 3}},
        {"structure": "2:4", "k": None},
        {"structure": "filter", "hard": True, "targets": "kernel"},
        {"scope": "layer", "compile_arguments": {"jit_compile": True}},
        {"compile_arguments": {"run_eagerly": True}, "epochs": 2},
    ],
    ids=str,
)
def test_methods_structures_and_modes(arguments):
    pruned, history = trained(**arguments)
    assert int(pruned.settled) == 1 and np.all(np.isfinite(history["loss"]))
    assert set(np.unique(pruned.scores)) == {0.0, 1.0}
    sizes = pruned.masks.groups.sizes()
    kept = float(np.sum(pruned.scores * sizes.numpy()))
    assert pruned.budget.k - int(tf.reduce_max(sizes)) < kept <= pruned.budget.k
    sparse = pruned.finalize()
    count = sum(np.count_nonzero(w) for w in sparse.get_weights() if w.ndim == 2)
    assert count == kept
    np.testing.assert_allclose(sparse(X), pruned(X), rtol=1e-4, atol=1e-5)


def test_magnitude_keeps_the_largest_weights():
    pruned = tfgumbel.prune(network(), 0.25, method="magnitude", total_steps=1)
    kernels = [target.variable.numpy() for target in pruned.targets]
    sparse = pruned.finalize()
    cut = np.sort(np.abs(np.concatenate([kernel.ravel() for kernel in kernels])))[-32]
    for kernel, target in zip(kernels, (sparse.layers[0], sparse.layers[-1]), strict=True):
        expected = np.where(np.abs(kernel) >= cut, kernel, 0)
        np.testing.assert_array_equal(target.kernel, expected)
    assert not [v for v in pruned.trainable_variables if v is pruned.scores]


def test_several_outputs_weights_losses_and_mixed_precision():
    class Penalty(layers.Layer):
        def call(self, inputs):
            self.add_loss(1e-3 * tf.reduce_mean(tf.cast(inputs, "float32") ** 2))
            return inputs

    def build():
        keras.utils.set_random_seed(0)
        x = keras.Input((6,), name="x")
        h = Penalty()(layers.Dense(8, "relu", dtype="mixed_float16")(x))
        outputs = {
            "a": layers.Dense(1, name="a", dtype="float32")(h),
            "b": layers.Dense(3, "softmax", name="b", dtype="float32")(h),
        }
        return keras.Model(x, outputs)

    arguments = {
        "optimizer": keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05)),
        "loss": {"a": "mse", "b": "sparse_categorical_crossentropy"},
        "loss_weights": {"a": 1.0, "b": 0.5},
        "weighted_metrics": {"b": ["accuracy"]},
    }
    targets = {"a": X[:, :1], "b": np.arange(64) % 3}
    weights = {"a": np.ones(64), "b": np.linspace(0, 2, 64)}
    plain, pruned = build(), tfgumbel.prune(build(), 0.5, seed=0, total_steps=1000)
    plain.compile(**arguments)
    arguments["optimizer"] = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05))
    pruned.compile(**arguments)
    expected = plain.evaluate(X, targets, sample_weight=weights, verbose=0, return_dict=True)
    got = pruned.evaluate(X, targets, sample_weight=weights, verbose=0, return_dict=True)
    assert got == pytest.approx(expected, rel=1e-3)
    before = pruned.targets[0].variable.numpy()
    history = pruned.fit(X, targets, sample_weight=weights, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all() and history["loss"][1] < history["loss"][0]
    assert np.any(pruned.targets[0].variable.numpy() != before)


def test_class_weights_count():
    runs = []
    for class_weight in (None, {0: 1.0, 1: 0.0}):
        pruned, history = trained(
            1,
            {"run_eagerly": True},
            {"class_weight": class_weight, "shuffle": False},
        )
        runs.append(history["loss"][0])
    assert runs[1] < 0.8 * runs[0]


def test_noise_is_the_step_and_the_seed():
    pruned = tfgumbel.prune(network(), 0.5, seed=5, total_steps=10)
    draws = {}
    pruned.scores.assign(tf.fill(pruned.scores.shape, 0.5))
    for step in (0, 1):
        pruned.step.assign(step)
        for draw in (0, 1):
            draws[step, draw] = pruned.masked_weights(training=True, draw=draw)[0][1].numpy()
    pruned.step.assign(0)
    again = pruned.masked_weights(training=True)[0][1].numpy()
    np.testing.assert_array_equal(draws[0, 0], again)
    values = list(draws.values())
    for i, first in enumerate(values):
        for second in values[:i]:
            assert np.abs(first - second).max() > 0.01


def test_noise_never_repeats_between_steps_and_draws():
    # The temperature stays, so that a mask repeats where its noise does.
    schedule = PruningSchedule(0.5, 0.5)
    pruned = tfgumbel.prune(
        network(), 0.5, seed=5, total_steps=10, num_samples=3, schedule=schedule
    )
    pruned.scores.assign(tf.fill(pruned.scores.shape, 0.5))
    values = []
    for step in range(4):
        pruned.step.assign(step)
        for draw in range(3):
            values.append(pruned.masked_weights(training=True, draw=draw)[0][1].numpy())
    for i, first in enumerate(values):
        for second in values[:i]:
            assert np.abs(first - second).max() > 0.01


def test_a_step_is_the_mean_of_its_draws():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(5, "tanh"), layers.Dense(2)])
    pruned = tfgumbel.prune(model, 0.5, seed=1, total_steps=10, num_samples=3)
    pruned.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    pruned.scores.assign(tf.fill(pruned.scores.shape, 0.6))
    variables = model.trainable_variables
    before, y = [v.numpy() for v in variables], X[:8, :2]
    sums, losses = [0.0] * len(variables), []
    for draw in range(3):
        with tf.GradientTape() as tape:
            with keras.StatelessScope(pruned.masked_weights(training=True, draw=draw)):
                losses.append(tf.reduce_mean((model(X[:8]) - y) ** 2))
        gradients = tape.gradient(losses[-1], variables)
        sums = [total + g.numpy() for total, g in zip(sums, gradients, strict=True)]
    logs = pruned.train_on_batch(X[:8], y, return_dict=True)
    for old, total, variable in zip(before, sums, variables, strict=True):
        np.testing.assert_allclose(variable, old - 0.1 * total / 3, rtol=1e-4, atol=1e-6)
    assert float(logs["loss"]) == pytest.approx(np.mean(losses), rel=1e-5)
    assert np.std(losses) > 0


@pytest.mark.parametrize("num_samples", [1, 2])
@pytest.mark.parametrize("targets", [None, lambda target: True], ids=["whole", "pruned"])
def test_embeddings_move_by_the_mean_of_their_gradients(targets, num_samples):
    keras.utils.set_random_seed(0)
    words = np.array([[1, 2, 3, 1], [4, 4, 4, 4], [5, 3, 0, 1]])
    model = keras.Sequential(
        [keras.Input((4,)), layers.Embedding(9, 3), layers.Flatten(), layers.Dense(2)]
    )
    options = {"total_steps": 10, "num_samples": num_samples}
    pruned = tfgumbel.prune(model, 0.5, seed=1, targets=targets, **options)
    pruned.compile(keras.optimizers.SGD(0.1), "mse")
    pruned.scores.assign(tf.fill(pruned.scores.shape, 0.6))
    embeddings = model.layers[0].embeddings
    before, expected = embeddings.numpy(), 0.0
    for draw in range(num_samples):
        with tf.GradientTape() as tape:
            with keras.StatelessScope(pruned.masked_weights(training=True, draw=draw)):
                loss = tf.reduce_mean((model(words) - X[:3, :2]) ** 2)
        gradient = tf.convert_to_tensor(tape.gradient(loss, embeddings.value))
        expected += gradient.numpy() / num_samples
    pruned.train_on_batch(words, X[:3, :2])
    np.testing.assert_allclose(embeddings, before - 0.1 * expected, rtol=1e-4, atol=1e-6)
    moved = np.any(embeddings.numpy() != before, axis=1)
    np.testing.assert_array_equal(moved, [True] * 6 + [False] * 3)


def test_batch_statistics_move_once_a_draw_and_inputs_stay():
    model = network()
    pruned = tfgumbel.prune(model, 0.5, seed=0, total_steps=10)
    norm = model.layers[1]
    pruned(X, training=False)
    assert not np.any(norm.moving_mean)
    before = model.get_weights()[0]
    pruned(X, training=True)
    assert np.any(norm.moving_mean)
    np.testing.assert_array_equal(model.get_weights()[0], before)


def test_optimizers_by_name_and_by_instance():
    pruned = tfgumbel.prune(network(), 0.5, total_steps=100)
    rates = []
    for step in (0, 50, 100):
        pruned.step.assign(step)
        pruned.compile("adam", "mse")
        rates.append(float(pruned.optimizer.learning_rate))
    assert rates == pytest.approx([3e-3, 0.505 * 3e-3, 3e-5], rel=1e-4)
    pruned.step.assign(0)
    pruned.compile("sgd", "mse")
    assert float(pruned.optimizer.learning_rate) == pytest.approx(0.01)
    own = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, 10))
    pruned.compile(own, "mse")
    assert pruned.optimizer is own and float(own.learning_rate) == pytest.approx(1e-2)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "scaled"])
def test_scores_move_by_their_own_rate_whatever_the_optimizer(optimizer):
    if optimizer == "scaled":
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), 2.0**10)
    optimizer = keras.optimizers.get(optimizer)
    pruned = tfgumbel.prune(network(), 0.5, seed=0, total_steps=1000, score_learning_rate=0.1)
    assert all(variable is not pruned.scores for variable in pruned.trainable_variables)
    pruned.scores.assign(tf.fill(pruned.scores.shape, 0.5))
    optimizer.build(pruned.trainable_variables)
    scale = optimizer.scale_loss(tf.ones([]))
    gradients = [scale * tf.ones_like(v) for v in pruned.trainable_variables]
    signs = np.where(np.arange(128) % 2, 1.0, -1.0)
    pruned.update(gradients, scale * tf.constant(3.0 * signs, tf.float32), optimizer)
    np.testing.assert_allclose(0.5 - pruned.scores.numpy(), 0.1 * signs, rtol=1e-4)
    pruned.compile(optimizer, "mse")
    assert pruned.optimizer is optimizer


def test_unknown_length_is_an_error():
    pruned = tfgumbel.prune(network(), 0.5)
    pruned.compile("adam", "mse")

    def batches():
        while True:
            yield X[:8], X[:8, :2]

    data = tf.data.Dataset.from_generator(
        batches,
        output_signature=(tf.TensorSpec((8, 6), tf.float32), tf.TensorSpec((8, 2), tf.float32)),
    )
    with pytest.raises(ValueError, match="steps_per_epoch"):
        pruned.fit(data, epochs=1, shuffle=False, verbose=0)
    pruned.fit(data, epochs=2, steps_per_epoch=3, shuffle=False, verbose=0)
    assert int(pruned.total_steps) == 6 == int(pruned.step)


def test_keep_sparsity():
    model = network()
    with pytest.raises(ValueError, match="no zeros to keep"):
        tfgumbel.keep_sparsity(model)
    kernel = model.layers[0].kernel
    kernel.assign(tf.where(tf.abs(kernel) > 0.2, kernel, 0.0))
    kernel.constraint = keras.constraints.MaxNorm(0.5)
    zeros = kernel.numpy() == 0
    assert tfgumbel.keep_sparsity(tfgumbel.keep_sparsity(model)) is model
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(X, Y, epochs=2, verbose=0)
    np.testing.assert_array_equal(kernel.numpy() == 0, zeros)
    assert np.linalg.norm(kernel.numpy(), axis=0).max() < 0.5 + 1e-5, "its own constraint too"
