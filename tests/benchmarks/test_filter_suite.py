"""The suite of whole filters: which runs it makes, and how it compares them."""

import keras
import pytest

from benchmarks.pruning import filter_suite


def result(method, seed, accuracy, k=0.5):
    values = ("digits", 100, 1, True, k, method, seed, 0)
    return {**dict(zip(filter_suite.KEY, values, strict=True)), "accuracy": accuracy}


def test_methods_are_compared_seed_by_seed():
    results = [result("magnitude", seed, value) for seed, value in enumerate((90.0, 95.0, 97.0))]
    results += [result("learned", seed, value) for seed, value in enumerate((91.0, 98.0))]
    results += [result("learned", 0, 50.0, k=0.25)]
    rows = {(row["k"], row["method"]): row for row in filter_suite.summary(results)}
    learned = rows[0.5, "learned"]
    assert (learned["seeds"], learned["mean"], learned["ahead"]) == (2, 94.5, 2.0)
    assert learned["error"] == pytest.approx(3.5) and learned["ahead_error"] == pytest.approx(1.0)
    assert rows[0.5, "magnitude"]["ahead"] is None
    assert rows[0.25, "learned"]["ahead"] is rows[0.25, "learned"]["error"] is None


def test_it_runs_what_is_missing_and_the_dense_network_once(monkeypatch):
    made = []

    def accuracy(data, normalised, k, method, seed, epochs):
        made.append((normalised, k, method, seed, len(data.train_images), epochs))
        return {"accuracy": 1.0}

    monkeypatch.setattr(filter_suite, "accuracy", accuracy)
    arguments = {"images": 70, "epochs": 2, "budgets": (0.5, 0.25), "seeds": (4,)}
    arguments |= {"methods": ("learned", "dense")}
    results = filter_suite.run(**arguments)
    assert len(made) == len(results) == 6 and made[0] == (True, 0.5, "learned", 4, 70, 2)
    assert [k for _, k, method, *_ in made if method == "dense"] == [0.5, 0.5]
    # Of other settings than today's, a result counts no more.
    old = [{**row, "settings": {}} if row["k"] == 0.25 else row for row in results]
    del made[:]
    assert len(filter_suite.run(**arguments, done=old)) == 6
    assert [k for _, k, *_ in made] == [0.25, 0.25]


def test_it_counts_the_filters_that_are_kept(monkeypatch):
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(5, 3),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    monkeypatch.setattr(filter_suite, "network", lambda *_: network)
    data = filter_suite.data_sets.load()
    data = data._replace(train_images=data.train_images[:64], train_labels=data.train_labels[:64])
    found = filter_suite.accuracy(data, False, 0.4, "magnitude", 0, 2)
    assert found["filters"] == [2] and 0 <= found["accuracy"] <= 100
