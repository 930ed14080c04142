"""The code's docstrings, Markdown with Google's sections, made fit for Sphinx."""

import inspect
import itertools
import re
from typing import Any

_SECTION = re.compile(r"[A-Z][A-Za-z ]*:$")
# Code may go on over the end of a line; the argument `**kwargs:` is napoleon's to escape.
_CODE = re.compile(r"(``.+?``|`[^`]+`|^ *\*{1,2}\w+:)", re.DOTALL | re.MULTILINE)


def to_restructured_text(lines: list[str]) -> list[str]:
    """Marks formulas as literal blocks, and escapes what only reStructuredText takes for mark-up.

    To it an indented block is a quotation, and stars and bars in the text start emphasis and
    substitutions. The contents of sections ("Args:", "Returns:") are indented too: they stay text.
    """
    verbatim = [False] * len(lines)
    openings = set()
    in_section = in_formula = in_doctest = False
    for number, line in enumerate(lines):
        if not line:
            in_doctest = False
        elif line.lstrip().startswith(">>>"):
            in_doctest, in_formula = True, False
        elif not line.startswith(" "):
            in_section = bool(_SECTION.match(line)) and _indented(lines, number + 1)
            in_formula = False
        elif not (in_section or in_formula or in_doctest or lines[number - 1]):
            in_formula = True
            openings.add(number)
        verbatim[number] = bool(line) and (in_formula or in_doctest)
    result: list[str] = []
    for is_verbatim, group in itertools.groupby(range(len(lines)), verbatim.__getitem__):
        numbers = list(group)
        text = "\n".join(lines[number] for number in numbers)
        result += ["::", ""] if numbers[0] in openings else []
        result += (text if is_verbatim else _escape(text)).split("\n")
    return result


def process_docstring(
    app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Sphinx event: before napoleon reads the sections."""
    lines[:] = to_restructured_text(lines)


def process_property(
    app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Sphinx event: after napoleon, to which a property's text before a colon is a type."""
    if what == "property":
        lines[:] = to_restructured_text((inspect.getdoc(value) or "").split("\n"))


def _escape(text: str) -> str:
    parts = _CODE.split(text)
    parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def process_signature(
    app: Any, what: str, name: str, value: Any, options: Any, signature: str, returns: str
) -> tuple[str | None, str | None] | None:
    """Sphinx event: a Keras class is called as its `__init__`; Keras's `__new__` hides that."""
    if what != "class":
        return None
    parameters = list(inspect.signature(value.__init__).parameters.values())[1:]
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    return str(inspect.Signature(plain)), None


def _indented(lines: list[str], number: int) -> bool:
    return number < len(lines) and lines[number].startswith(" ")
