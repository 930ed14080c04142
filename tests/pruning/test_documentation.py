"""The examples of docs/pruning.md that stand for themselves run, and print what they say."""

import pathlib
import re

from pruning import methods

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "pruning.md"


def test_examples_print_what_they_say(capsys):
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text[text.index("## Without `fit`") :], re.DOTALL)
    assert len(blocks) == 3
    names: dict = {}
    table = dict(methods.METHODS)
    try:
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)
    finally:
        methods.METHODS.clear()
        methods.METHODS.update(table)
    said = re.findall(r"^print\(.*?\)  # (.*)$", "".join(blocks), re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == said and len(said) == 2
    assert type(names["pruned"].masks.method).__name__ == "Movement"
