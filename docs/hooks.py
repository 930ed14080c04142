"""Fills the documentation's tables and API pages from the code, so that neither can fall behind.

mkdocs calls `on_page_markdown` for every page; `{{ estimators }}` becomes the table of all
estimators and `{{ api NAME }}` the API entries of everything public whose code lives under NAME.
"""

import re
from collections.abc import Callable
from typing import Any

import pruning
import tfgumbel
from tfgumbel.registry import REGISTRY


def estimator_table() -> str:
    """Returns the Markdown table of the registry; the README holds the same one."""
    lines = [
        "| estimator | variable | sample | gradient | use it when | source |",
        "|---|---|---|---|---|---|",
    ]
    for entry in sorted(
        REGISTRY.values(), key=lambda entry: (entry.acts_on, str(entry.variables[0]), entry.name)
    ):
        cells = (
            f"`{entry.name}`",
            " or ".join(map(str, entry.variables)),
            "hard" if getattr(entry, "hard", True) else "relaxed",
            entry.bias,
            entry.use_when,
            entry.reference,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def public_objects() -> dict[str, str]:
    """Returns {public name: dotted path of its definition} for all that is defined here."""
    paths = {}
    for package in (tfgumbel, pruning):
        for name in package.__all__:
            value = getattr(package, name)
            inner = {f"{name}.{key}": getattr(value, key) for key in getattr(value, "__all__", ())}
            for key, item in (inner or {name: value}).items():
                if getattr(item, "__module__", "").startswith(("tfgumbel.", "pruning.")):
                    paths[key] = f"{item.__module__}.{item.__qualname__}"
    return paths


def api_entries(prefixes: str) -> str:
    """Returns a mkdocstrings directive for each public object defined under one of `prefixes`."""
    wanted = tuple(prefix + "." for prefix in prefixes.split())
    paths = [path for path in public_objects().values() if path.startswith(wanted)]
    if not paths:
        raise ValueError(f"docs: nothing public is defined under {prefixes!r}; mend the page")
    return "\n\n".join(f"::: {path}" for path in dict.fromkeys(paths))


FILLERS: dict[str, Callable[[str], str]] = {
    "estimators": lambda _: estimator_table(),
    "api": api_entries,
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replaces the `{{ ... }}` marks of a page."""
    return re.sub(
        r"\{\{ (estimators|api)([^}]*) \}\}",
        lambda mark: FILLERS[mark[1]](mark[2].strip()),
        markdown,
    )
