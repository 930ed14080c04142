"""The documentation says what the code says, and says something of everything public."""

import inspect
import pathlib
import re

import pytest

import tfgumbel
from docs import hooks

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def test_readme_holds_the_registry_table():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert hooks.estimator_table() in readme, (
        "README.md: replace the table of estimators by what this prints: "
        "python -c 'from docs import hooks; print(hooks.estimator_table())'"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_mark_of_a_page_is_filled(page):
    filled = hooks.on_page_markdown(page.read_text(encoding="utf-8"))
    assert "{{" not in filled


def test_every_public_object_is_on_an_api_page():
    pages = [hooks.on_page_markdown(page.read_text(encoding="utf-8")) for page in PAGES]
    shown = set(re.findall(r"^::: (\S+)$", "\n".join(pages), re.MULTILINE))
    missing = {name for name, path in hooks.public_objects().items() if path not in shown}
    assert not missing


@pytest.mark.parametrize("name", sorted(tfgumbel.__all__))
def test_public_objects_have_docstrings_with_their_arguments(name):
    value = getattr(tfgumbel, name)
    documentation = inspect.getdoc(value) or ""
    assert documentation.strip(), f"tfgumbel.{name} has no docstring"
    if inspect.isfunction(value):
        undocumented = [
            argument
            for argument in inspect.signature(value).parameters
            if f"{argument}:" not in documentation and f"{argument}," not in documentation
        ]
        assert not undocumented
