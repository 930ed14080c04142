"""A list of runs: rates chosen on validation, nothing done twice, the page's table."""

import dataclasses
import importlib
import json

import pytest

from examples.common import sweep
from examples.common.bound_training import BoundSettings
from examples.common.files import write_json
from examples.common.training import Diverged


@pytest.fixture
def done(monkeypatch):
    """Runs that were done, as (folder, rate, steps, evaluate)."""
    monkeypatch.setattr(sweep.keras.backend, "clear_session", lambda: None)  # seconds each
    return []


def run_into(done):
    def run(settings, folder, *, splits, evaluate):
        assert splits == settings.dataset
        done.append((str(folder.name), settings.learning_rate, settings.steps, evaluate))
        bound = 10.0 * abs(settings.learning_rate - 0.02) + settings.seed
        result = {
            "settings": dataclasses.asdict(settings),
            "history": [{"step": settings.steps, "validation_bound": bound}],
        }
        write_json(folder / "result.json", result | ({"test_bound": bound} if evaluate else {}))

    return run


def test_each_job_runs_once_at_its_best_rate(tmp_path, done):
    base = BoundSettings(steps=100, eval_images=50)
    jobs = [
        sweep.Job("one", base),
        sweep.Job("one", dataclasses.replace(base, seed=1), tried_as="one"),
        sweep.Job("two", base, tried_as="one"),
        sweep.Job("three", base, rate=0.5),
    ]
    seen = []
    options = {"rates": (0.01, 0.03, 0.022), "trial_steps": 7}
    options["load"] = lambda settings: settings.dataset

    def do(some):
        sweep.do(some, tmp_path, run_into(done), on_result=seen.append, **options)

    do(jobs[:2])
    assert done == [
        ("rate-0.01", 0.01, 7, False),
        ("rate-0.03", 0.03, 7, False),
        ("rate-0.022", 0.022, 7, False),
        ("seed-0", 0.022, 100, True),
        ("seed-1", 0.022, 100, True),
    ]
    done.clear()
    do(jobs)
    assert done == [("seed-0", 0.022, 100, True), ("seed-0", 0.5, 100, True)]
    entries = seen[-1]
    assert [entry["name"] for entry in entries] == ["one", "one", "two", "three"]
    assert min(entries[2]["rates"], key=entries[2]["rates"].get) == "0.022"
    assert "data_dir" not in entries[0]["settings"]
    # More images to judge by: the run is there, its end is done again.
    done.clear()
    do([sweep.Job("one", dataclasses.replace(base, eval_images=99))])
    assert done == [("seed-0", 0.022, 100, True)]


def test_a_rate_at_which_a_run_diverges_is_the_worst_and_is_not_tried_again(tmp_path, done):
    base = BoundSettings(steps=100, eval_images=50)
    learn, seen = run_into(done), []

    def run(settings, folder, *, splits, evaluate):
        if settings.learning_rate > 0.02:
            done.append(folder.name)
            raise Diverged("The loss is nan at step 7.")
        learn(settings, folder, splits=splits, evaluate=evaluate)

    def do(jobs):
        options = {"rates": (0.03, 0.01), "trial_steps": 7, "on_result": seen.append}
        sweep.do(jobs, tmp_path, run, load=lambda settings: settings.dataset, **options)

    do([sweep.Job("one", base)])
    do([sweep.Job("one", base), sweep.Job("two", base, rate=0.5)])
    assert [one if isinstance(one, str) else one[0] for one in done] == [
        *("rate-0.03", "rate-0.01", "seed-0"),
        "seed-0",
    ]
    assert [entry["name"] for entry in seen[-1]] == ["one"]  # nothing to say of the other
    assert seen[-1][0]["rates"] == {"0.03": None, "0.01": pytest.approx(0.1)}


def test_a_table_stands_between_its_marks(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"before\n{sweep.BEGIN}\nold\n{sweep.END}\nafter\n")
    results = tmp_path / "results" / "all.json"
    entries = [{"bound": 1.5}, {"bound": 2.0}]

    def table(entries):
        return sweep.markdown(["a", "b"], [["x", sweep.mean_and_range([1.5, 2.0])]])

    sweep.publish(entries, table, results, page)
    expected = "| a | b |\n| --- | ---: |\n| x | 1.75 ± 0.25 |"
    assert page.read_text() == f"before\n{sweep.BEGIN}\n{expected}\n{sweep.END}\nafter\n"
    assert sweep.between_marks(page.read_text(), expected) == page.read_text()
    with pytest.raises(ValueError, match="once each"):
        sweep.between_marks("no marks", expected)
    assert sweep.mean_and_range([]) == "" and sweep.mean_and_range([3.0]) == "3.00"


LISTS = [
    importlib.import_module(f"examples.{name}")
    for name in (
        "density_estimation.experiments",
        "discrete_vae.jang",
        "gaussian_vae.experiments",
        "listops.experiments",
        "semi_supervised.experiments",
        "structured_prediction.experiments",
    )
]


@pytest.mark.parametrize("runs", LISTS, ids=lambda module: module.__name__)
def test_rates_are_tried_before_they_are_used(runs):
    tried, done = set(), []
    for job in runs.jobs():
        if job.tried_as is None:
            tried.add(job.name)
        assert (job.tried_as or job.name) in tried, job.name
        done.append((job.name, job.settings.seed))
    assert len(set(done)) == len(done)


@pytest.mark.parametrize("runs", LISTS, ids=lambda module: module.__name__)
def test_the_published_table_is_that_of_the_results(runs):
    entries = json.loads(runs.RESULTS.read_text(encoding="utf-8"))
    page = (runs.HERE / "README.md").read_text(encoding="utf-8")
    assert entries and sweep.between_marks(page, runs.table(entries)) == page
    for entry in entries:
        rates = entry["rates"]
        if None not in rates.values():  # neither chosen otherwise nor diverged
            assert f"{entry['settings']['learning_rate']:g}" == min(rates, key=rates.get)
