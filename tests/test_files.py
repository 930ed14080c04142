"""Files appear whole or not at all."""

import json

import pytest
from matplotlib.figure import Figure

from tfgumbel.internal.files import save_figure, whole_file, write_json


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "results" / "suite.json"
    write_json(path, {"figure": 1})
    with pytest.raises(TypeError):
        write_json(path, {"figure": object()})
    assert json.loads(path.read_text()) == {"figure": 1}
    assert names(path.parent) == ["suite.json"]


def test_a_writer_that_is_stopped_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.weights.h5"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), whole_file(path, ".weights.h5") as temporary:
        assert temporary.endswith(".weights.h5")
        with open(temporary, "wb") as file:
            file.write(b"ne")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["model.weights.h5"]


def test_a_figure_keeps_the_format_of_its_name(tmp_path):
    save_figure(Figure(), tmp_path / "new" / "plot.png")
    assert (tmp_path / "new" / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert names(tmp_path / "new") == ["plot.png"]


def test_a_name_without_a_suffix_is_written_whole_too(tmp_path):
    path = tmp_path / "results"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as temporary:
        with open(temporary, "w") as file:
            file.write("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    write_json(path, {"figure": 1})
    assert json.loads(path.read_text()) == {"figure": 1}
    assert names(tmp_path) == ["results"]
    assert save_figure(Figure(), tmp_path / "plot") == tmp_path / "plot"
    assert names(tmp_path) == ["plot.png", "results"]


@pytest.mark.parametrize("suffix", ["", ".keras"])
def test_names_of_another_kind_are_left_to_the_caller(tmp_path, suffix):
    with whole_file(tmp_path / "model.h5", suffix) as path:
        assert path == tmp_path / "model.h5"
    with whole_file("gs://bucket/model.keras") as path:
        assert path == "gs://bucket/model.keras"
