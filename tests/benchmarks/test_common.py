"""The helpers that the benchmark suites share."""

import time

import pytest

from benchmarks import common


def test_functions_take_turns_in_rotating_order():
    calls = []
    functions = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    seconds = common.time_interleaved(functions, repetitions=3, warmup=0)
    assert "".join(calls) == "abcbcacab"
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3, "c": 3}


def test_timings_are_those_of_the_clock_or_the_functions_own():
    ticks = iter([0.0, 2.0, 5.0, 6.0])
    # A result that happens to be a number is no timing.
    functions = {"ours": lambda: 7.5, "theirs": lambda: common.OwnSeconds(0.25)}
    seconds = common.time_interleaved(functions, repetitions=1, warmup=0, clock=lambda: next(ticks))
    assert seconds == {"ours": [2.0], "theirs": [0.25]}


def test_sleeping_takes_no_processor_time():
    seconds = common.time_interleaved(
        {"sleep": lambda: time.sleep(0.2)}, repetitions=1, warmup=0, clock=time.process_time
    )
    assert seconds["sleep"][0] < 0.1


def test_summary_and_ratio():
    summary = common.summarize([0.004, 0.001, 0.002, 0.003])
    assert summary["median_ms"] == pytest.approx(2.5)
    assert summary["min_ms"] == 1.0
    assert summary["repetitions"] == 4
    # of pairs, not of medians: a slow moment that hit both leaves it alone
    assert common.median_ratio([2.0, 20.0, 2.2], [1.0, 10.0, 1.1]) == pytest.approx(2.0)


def test_environment_says_where_it_was_measured():
    environment = common.environment(threads=2)
    assert environment["threads"] == 2
    assert {"commit", "versions", "devices", "date"} <= environment.keys()
    assert environment["versions"]["tensorflow"].startswith("2.")
