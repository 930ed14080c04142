"""The sorting example: its lists, its loss, its runs and their resumption, its command."""

import dataclasses
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel
from examples.common.files import RunError
from examples.sort_numbers import pictures, train

REPOSITORY = pathlib.Path(train.__file__).resolve().parents[2]
SETTINGS = train.Settings(count=4, epochs=1, num_test=50)


def test_lists_are_uniform_sorted_and_new_for_every_seed():
    numbers, ordered = train.lists(5000, 4, (0, 1, 0))
    assert abs(numbers.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 20_000)
    np.testing.assert_array_equal(np.sort(numbers, axis=1), ordered)
    assert np.all(np.diff(ordered, axis=1) >= 0)
    assert np.any(train.lists(5000, 4, (0, 1, 1))[0] != numbers)


def test_numbers_are_put_into_places_by_the_columns_of_the_matrix():
    model = train.build(SETTINGS)
    numbers, _ = train.lists(3, 4, 0)
    scores = model.score(numbers)
    relaxed = tfgumbel.gumbel_sinkhorn(
        scores, temperature=1.0, seed=(0, 0), num_iterations=20, noise_scale=0.0
    )
    expected = np.einsum("bip,bi->bp", relaxed, numbers)
    np.testing.assert_allclose(model(numbers, training=True), expected, rtol=1e-5)
    placed = np.einsum("bip,bi->bp", tfgumbel.matching(scores), numbers)
    np.testing.assert_allclose(model(numbers), placed, rtol=1e-6)
    np.testing.assert_allclose(np.sort(placed, axis=1), np.sort(numbers, axis=1), rtol=1e-6)


def test_mistakes_are_counted_by_number_and_by_list():
    class Swaps(tf.Module):
        """Sorts, but swaps the first two places of every second list."""

        count = 0

        def __call__(self, numbers):
            ordered = np.sort(numbers, axis=1)
            swapped = (np.arange(len(numbers)) + self.count) % 2 == 0
            self.count += len(numbers)
            ordered[swapped, :2] = ordered[swapped, 1::-1]
            return tf.constant(ordered)

        def score(self, numbers):
            return tf.zeros([1, 4, 4])

    outcome = train.evaluate(Swaps(), SETTINGS)
    assert outcome.any_wrong == 0.5 and outcome.wrong == 0.25
    np.testing.assert_allclose(outcome.matrix, 0.25)


def test_a_run_learns_is_resumed_and_read_again(tmp_path, monkeypatch):
    settings = dataclasses.replace(SETTINGS, epochs=2)
    whole = train.train(settings, tmp_path / "whole")
    assert whole.wrong < 0.5  # 3/4 by chance
    stopped = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(train, "evaluate", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train.train(settings, stopped)
    assert (stopped / "backup.npz").exists()
    resumed = train.train(settings, stopped)
    assert resumed.wrong == whole.wrong and not (stopped / "backup.npz").exists()
    assert train.train(settings, stopped).any_wrong == whole.any_wrong
    with pytest.raises(RunError, match="other settings"):
        train.train(dataclasses.replace(settings, hidden=8), stopped)


def test_the_picture_has_the_numbers_in_their_order():
    outcome = train.Outcome(0.0, 0.0, np.array([0.3, 0.1, 0.2]), np.eye(3)[[2, 0, 1]])
    figure = pictures.draw({3: outcome})
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), np.eye(3))


def test_the_command_prints_a_table_and_saves_a_picture(tmp_path):
    command = [sys.executable, "-m", "examples.sort_numbers.main", f"--run_dir={tmp_path}"]
    done = subprocess.run(
        [*command, "--count=3", "--epochs=1", "--num_test=20"],
        cwd=REPOSITORY, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "3 numbers" in done.stdout and "wrong" in done.stdout
    assert (tmp_path / "permutations.png").stat().st_size > 5_000
