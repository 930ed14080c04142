"""The documentation says what the code says, and says something of everything public.

That its code blocks run is `conftest.py`'s doing, beside this folder.
"""

import inspect
import pathlib
import re

import pytest

import pruning
import tfgumbel
from docs import docstrings, from_code

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def test_readme_holds_the_registry_table():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert from_code.readme_table() in readme, (
        "README.md: replace the table of estimators by what this prints: "
        "python -c 'from docs import from_code; print(from_code.readme_table())'"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_mark_of_a_page_is_filled(page):
    assert "{{" not in from_code.fill(page.read_text(encoding="utf-8"))


def test_every_public_object_is_on_an_api_page():
    pages = "\n".join(from_code.fill(page.read_text(encoding="utf-8")) for page in PAGES)
    shown = re.findall(r"^\.\. auto\w+:: (\S+)$", pages, re.MULTILINE)
    assert sorted(shown) == sorted(set(shown))
    public = from_code.public_objects()
    ours = {path for path, value in public.items() if from_code.defined_here(value)}
    assert ours - set(shown) == set(), "add a mark to a page of docs/api for the package of these"
    foreign = public.keys() - ours
    assert {path for path in foreign if f"`{path}`" not in pages} == set()


def test_every_table_names_every_estimator():
    names = [row.name for row in from_code.estimators()]
    for table in (from_code.readme_table(), from_code.site_tables()):
        assert [name for name in names if not re.search(rf"^\| \S*`{name}\b", table, re.M)] == []


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


def test_formulas_and_doctests_of_docstrings_stay_as_they_are():
    docstring = """First * line.

With |x| and `a * |b|
c * d` the value is

    g = a * b + |c|

and

>>> 2 * 3 | 0
6

Args:
    x: The first * factor.
    **options: More of them.

Example:
    >>> 2 * 3
    6
"""
    expected = r"""First \* line.

With \|x\| and `a * |b|
c * d` the value is

::

    g = a * b + |c|

and

>>> 2 * 3 | 0
6

Args:
    x: The first \* factor.
    **options: More of them.

Example:
    >>> 2 * 3
    6
"""
    assert docstrings.to_restructured_text(docstring.split("\n")) == expected.split("\n")


@pytest.mark.parametrize(
    ("value", "own", "not_own"),
    [
        (pruning.PrunedModel, {"fit", "update", "finalize"}, {"predict", "_update"}),
        # TensorFlow Probability copies its docstrings into classes derived from its own.
        (
            tfgumbel.distributions.HardConcrete,
            {"logits", "expected_l0"},
            {"kl_divergence", "log_prob"},
        ),
    ],
)
def test_members_of_a_class_are_those_it_defines_and_documents(value, own, not_own):
    members = from_code.directive("path", value).partition(":members: ")[2].split(", ")
    assert own <= set(members)
    assert not not_own & set(members)
