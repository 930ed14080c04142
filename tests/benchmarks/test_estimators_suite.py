"""The estimators' benchmark at a small size: what it times is what it says."""

import json
import sys

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.estimators import accuracy, cases, lower, peers
from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.registry import sample_estimators

ESTIMATORS = sample_estimators()


def test_every_differentiable_categorical_estimator_is_timed():
    timed = {case.name for case in cases.cases()}
    for name, entry in ESTIMATORS.items():
        assert (name in timed) == (entry.variable is ONE_HOT_CATEGORICAL and entry.differentiable)
    labels = [case.label for case in cases.cases()]
    assert len(set(labels)) == len(labels)
    assert {cases.BASELINE, "gumbel_rao K=1000"} <= set(labels)


def test_the_timed_step_is_a_sample_and_its_gradient():
    logits, upstream, seed = map(tf.constant, cases.arguments((2, 3, 4)))
    case = cases.Case(cases.BASELINE, "gumbel_rao")
    sample, gradient = cases.step(case, jit_compile=False)(logits, upstream, seed)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        expected = ESTIMATORS["gumbel_rao"](logits, temperature=cases.TEMPERATURE, seed=seed)
        loss = tf.reduce_sum(expected * upstream)
    np.testing.assert_array_equal(sample, expected)
    np.testing.assert_allclose(gradient, tape.gradient(loss, logits), atol=1e-6)
    assert np.abs(gradient).max() > 0.01


def test_accuracy_is_measured_against_the_reference():
    (row,) = accuracy.measure(temperatures=[0.5], sizes=[3])
    assert row["cases"] == 3
    assert 0.0 < row["median"] <= row["worst"] < 1e-3


def test_lowering_writes_a_module_and_its_arguments(tmp_path):
    path = lower.lower(lower.CASES[-1], (2, 3, 4), tmp_path)
    assert path.read_bytes().startswith(b"ML\xefR")  # MLIR bytecode
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as saved:
        assert [saved[name].shape for name in saved.files] == [(2, 3, 4), (2, 3, 4), (2,)]


def test_a_worker_reports_its_own_seconds(tmp_path, monkeypatch):
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import json, sys\n"
        "print(json.dumps({'torch': 'none', 'peers': ['stub']}), flush=True)\n"
        "for line in sys.stdin:\n"
        "    seconds = json.loads(line)['num_samples'] / 1000\n"
        "    print(json.dumps({'seconds': seconds}), flush=True)\n"
    )
    monkeypatch.setattr(peers, "WORKER", worker)
    stub = peers.Worker(sys.executable, str(tmp_path), threads=1)
    assert (stub.version, stub.peers) == ("none", ["stub"])
    assert stub.timer("stub", 10, (1, 2, 3), 0.5, "perf_counter")() == 0.01
    stub.close()


def test_a_worker_that_dies_is_an_error(tmp_path, monkeypatch):
    worker = tmp_path / "worker.py"
    worker.write_text("raise SystemExit(3)")
    monkeypatch.setattr(peers, "WORKER", worker)
    with pytest.raises(RuntimeError, match="status 3"):
        peers.Worker(sys.executable, str(tmp_path), threads=1)


def test_figures_are_plain_json():
    assert json.loads(json.dumps(accuracy.measure(temperatures=[0.0], sizes=[2])))
