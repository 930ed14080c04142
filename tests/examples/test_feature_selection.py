"""The feature selection example: its masks, its runs and their resumption, its command."""

import dataclasses
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from examples.common.files import RunError
from examples.feature_selection import pictures, train

REPOSITORY = pathlib.Path(train.__file__).resolve().parents[2]
SETTINGS = train.Settings(k=6, epochs=2, batch_size=256)


@pytest.fixture(scope="module")
def data():
    return train.load()


def test_data_are_all_the_digits_once(data):
    assert len(data.train_labels) == train.NUM_TRAIN and len(data.test_labels) == 500
    together = np.concatenate([data.train_images, data.test_images])
    assert together.shape == (1797, 64) and together.min() == 0.0 and together.max() == 1.0
    assert len(np.unique(together, axis=0)) == 1797


@pytest.mark.parametrize("name", ["simple_subset", "straight_through_subset"])
def test_the_classifier_sees_the_chosen_pixels_alone(name, data):
    model = train.build(dataclasses.replace(SETTINGS, estimator=name))
    (selector,) = [layer for layer in model.layers if isinstance(layer, train.Selector)]
    images = data.test_images[:20]
    for training in (True, False):
        mask = selector(images, training=training).numpy()
        assert np.all(mask.sum(1) == 6) and set(np.unique(mask)) == {0.0, 1.0}
    np.testing.assert_array_equal(mask, selector(images))  # the most likely ones: no noise
    classifier = [layer for layer in model.layers if layer.name.startswith("dense")]
    seen = np.concatenate([mask * images, mask], axis=1)
    expected = classifier[1](classifier[0](seen))
    np.testing.assert_allclose(model(images), expected, rtol=1e-4, atol=1e-5)


def test_a_run_is_resumed_and_read_again(tmp_path, data, monkeypatch):
    whole = train.train(SETTINGS, tmp_path / "whole", data)
    stopped = tmp_path / "stopped"
    calls = []

    def stop(*arguments, **options):
        calls.append(arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "write_json", stop)
        with pytest.raises(KeyboardInterrupt):
            train.train(SETTINGS, stopped, data)
    assert calls and (stopped / "backup.npz").exists()
    resumed = train.train(SETTINGS, stopped, data)
    assert resumed.accuracy == whole.accuracy
    assert np.all(whole.chosen.sum(1) == 6) and not (stopped / "backup.npz").exists()
    again = train.train(SETTINGS, stopped, data)
    np.testing.assert_array_equal(again.chosen, whole.chosen)
    with pytest.raises(RunError, match="other settings"):
        train.train(dataclasses.replace(SETTINGS, k=7), stopped, data)


def test_the_picture_shows_how_often_a_pixel_is_chosen(data):
    chosen = np.zeros_like(data.test_images)
    chosen[:, 10] = 1.0
    figure = pictures.draw(data, chosen, "one pixel")
    often = np.array(figure.axes[10].images[0].get_array())
    assert often.shape == (8, 8) and often[1, 2] == 1.0 and often.sum() == 1.0


def test_the_command_prints_a_table_and_saves_a_picture(tmp_path):
    command = [sys.executable, "-m", "examples.feature_selection.main", f"--run_dir={tmp_path}"]
    small = ["--epochs=1", "--batch_size=512", "--estimator=simple_subset", "--estimator=random"]
    done = subprocess.run(
        [*command, *small], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    assert "simple_subset" in done.stdout and "accuracy" in done.stdout
    assert (tmp_path / "simple_subset.png").stat().st_size > 10_000
