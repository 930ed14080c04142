"""What the examples share: whole files, folders of one run, what is printed where."""

import io
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from examples.common import batches, console, figures, files, runs, start


def test_a_file_that_is_not_finished_leaves_the_one_before(tmp_path):
    path = tmp_path / "new" / "result.json"
    files.write_json(path, {"accuracy": 98.5})
    with pytest.raises(KeyboardInterrupt), files.whole_file(path) as temporary:
        temporary.write_text("{")
        raise KeyboardInterrupt
    assert files.read_json(path, "") == {"accuracy": 98.5}
    assert [file.name for file in path.parent.iterdir()] == ["result.json"]


@pytest.mark.parametrize("content", [b"", b'{"accuracy": 9', b"\xff\xfe"])
def test_a_damaged_file_is_named_with_the_remedy(tmp_path, content):
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(files.RunError, match=r"result\.json cannot be read.*\n.*delete it"):
        files.read_json(path, "delete it")


def test_a_folder_belongs_to_one_run(tmp_path):
    settings = {"k": 0.02, "units": (3, 4), "rate": None}
    folder = runs.claim(tmp_path / "run", settings)
    assert runs.claim(folder, settings) == folder
    with pytest.raises(files.RunError, match="k: 0.02 there, 0.05 now") as caught:
        runs.claim(folder, {**settings, "k": 0.05})
    assert "units" not in str(caught.value)
    assert "--run_dir" in str(caught.value) and str(folder) in str(caught.value)
    with pytest.raises(files.RunError, match="seed: None there, 1 now"):
        runs.claim(folder, {**settings, "seed": 1})
    (folder / "settings.json").write_text('{"k":')
    with pytest.raises(files.RunError, match=r"settings\.json cannot be read"):
        runs.claim(folder, settings)


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self):
        return True


def test_without_a_terminal_progress_is_a_line_now_and_then(tmp_path):
    file = io.StringIO()
    seconds = iter([0.0, 0.0, 0.0, 3.0, 11.0, 11.0, 12.0, 13.0, 14.0])
    out = console.console(file)
    progress = console.Progress("SGD", 4_000, unit="steps", to=out, clock=lambda: next(seconds))
    with progress:
        progress.advance(1_000)
        progress.update(2_000, "SGD, loss 3")
        progress.advance(2_000)
    assert file.getvalue().splitlines() == [
        "SGD: 0 of 4,000 steps",
        "SGD, loss 3: 2,000 of 4,000 steps, 11 s",
        "SGD, loss 3: 4,000 of 4,000 steps, 13 s",
    ]


def test_in_a_terminal_progress_is_a_bar(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    file = Terminal()
    with console.Progress("SGD", 40, done=10, to=console.console(file)) as progress:
        progress.update(40, "SGD, loss 3")
    assert "40/40" in file.getvalue() and "━━━" in file.getvalue()
    assert "SGD: 0 of" not in file.getvalue()


def test_no_cell_of_a_table_is_cut_off(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    name = "decoupled_straight_through_gumbel_softmax"
    headings = ("estimator", "mean gap", "standard deviation", "runs at minimum", "a", "b", "c")
    row = (name, "0.01341 ± 0.00003", "0.00046", "100%", "1.234567", "1.234567", "1.234567")
    for file in (Terminal(), io.StringIO()):
        console.console(file).print(console.table("title", headings, [row, row], "caption"))
        text = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
        assert "…" not in text
        for word in ("deviation", "minimum", *row[1:]):
            assert word in text
        widest = max(map(len, text.splitlines()))
        assert (widest <= 80) == file.isatty()
        assert (name in text) == (not file.isatty())  # folded in the terminal


def test_keras_progress_counts_epochs(capsys):
    model = keras.Sequential([keras.Input([3]), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    x = np.ones([7, 3])
    model.fit(x, x[:, :2], epochs=3, callbacks=[console.FitProgress("dense")], verbose=0)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "dense: 0 of 3 epochs"
    assert lines[-1].startswith("dense, loss ") and "3 of 3 epochs" in lines[-1]


def test_an_error_that_a_user_can_mend_ends_with_its_message_alone(tmp_path):
    program = (
        "from examples.common import files, start\n"
        "def main():\n"
        "    raise files.RunError('delete the folder x')\n"
        "start.run(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("delete the folder x")
    assert "Traceback" not in done.stderr


def test_main_takes_flags_only(monkeypatch):
    monkeypatch.setattr(start.app, "run", lambda function: function(["main", "stray"]))
    with pytest.raises(start.app.UsageError, match="stray"):
        start.run(lambda: None)


def test_examples_use_public_names_only():
    folder = pathlib.Path(start.__file__).parents[1]
    imports = [
        line
        for path in folder.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.lstrip().startswith(("import ", "from "))
    ]
    assert len(imports) > 100
    hidden = re.compile(r"\binternal\b|\b_\w|from pruning\.")
    assert not [line for line in imports if hidden.search(line)]


def test_batches_of_an_epoch_are_a_permutation_that_a_resumed_run_repeats():
    data = np.arange(11), 10 * np.arange(11)

    def prepare(batch, seed):
        return (*batch, seed)

    def read(first_epoch, count):
        dataset, steps = batches.dataset(data, 3, seed=4, first_epoch=first_epoch, prepare=prepare)
        assert steps == 3
        return [[part.numpy() for part in parts] for parts in dataset.take(count)]

    whole = read(0, 6)
    for epoch in (whole[:3], whole[3:]):
        rows = np.concatenate([rows for rows, _, _ in epoch])
        assert len(set(rows)) == 9  # two are left out
        np.testing.assert_array_equal(np.concatenate([y for _, y, _ in epoch]), 10 * rows)
    assert len({tuple(seed) for *_, seed in whole}) == 6
    assert any(np.any(a[0] != b[0]) for a, b in zip(whole[:3], whole[3:], strict=True))
    for got, expected in zip(read(1, 3), whole[3:], strict=True):
        for one, other in zip(got, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_tiles_are_images_side_by_side():
    pixels = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    whole = figures.tiles(pixels, (2, 2))
    assert whole.shape == (5, 8)
    np.testing.assert_array_equal(whole[3:, 6:], [[20, 21], [22, 23]])
    assert np.isnan(whole[2]).all() and np.isnan(whole[:, 2]).all()
