"""The gradient variance example: its function, its pictures, its command."""

import pathlib
import subprocess
import sys

import numpy as np
import tensorflow as tf

from examples.gradient_variance import train
from tfgumbel.diagnostics import exact_expectation

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def test_the_function_is_the_squared_distance_of_the_level():
    values = train.squared_distance(tf.eye(5, dtype=tf.float64))
    np.testing.assert_allclose(values, (np.array([0, 0.25, 0.5, 0.75, 1.0]) - 0.45) ** 2)


def test_the_table_is_of_that_function():
    logits = train.make_logits(4, seed=1)
    table = train.compare(logits, ["reinforce"], temperature=0.5, num_draws=20_000, seed=2)
    value, (gradient,) = exact_expectation(train.program, logits)
    assert table.value == value
    row = table.rows["reinforce"]
    assert np.abs((row.mean - gradient[0]) / row.standard_error).max() < 5


def test_the_command_prints_a_table_and_saves_three_pictures(tmp_path):
    command = [sys.executable, "-m", "examples.gradient_variance.main", f"--run_dir={tmp_path}"]
    small = ["--num_classes=3", "--num_draws=500", "--num_trials=20", "--estimator=reinmax"]
    done = subprocess.run(
        [*command, *small], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    assert "reinmax" in done.stdout and "within" in done.stdout and "Slopes" in done.stdout
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"samples.png", "num_samples.png", "temperature.png"}
