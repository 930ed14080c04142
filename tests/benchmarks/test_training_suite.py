"""The benchmark of training steps at a small size: every estimator, and what its step does."""

import functools
import json

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.training import steps, timing

SMALL = {"num_variables": 3, "arity": 2, "hidden_units": (5,)}


@pytest.mark.parametrize(("name", "runs"), [("gumbel_rao", 1), ("reinforce_loo", 2), ("rebar", 3)])
def test_the_step_trains_all_that_can_learn(name, runs):
    step = steps.Step(name, **SMALL)
    step()
    before = [np.array(weight) for weight in step.model.trainable_variables]
    assert np.isfinite(step())
    after = [np.array(weight) for weight in step.model.trainable_variables]
    assert len(after) == 8 + 2 * (name == "rebar")
    assert all(np.any(new != old) for new, old in zip(after, before, strict=True))
    assert step.runs == runs


def test_estimators_that_cannot_are_named_with_the_reason():
    done, refused = steps.trainable(
        ["sum_and_sample", "darn"], functools.partial(steps.Step, **SMALL)
    )
    assert set(done) == {"darn"}
    reason = "Estimator 'sum_and_sample' is for one categorical variable."
    assert refused == {"sum_and_sample": reason}


def test_figures_are_plain_json_beside_the_baseline(monkeypatch):
    small = functools.partial(steps.Step, **SMALL)
    monkeypatch.setattr(steps, "trainable", functools.partial(steps.trainable, make=small))
    for name in ("set_intra_op_parallelism_threads", "set_inter_op_parallelism_threads"):
        monkeypatch.setattr(tf.config.threading, name, abs)
    measured = timing.measure(threads=1, repetitions=2, labels=["disarm"])
    assert json.loads(json.dumps(measured)) == measured
    rows = {row["label"]: row for row in measured["rows"]}
    assert set(rows) == {"straight_through", "disarm"} <= set(steps.names())
    assert rows["straight_through"]["ratio"] == 1.0 and rows["disarm"]["runs"] == 2.0
