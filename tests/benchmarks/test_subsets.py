"""The subsets' benchmark at a small size."""

from benchmarks import subsets


def test_it_measures_time_and_memory():
    result = subsets.measure("simple_subset", 50, 3, jit=False)
    assert result["estimator"] == "simple_subset" and result["classes"] == 50
    assert 0 < result["milliseconds"] < 1e4 and 0 <= result["peak_mebibytes"] < 500
