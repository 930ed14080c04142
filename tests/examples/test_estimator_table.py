"""The table of all estimators: rows, what is measured, resuming, page and picture; tiny runs."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from examples.common import binary_images
from examples.common.estimator import NAMES
from examples.common.training import Diverged
from examples.discrete_vae import measure, pages, rows, table, train

TINY = table.Settings(
    arity=4,
    latent_bits=12,
    hidden_units=(8,),
    batch_size=4,
    steps=8,
    warmup_steps=2,
    eval_every=4,
    selection_steps=4,
    variance_draws=10,
    validation_samples=3,
    validation_images=10,
    eval_samples=3,
    eval_images=10,
)


@pytest.fixture(scope="module")
def splits():
    return binary_images.load("digits")


def test_every_estimator_has_a_row_or_a_reason():
    found, reasons = rows.rows(TINY, train.check)
    labels = [row.label for row in found]
    assert len(set(labels)) == len(labels) == len({row.folder for row in found})
    named = {row.changes["estimator"] for row in found}
    assert named.isdisjoint(reasons) and named | set(reasons) == set(NAMES)
    assert labels[: len(rows.FIRST)] == list(rows.FIRST)
    assert "one categorical variable" in reasons["unordered_set"]
    for row in found:
        assert len(set(row.choices)) == 3
        for choice in row.choices:
            settings = row.settings(TINY, choice)
            assert getattr(settings, row.field) == choice
            assert settings.estimator == row.changes["estimator"]


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("straight_through_gumbel_softmax", 1),
        ("reinforce_loo", 2),
        ("muprop", 2),
        ("enumeration", 17),
    ],
)
def test_variance_of_the_gradient_of_one_image(splits, name, runs):
    settings = dataclasses.replace(TINY, estimator=name, variables=2, batch_size=20)
    trained = train.Training(table._plain(settings), splits)
    variance, found = measure.gradient_variance(trained, 400)
    assert found == runs
    model = trained.model
    images = splits.binarize(trained.batch(tf.constant(0, tf.int64)), [0, 0])
    logits = model.posterior_logits(images)
    gradients = []
    for seed in range(100):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = model.estimator.expectation(model.program, (images, logits), [seed, 9])
        gradients.append(tape.gradient(value, logits).numpy())
    expected = np.var(gradients, axis=0, ddof=1).sum(axis=(1, 2)).mean()
    if name == "enumeration":  # nothing is drawn, and the gradient itself is no variance
        assert abs(variance) < 1e-9 < float(tf.norm(gradients[0]))
    else:
        assert variance == pytest.approx(expected, rel=0.2)


def test_measuring_the_variance_leaves_what_was_learned_as_it_was(splits):
    settings = dataclasses.replace(TINY, estimator="nvil")
    trained = train.Training(table._plain(settings), splits)
    trained.advance(3)
    before = [np.array(one) for one in trained.model.variables]
    measure.gradient_variance(trained, 5)
    for one, other in zip(before, trained.model.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_row_takes_the_best_of_its_choices_and_is_done_once(splits, tmp_path, monkeypatch):
    row = rows.Row("reinmax", {"estimator": "reinmax"}, "temperature", (1.0, 1.5, 2.0))
    bounds = {1.0: float("inf"), 1.5: 3.0, 2.0: 5.0}
    monkeypatch.setattr(table, "_selected", lambda settings, *_: bounds[settings.temperature])
    result = table.measure_row(row, TINY, tmp_path, splits)
    assert result["choice"] == result["settings"]["temperature"] == 1.5
    assert result["settings"]["steps"] == [e["step"] for e in result["history"]][-1] == 8
    assert result["halfway_step"] == 4 and result["variance_halfway"] > 0.0
    assert result["step_milliseconds"] > 0.0 and result["program_runs"] == 1.0
    assert result["test_images"] == 10 and np.isfinite(result["test_bound"])
    # A part that is done is read, not made again.
    monkeypatch.setattr(table, "_costs", None)
    monkeypatch.setattr(measure, "gradient_variance", None)
    (tmp_path / "row.json").unlink()
    again = table.measure_row(row, TINY, tmp_path, splits)
    changing = ("test_seconds", "train_seconds")
    for name in result:
        assert name in changing or again[name] == result[name], name
    monkeypatch.setattr(train, "run", None)
    kept = table.measure_row(row, TINY, tmp_path, splits)
    assert kept == json.loads(json.dumps(again))


def test_a_choice_that_diverges_is_not_chosen(splits, tmp_path, monkeypatch):
    def diverge(*_, **__):
        raise Diverged("The loss is nan at step 4.")

    monkeypatch.setattr(train, "run", diverge)
    assert table._selected(TINY, tmp_path, splits) == float("inf")
    monkeypatch.setattr(train, "run", None)
    assert table._selected(TINY, tmp_path, splits) == float("inf")  # from its file


def row_result(label, estimator, bound, **changes):
    return {
        "label": label,
        "field": "temperature",
        "choice": 0.5,
        "program_runs": 2.0,
        "variance_at_start": 10.0,
        "variance_halfway": 300.0,
        "step_milliseconds": 9.0,
        "step_ratio": 1.25,
        "memory_mebibytes": None,
        "test_bound": bound,
        "settings": {"estimator": estimator},
        **changes,
    }


def test_page_and_picture(tmp_path):
    results = {
        "settings": {"steps": 3_000},
        "rows": [
            row_result("muprop", "muprop", 103.456),
            row_result("gumbel_rao, K = 10", "gumbel_rao", 95.0, step_ratio=2.0),
        ],
        "not_run": ["arm"],
        "left_out": {"vimco": "the same", "disarm": "the same"},
    }
    (tmp_path / "table.json").write_text(json.dumps(results))
    pages.write(tmp_path)
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[2].startswith("| `gumbel_rao, K = 10` | temperature 0.5 | **95.00** |")
    cells = [cell.strip() for cell in lines[3].split("|")[1:-1]]
    assert cells[2:9] == ["103.46", "10", "20", "300", "600", "2", "9.0"]
    assert len(cells) == len(pages.HEADINGS) == lines[0].count("|") - 1
    assert "Not run, for want of time: `arm`." in lines
    assert "Left out: `vimco`, `disarm` (the same)." in lines
    assert (tmp_path / "table.png").read_bytes()[:4] == b"\x89PNG"


def test_names_in_the_picture_keep_their_order_and_distance():
    places = pages.spread(np.array([1.0, 1.0, 1.01, 1.5, 9.0]), 0.5)
    assert np.diff(places).min() > 0.5 - 1e-6
    assert abs(places[-1] - 9.0) < 1e-9
    np.testing.assert_array_equal(pages.spread(np.array([1.0, 2.0]), 0.5), [1.0, 2.0])
