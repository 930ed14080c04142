"""TFP, whose import takes seconds, comes with the first distribution, and pruning with `prune`."""

import subprocess
import sys

SCRIPT = """
import sys
import tfgumbel
import tensorflow as tf
layer = tfgumbel.GumbelRaoLayer(seed=0)
layer(tf.zeros([2, 3]), training=True)
program = lambda draw, logits: draw(logits)[:, 0]
for name in ("reinforce", "straight_through"):
    tfgumbel.expectation(program, tf.zeros([2, 3]), estimator=name, seed=0)
assert "tensorflow_probability" not in sys.modules
assert "pruning" not in sys.modules
layer.distribution(tf.zeros([2, 3]))
assert "tensorflow_probability" in sys.modules
tfgumbel.prune
assert "pruning" in sys.modules
"""


def test_what_is_not_used_is_not_imported():
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=240)


def test_another_keras_backend_is_refused_in_one_line():
    script = "import keras; keras.config.backend = lambda: 'jax'; import tfgumbel"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=240
    )
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode and "'jax'" in last and "KERAS_BACKEND=tensorflow" in last
