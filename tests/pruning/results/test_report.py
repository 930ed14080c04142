"""Counts, multiply-adds, bytes, advice and pictures of sparse models."""

import json

import keras
import numpy as np
import pytest

import pruning
from pruning.results import costs, plots
from pruning.results.report import sparsity_report
from pruning.training.callbacks import ScoreHistory

LAYERS = keras.layers


def keep_first(model: keras.Model, density: float, block: int = 1) -> keras.Model:
    """Keeps a share of every kernel, in whole blocks along the inputs."""
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if variable.name == "kernel":
            groups = (-(-variable.shape[0] // block), *variable.shape[1:])
            order = rng.permutation(np.prod(groups)).reshape(groups)
            kept = np.repeat(order < round(density * order.size), block, axis=0)
            variable.assign(kept[: variable.shape[0]].astype("float32"))
    return model


def test_counts_of_a_plain_model_are_those_of_its_arrays():
    model = keep_first(
        keras.Sequential([keras.Input((20,)), LAYERS.Dense(10), LAYERS.Dense(4)]), 0.1
    )
    report = sparsity_report(model, sizes=False)
    kernels = [layer.kernel.numpy() for layer in model.layers]
    assert [target.kept for target in report.targets] == [np.count_nonzero(k) for k in kernels]
    assert report.kept == 20 + 4
    assert report.size == 240
    assert report.multiply_adds == 24
    assert report.dense_multiply_adds == 240
    assert sum(target.share for target in report.targets) == pytest.approx(1.0)
    assert report.sizes == {}
    json.dumps(report.to_dict())
    assert "10.00%" in str(report)


@pytest.mark.parametrize(
    ("shape", "layer", "expected"),
    [
        ((12,), lambda: LAYERS.Dense(5), 12 * 5),
        ((7, 12), lambda: LAYERS.Dense(5), 7 * 12 * 5),
        ((8, 8, 3), lambda: LAYERS.Conv2D(6, 3), 6 * 6 * 3 * 3 * 3 * 6),
        ((8, 8, 3), lambda: LAYERS.Conv2D(6, 3, strides=2, padding="same"), 4 * 4 * 27 * 6),
        ((8, 8, 4), lambda: LAYERS.Conv2D(6, 3, groups=2, padding="same"), 64 * 9 * 2 * 6),
        ((8, 3), lambda: LAYERS.Conv1D(6, 3), 6 * 3 * 3 * 6),
        ((4, 4, 3), lambda: LAYERS.Conv2DTranspose(5, 2, strides=2), 16 * 2 * 2 * 5 * 3),
        ((8, 8, 3), lambda: LAYERS.DepthwiseConv2D(3, padding="same"), 64 * 9 * 3),
        ((8, 8, 3), lambda: LAYERS.SeparableConv2D(5, 3, padding="same"), 64 * (27 + 15)),
        ((7, 12), lambda: LAYERS.LSTM(5), 7 * (12 * 20 + 5 * 20)),
        ((7, 12), lambda: LAYERS.Bidirectional(LAYERS.GRU(5)), 2 * 7 * (12 * 15 + 5 * 15)),
        ((7, 8, 8, 3), lambda: LAYERS.TimeDistributed(LAYERS.Conv2D(6, 3)), 7 * 36 * 27 * 6),
        ((7, 12), lambda: LAYERS.EinsumDense("btc,chd->bthd", (7, 2, 3)), 7 * 12 * 6),
    ],
)
def test_multiply_adds_of_a_dense_layer_by_hand(shape, layer, expected):
    model = keras.Sequential([keras.Input(shape), layer()])
    assert sparsity_report(model, sizes=False).dense_multiply_adds == expected


def test_multiply_adds_inside_attention_and_nested_models():
    inner = keras.Sequential([keras.Input((7, 12)), LAYERS.Dense(5)])
    x = keras.Input((7, 12))
    attended = LAYERS.MultiHeadAttention(2, 3)(x, x)
    model = keras.Model(x, inner(attended))
    assert sparsity_report(model, sizes=False).dense_multiply_adds == 7 * (4 * 12 * 6 + 12 * 5)


def test_a_layer_or_model_used_twice_counts_twice():
    shared = LAYERS.Dense(5)
    first, second = keras.Input((7, 12)), keras.Input((3, 12))
    inner = keras.Sequential([keras.Input((5,)), LAYERS.Dense(4)])
    pooled = [LAYERS.GlobalAveragePooling1D()(shared(x)) for x in (first, second)]
    twice = LAYERS.TimeDistributed(LAYERS.Dense(2))
    last = [LAYERS.Flatten()(twice(x)) for x in (first, second)]
    outputs = LAYERS.Concatenate()([*map(inner, pooled), *last])
    model = keras.Model([first, second], LAYERS.Dense(1)(outputs))
    report = sparsity_report(model, sizes=False)
    by_name = {target.name: target.dense_multiply_adds for target in report.targets}
    wanted = [(7 + 3) * 12 * 5, 2 * 5 * 4, (7 + 3) * 12 * 2, 2 * 4 + 7 * 2 + 3 * 2]
    assert sorted(by_name.values()) == sorted(wanted)
    # Another model with the same layer adds nothing.
    keras.Model(first, shared(first))
    assert sparsity_report(model, sizes=False).dense_multiply_adds == sum(wanted)


def test_unknown_shapes_are_said_so():
    class Doubled(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = LAYERS.Dense(3)

        def call(self, inputs):
            return 2 * self.dense(inputs)

    model = Doubled()
    model(np.ones((1, 4)))
    report = sparsity_report(model, sizes=False)
    assert report.multiply_adds is None
    assert any("subclassed" in note for note in report.notes)


def test_pruned_model_is_reported_as_it_would_be_finalized():
    model = keras.Sequential([keras.Input((16,)), LAYERS.Dense(8), LAYERS.Dense(4)])
    before = [weight.copy() for weight in model.get_weights()]
    pruned = pruning.prune(model, 20, seed=3)
    pruned.scores.assign(np.random.default_rng(0).random(pruned.scores.shape))
    report = pruned.report()
    assert report.kept == 20
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    masks = [target.mask for target in report.targets]
    sparse = pruned.finalize()
    for layer, mask in zip(sparse.layers, masks, strict=True):
        np.testing.assert_array_equal(layer.kernel.numpy() != 0, mask)
    assert set(report.sizes) == {"keras", "keras_gzip", "litert", "litert_dense"}


def test_gzip_and_litert_see_the_zeros():
    model = keras.Sequential([keras.Input((256,)), LAYERS.Dense(128)])
    report = sparsity_report(keep_first(model, 0.05))
    assert report.sizes["keras"] > 4 * report.size
    assert report.sizes["keras_gzip"] < report.sizes["keras"] / 3
    assert report.sizes["litert"] < report.sizes["litert_dense"] / 3


@pytest.mark.parametrize(
    ("density", "block", "slow"),
    [(0.1, 1, True), (0.02, 1, False), (0.1, 4, False), (0.5, 4, True), (1.0, 1, False)],
)
def test_says_when_zeros_make_nothing_faster(density, block, slow):
    model = keras.Sequential([keras.Input((128,)), LAYERS.Dense(64)])
    notes = sparsity_report(keep_first(model, density, block), sizes=False).notes
    assert any("not make CPU inference faster" in note for note in notes) == slow


def test_says_that_convolutions_are_run_dense():
    model = keras.Sequential([keras.Input((8, 8, 3)), LAYERS.Conv2D(4, 3)])
    notes = sparsity_report(keep_first(model, 0.1), sizes=False).notes
    assert any("wider than 1x1" in note for note in notes)
    assert not any("structure='filter'" in note for note in notes), "which makes nothing faster"
    assert not sparsity_report(keep_first(model, 1.0), sizes=False).notes
    x = keras.Input((7, 12))
    model = keras.Model(x, LAYERS.MultiHeadAttention(2, 3)(x, x))
    notes = sparsity_report(keep_first(model, 0.1), sizes=False).notes
    assert not any("wider than 1x1" in note for note in notes)


def test_deep_models_are_not_converted_unasked(monkeypatch):
    calls = []
    monkeypatch.setattr(costs, "litert_bytes", lambda model, sparse: calls.append(sparse) or b"12")
    model = keras.Sequential([keras.Input((4,)), *(LAYERS.Dense(4) for _ in range(21))])
    report = sparsity_report(model)
    assert set(report.sizes) == {"keras", "keras_gzip"} and not calls
    assert any("litert=True" in note for note in report.notes)
    assert sparsity_report(model, litert=True).sizes["litert"] == 2 and len(calls) == 2
    shallow = keras.Sequential([keras.Input((4,)), LAYERS.Dense(4)])
    assert "litert" not in sparsity_report(shallow, litert=False).sizes
    assert sparsity_report(shallow).sizes["litert_dense"] == 2


def test_what_is_left_is_reported():
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            LAYERS.Embedding(9, 4, name="words"),
            LAYERS.Flatten(),
            LAYERS.Dense(3, name="out"),
        ]
    )
    for report in (sparsity_report(model, sizes=False), pruning.prune(model, 9).report()):
        assert list(report.left) == ["words/embeddings"] == list(report.to_dict()["left"])
        assert "not pruned: words/embeddings (an embedding table" in str(report)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_diverged_models_are_refused(bad):
    model = keras.Sequential([keras.Input((6,)), LAYERS.Dense(3, name="out")])
    pruned = pruning.prune(model, 9)
    bias = np.zeros(3)
    bias[1] = bad
    model.layers[0].bias.assign(bias)
    for report in (lambda: sparsity_report(model, sizes=False), pruned.report):
        with pytest.raises(ValueError, match=r"NaN or infinite(.|\n)*out/bias': '1 of 3'"):
            report()


def test_picture_is_drawn_and_saved(tmp_path):
    model = keras.Sequential([keras.Input((300,)), LAYERS.Dense(30), LAYERS.Dense(4)])
    history = ScoreHistory()
    history.record(np.ones(100), 0)
    history.record(np.linspace(0, 1, 100), 10)
    report = sparsity_report(keep_first(model, 0.1), sizes=False)
    figure = report.plot(tmp_path / "report.png", history)
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG"
    titles = {ax.get_title() for panel in figure.subfigs for ax in panel.axes}
    assert sum("inputs" in title for title in titles) == 2
    assert [item.name for item in tmp_path.iterdir()] == ["report.png"]


def test_shrunk_mask_keeps_its_mean():
    mask = np.random.default_rng(0).random((200, 400)) < 0.2
    shrunk = plots._shrink(mask.astype(np.float32), 100)
    assert shrunk.shape == (100, 100)
    assert shrunk.mean() == pytest.approx(mask.mean())
    np.testing.assert_allclose(plots._shrink(np.ones((7, 205), np.float32), 100), 1.0)


def test_nothing_chosen_is_an_error():
    model = keras.Sequential([keras.Input((8,)), LAYERS.Dense(4)])
    with pytest.raises(ValueError, match="Nothing to prune"):
        sparsity_report(model, targets="no such weight")
