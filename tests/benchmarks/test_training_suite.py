"""The benchmark of training steps at a small size: every estimator, and what its step does."""

import functools
import json

import numpy as np
import pytest

from benchmarks.training import steps, timing
from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL
from tfgumbel.registry import gradient_estimators

SMALL = {"arity": 2, "latent_bits": 3, "hidden_units": (5,)}


def test_every_estimator_with_a_gradient_is_timed():
    labels = [case.label for case in steps.cases()]
    assert len(set(labels)) == len(labels)
    assert set(gradient_estimators(ONE_HOT_CATEGORICAL)) <= set(labels)
    assert steps.BASELINE in labels


@pytest.mark.parametrize("label", ["gumbel_rao", "reinforce_loo", "rebar, learned"])
def test_the_step_trains(label):
    case = next(case for case in steps.cases() if case.label == label)
    step = steps.Step(case, **SMALL)
    before = [np.array(weight) for weight in step.model.trainable_variables]
    losses = [step() for _ in range(3)]
    assert np.all(np.isfinite(losses))
    changed = [
        np.any(np.array(weight) != old)
        for weight, old in zip(step.model.trainable_variables, before, strict=True)
    ]
    assert all(changed)
    assert step.runs == {"gumbel_rao": 1, "reinforce_loo": 2, "rebar, learned": 3}[label]


def test_estimators_that_cannot_are_named_with_the_reason():
    chosen = [case for case in steps.cases() if case.name in ("sum_and_sample", "darn")]
    done, refused = steps.trainable(chosen, functools.partial(steps.Step, **SMALL))
    assert set(done) == {"darn"}
    assert refused == {
        "sum_and_sample": "Estimator 'sum_and_sample' is for one categorical variable."
    }


def test_figures_are_plain_json_beside_the_baseline(monkeypatch):
    monkeypatch.setattr(steps, "Step", functools.partial(steps.Step, **SMALL))
    monkeypatch.setattr(steps.trainable, "__defaults__", (steps.Step,))
    monkeypatch.setattr("tensorflow.config.threading.set_intra_op_parallelism_threads", abs)
    monkeypatch.setattr("tensorflow.config.threading.set_inter_op_parallelism_threads", abs)
    measured = timing.measure(threads=1, repetitions=2, labels=["disarm"])
    assert json.loads(json.dumps(measured)) == measured
    rows = {row["label"]: row for row in measured["rows"]}
    assert set(rows) == {"straight_through", "disarm"}
    assert rows["straight_through"]["ratio"] == 1.0 and rows["disarm"]["runs"] == 2.0
