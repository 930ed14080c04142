"""The pruning benchmarks that are quick enough to be run small."""

import pytest

from benchmarks.pruning import memory
from benchmarks.pruning.tables import table_of
from examples.common.console import console


@pytest.mark.parametrize("method", memory.METHODS)
def test_memory_is_measured_through_the_whole_schedule(method):
    result = memory.measure(method, 20_000)
    assert abs(result["weights"] - 20_000) < 1_100
    assert result["weight_bytes"] == 4 * result["weights"]
    assert 10**8 < result["training_bytes"] <= result["peak_bytes"]


def test_copies_are_counted_from_the_dense_training_of_the_same_size(monkeypatch):
    peaks = {"dense": 1000, "learned": 4200, "magnitude": 3400}
    sizes = []

    def child(request):
        sizes.append(request["weights"])
        factor = request["weights"] // 100
        training = peaks[request["method"]] * factor
        sizes_of = {"training_bytes": training, "peak_bytes": training + 200 * factor}
        return {"weight_bytes": 400 * factor, **sizes_of}

    monkeypatch.setattr(memory, "_child", child)
    advanced = []
    results = memory.run([100, 300], lambda: advanced.append(1))
    assert [result["copies"] for result in results] == [0, 8, 6] * 2
    assert [result["peak_copies"] for result in results] == [0.5, 8.5, 6.5] * 2
    assert sizes == [100] * 3 + [300] * 3 and len(advanced) == 6


def test_tables_cut_nothing_in_a_file(capsys):
    rows = [{"model": "lenet300" * 5, "copies": 6.35}, {"model": "b", "copies": None}]
    out = console()
    out.print(table_of("memory", rows, {"model": "", "copies": ".1f"}))
    text = capsys.readouterr().out
    assert "lenet300" * 5 in text and "6.3" in text and "-" in text and "..." not in text
