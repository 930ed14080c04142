"""The jigsaw example: cutting, scrambling, judging, its network, its runs, its command."""

import dataclasses
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import tfgumbel
from examples.common.files import RunError
from examples.jigsaw import pictures, puzzles, train

REPOSITORY = pathlib.Path(train.__file__).resolve().parents[2]
SETTINGS = train.Settings(grid=2, filters=8, hidden=32, batch_size=32, epochs=3)


@pytest.fixture(scope="module")
def images():
    return puzzles.load("digits")


def test_digits_are_split_and_none_is_in_two_parts(images):
    parts = [images.train, images.validation, images.test]
    assert [len(part) for part in parts] == [1_097, 200, 500]
    assert len(np.unique(np.concatenate(parts), axis=0)) == 1_797


def test_pieces_are_in_reading_order_and_fit_together_again():
    image = np.arange(2 * 6 * 6).reshape(2, 6, 6)
    pieces = puzzles.cut(image, 3)
    np.testing.assert_array_equal(pieces[1, 5], image[1, 2:4, 4:6])
    np.testing.assert_array_equal(puzzles.join(pieces), image)
    assert puzzles.crop(np.zeros([1, 28, 28]), 3).shape == (1, 27, 27)
    rows = np.arange(28)[np.newaxis, :, np.newaxis] * np.ones([1, 1, 28])
    kept = puzzles.crop(rows, 5)[0, :, 0]
    assert kept[0] == 1 and kept[-1] == 25
    with pytest.raises(RunError, match="--grid must be from 2 to 4"):
        puzzles.crop(np.zeros([1, 8, 8]), 5)


def test_every_order_is_as_likely_as_any_other():
    pieces = tf.tile(tf.reshape(tf.range(3), [1, 3, 1, 1]), [6_000, 1, 1, 1])
    scrambled, order = puzzles.scramble(pieces, [0, 1])
    np.testing.assert_array_equal(scrambled[..., 0, 0], order)
    _, counts = np.unique(order, axis=0, return_counts=True)
    assert len(counts) == 6 and scipy.stats.chisquare(counts).pvalue > 1e-4


def test_pieces_that_look_the_same_may_change_places():
    # Looks of the pieces 0 to 4: two of one kind, three of another.
    pieces = 255 * np.array([7, 8, 7, 8, 8]).reshape(1, 5, 1, 1)
    swapped = np.array([[2, 3, 0, 1, 4]])
    assert puzzles.judge(swapped, pieces) == puzzles.Scores(0.0, 0.0, 1.0, 0.0, 0.0)
    # Piece 1 in the place of 0, and 0 in that of 3; of its likes the places 0, 1 and 4 keep theirs.
    places = np.array([1, 3, 2, 0, 4])
    order = puzzles.relabel(places, pieces[0].reshape(5, 1))
    np.testing.assert_array_equal(order, [3, 1, 2, 0, 4])
    scores = puzzles.judge(places[np.newaxis], pieces)
    assert scores.wrong == pytest.approx(2 / 5) and scores.any_wrong == 1.0
    assert scores.kendall_tau == pytest.approx(scipy.stats.kendalltau(order, range(5)).statistic)
    assert scores.l1 == pytest.approx(2 / 5) and scores.l2 == pytest.approx(2 / 5)


def test_labels_of_random_solutions_are_permutations_and_never_worse():
    rng = np.random.default_rng(0)
    for _ in range(200):
        looks = rng.integers(0, 3, size=(6, 1))
        places = rng.permutation(6)
        order = puzzles.relabel(places, looks)
        np.testing.assert_array_equal(np.sort(order), np.arange(6))
        np.testing.assert_array_equal(looks[order], looks[places])
        right = looks[places, 0] == looks[:, 0]
        np.testing.assert_array_equal(order == np.arange(6), right)
        tau = scipy.stats.kendalltau(order, np.arange(6)).statistic
        assert puzzles.kendall_tau(order) == pytest.approx(tau)


def test_pieces_are_put_into_places_by_the_columns_of_the_matrix(images):
    model = train.build(SETTINGS, 4, 10)
    pieces = tf.cast(puzzles.cut(images.test[:5], 2), tf.float32) / 255.0
    scrambled, order = puzzles.scramble(pieces, [0, 1])
    scores = model.score(scrambled)
    # One network for all pieces: scrambling them scrambles the scores' rows.
    np.testing.assert_allclose(
        scores, tf.gather(model.score(pieces), order, batch_dims=1), rtol=1e-4, atol=1e-5
    )
    relaxed = tfgumbel.gumbel_sinkhorn(
        scores, temperature=1.0, seed=(0, 0), num_iterations=20, noise_scale=0.0
    )
    np.testing.assert_allclose(
        model(scrambled, training=True), np.einsum("bip,bixy->bpxy", relaxed, scrambled), atol=1e-5
    )
    places = train.solve(model, tf.cast(255.0 * scrambled, tf.uint8), order.numpy(), rows=2)
    put = np.take_along_axis(pieces.numpy(), places[..., np.newaxis, np.newaxis], axis=1)
    np.testing.assert_allclose(model(scrambled), put, atol=1e-6)


def test_a_run_learns_is_resumed_and_read_again(tmp_path, images, monkeypatch):
    whole = train.train(SETTINGS, tmp_path / "whole", images)
    assert whole.test.wrong < 0.8 * whole.scrambled.wrong
    stopped = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(train, "evaluate", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train.train(SETTINGS, stopped, images)
    assert (stopped / "backup.npz").exists()
    resumed = train.train(SETTINGS, stopped, images)
    assert resumed.test == whole.test and not (stopped / "backup.npz").exists()
    again = train.train(SETTINGS, stopped, images)
    assert again.validation == whole.validation
    np.testing.assert_array_equal(again.shown["soft"], resumed.shown["soft"])
    with pytest.raises(RunError, match="other settings"):
        train.train(dataclasses.replace(SETTINGS, hidden=8), stopped, images)


def test_a_frame_is_around_a_wrong_piece():
    true = np.arange(2 * 4 * 4, dtype=np.float32).reshape(2, 4, 4)
    assembled = true.copy()
    assembled[1, 2:, :2] = 0.0
    shown = {"scrambled": true, "soft": true, "assembled": assembled, "true": true}
    np.testing.assert_array_equal(pictures.wrong_places(shown, 2), [[1, 1, 0]])
    outcome = train.Outcome(None, None, None, shown)
    (axes,) = pictures.draw({2: outcome}).axes
    (frame,) = axes.patches
    assert frame.get_xy() == (1 * 5 - 0.5, 2 * 5 + 2 - 0.5)


def test_the_command_prints_a_table_and_saves_a_picture(tmp_path):
    command = [sys.executable, "-m", "examples.jigsaw.main", f"--run_dir={tmp_path}"]
    done = subprocess.run(
        [*command, "--grid=4", "--epochs=1", "--hidden=8", "--filters=4"],
        cwd=REPOSITORY, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "4 x 4" in done.stdout and "Kendall" in done.stdout
    assert (tmp_path / "puzzles.png").stat().st_size > 10_000
