"""The list of ListOps runs: its jobs, its table, and a run that diverges."""

import numpy as np
import pytest

from examples.common.training import Diverged
from examples.listops import experiments, train


def test_rates_are_tried_with_short_sentences():
    jobs = experiments.jobs()
    assert all((job.tried_as or job.name).startswith("10-") for job in jobs)
    # Six estimators, of which five have three temperatures, at three lengths.
    assert {job.name for job in jobs if job.name.startswith("10-")} == {
        experiments.name_of(*cell, 10) for cell in experiments.cells(*experiments.PAPER)
    }


class Trained:
    """What the end of a run needs."""

    def __init__(self, settings, splits):
        self.seconds, self.restored = 0.0, None

    def restore(self, path):
        self.restored, self.seconds = path, 7.0


def test_a_run_that_diverges_keeps_what_was_best(tmp_path, monkeypatch):
    def diverge(settings, folder, splits):
        raise Diverged("The loss is nan at step 7.")

    finished = []
    monkeypatch.setattr(train, "run", diverge)
    monkeypatch.setattr(train, "Training", Trained)
    monkeypatch.setattr(train, "finish", lambda *_, **measured: finished.append((_, measured)))
    monkeypatch.setattr(experiments, "FLAGS", type("Flags", (), {"test_file": None}))
    options = {"splits": None, "evaluate": True}
    with pytest.raises(Diverged):  # nothing was learned
        experiments.run(experiments.BASE, tmp_path, **options)
    (tmp_path / "best.npz").touch()
    trained, _ = experiments.run(experiments.BASE, tmp_path, **options)
    assert trained.restored == tmp_path / "best.npz"
    assert finished == [((trained, tmp_path, 7.0), {"diverges": True})]


def test_the_table_has_both_seeds_and_says_what_diverged():
    def entry(method, temperature, errors, test, **more):
        return {
            "name": experiments.name_of(method, temperature, 10),
            "settings": {"learning_rate": 0.03},
            "history": [{"validation_error": error} for error in errors],
            "test_accuracy": test,
            "constituents": 20.0,
            **more,
        }

    st_gs, exact = (experiments.ST_GS, "exact"), (experiments.GUMBEL_RAO, "exact")
    entries = [
        entry(exact, 0.1, [40.0, 35.0, 36.0], 64.0),
        entry(exact, 0.1, [40.0, 36.0, 37.0], 65.0),
        entry(st_gs, 0.01, [60.0, np.nan], 40.0, diverges=True),
    ]
    rows = experiments.table(entries).splitlines()[2:]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    name = "straight-through Gumbel-Softmax"
    assert cells == [
        [name, "0.01", "10", "0.03", "40.00", "1 of 1 diverged", "40.00", "20.00", "38.8"],
        [
            *("Gumbel-Rao, exact", "0.1", "10", "0.03", "64.50 ± 0.50", "63.50 ± 0.50"),
            *("64.50 ± 0.50", "20.00 ± 0.00", ""),
        ],
    ]
