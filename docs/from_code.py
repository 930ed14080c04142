"""Fills the documentation's tables and API pages from the code, so that neither can fall behind.

In a page, `{{ estimators }}` stands for the table of all estimators, and `{{ api NAME ... }}` for
the API sections of everything public whose code lives under one of the names.
"""

import dataclasses
import inspect
import re
from collections.abc import Callable
from typing import Any

import pruning
import tfgumbel
from tfgumbel.registry import REGISTRY

COLUMNS = ("estimator", "gradient", "use it when")


@dataclasses.dataclass(frozen=True)
class Estimator:
    """What the tables say of one estimator, in words."""

    name: str
    acts_on: str
    group: str
    variables: str
    sample: str
    gradient: str
    use_when: str
    source: str


def estimators() -> list[Estimator]:
    """Every estimator, group by group: the one place that knows the registry's fields."""

    def order(entry: Any) -> tuple[Any, ...]:
        kind = str(entry.variables[0])
        return entry.acts_on != "sample", kind != "OneHotCategorical", kind, entry.name

    return [
        Estimator(
            name=entry.name,
            acts_on=entry.acts_on,
            group=str(entry.variables[0])
            if entry.acts_on == "sample"
            else "Any cost, by its values",
            variables=" or ".join(map(str, entry.variables)),
            sample="hard" if getattr(entry, "hard", True) else "relaxed",
            gradient=entry.bias,
            use_when=entry.use_when,
            source=entry.reference,
        )
        for entry in sorted(REGISTRY.values(), key=order)
    ]


def readme_table() -> str:
    """Returns the README's tables of estimators, one for each kind, plain Markdown."""
    tables = []
    for acts_on in ("sample", "loss"):
        rows = [
            (f"`{row.name}`", row.gradient, row.use_when)
            for row in estimators()
            if row.acts_on == acts_on
        ]
        tables.append(f"**Acting on the {acts_on}**\n\n" + _table(COLUMNS, rows))
    return "\n\n".join(tables)


def site_tables() -> str:
    """Returns a table for each group, names linked to their API sections, in MyST."""
    everything = estimators()
    public = public_objects()
    names = re.compile(rf"\b({'|'.join(row.name for row in everything)})\b")

    def linked(text: str) -> str:
        return names.sub(lambda name: _link(name[1], f"tfgumbel.{name[1]}", public), text)

    tables = []
    for group in dict.fromkeys(row.group for row in everything):
        rows = [
            (
                f"{linked(row.name)} {_small(_sample(row))}",
                linked(row.gradient),
                f"{linked(row.use_when)} {_small(row.source)}",
            )
            for row in everything
            if row.group == group
        ]
        table = _cards(("estimator and sample", "gradient", "use it when"), rows)
        tables.append(f"### {group}\n\n{table}")
    return "\n\n".join(tables)


def public_objects() -> dict[str, Any]:
    """Returns {public dotted path: object}, each object under the first of its paths."""
    found: dict[int, tuple[str, Any]] = {}
    for package in (tfgumbel, pruning):
        for name in package.__all__:
            value = getattr(package, name)
            path = f"{package.__name__}.{name}"
            inner = {f"{path}.{key}": getattr(value, key) for key in getattr(value, "__all__", ())}
            for key, item in (inner or {path: value}).items():
                if not inspect.ismodule(item):
                    known = found.get(id(item), (key, item))[0]
                    found[id(item)] = (min(known, key, key=lambda path: path.count(".")), item)
    return dict(found.values())


def defined_here(value: Any) -> bool:
    """Whether the object is a class or a function of ours, which autodoc can show."""
    return getattr(value, "__module__", "").startswith(("tfgumbel.", "pruning."))


def api_sections(prefixes: str) -> str:
    """Returns a summary, then a section for each public object defined under one of `prefixes`."""
    wanted = tuple(prefix + "." for prefix in prefixes.split())
    objects = {
        path: value
        for path, value in public_objects().items()
        if defined_here(value) and f"{value.__module__}.".startswith(wanted)
    }
    if not objects:
        raise ValueError(f"docs: nothing public is defined under {prefixes!r}; mend the page")
    summary = []
    sections = []
    for path, value in sorted(objects.items(), key=lambda item: _order(item[0])):
        name = path.rpartition(".")[2]
        first_line = (inspect.getdoc(value) or "").partition("\n")[0]
        summary.append((f"{{py:obj}}`{name} <{path}>`", first_line))
        sections.append(f"## {name}\n\n```{{eval-rst}}\n{directive(path, value)}\n```")
    return "\n\n".join([_cards(("name", "what it is"), summary), *sections])


def directive(path: str, value: Any) -> str:
    """Returns autodoc's directive, with the members that a class defines and documents itself."""
    if not inspect.isclass(value):
        return f".. autofunction:: {path}"
    members = [
        name
        for name, member in vars(value).items()
        if not name.startswith("_")
        and (inspect.isroutine(member) or isinstance(member, property))
        and getattr(member, "__doc__", None)
        and not any(_documentation(base, name) == member.__doc__ for base in value.__mro__[1:])
    ]
    lines = [f".. autoclass:: {path}", f"   :members: {', '.join(members)}" if members else ""]
    return "\n".join(lines).rstrip()


def fill(markdown: str) -> str:
    """Replaces the `{{ ... }}` marks of a page."""
    return re.sub(
        r"\{\{ (estimators|api)([^}]*) \}\}",
        lambda mark: _FILLERS[mark[1]](mark[2].strip()),
        markdown,
    )


_FILLERS: dict[str, Callable[[str], str]] = {
    "estimators": lambda _: site_tables(),
    "api": api_sections,
}


def _order(path: str) -> tuple[bool, str]:
    """What is imported from tfgumbel first, then by name."""
    return not path.startswith("tfgumbel."), path.rpartition(".")[2].casefold()


def _documentation(base: type, name: str) -> str | None:
    return getattr(getattr(base, name, None), "__doc__", None)


def _link(name: str, path: str, public: dict[str, Any]) -> str:
    """A link where the name has an API section; a name that only strings know has none."""
    return f"{{py:obj}}`{name} <{path}>`" if path in public else f"`{name}`"


def _sample(row: Estimator) -> str:
    return row.sample if row.variables == row.group else f"{row.sample}, {row.variables}"


def _small(text: str) -> str:
    return f'<span class="small">{text}</span>'


def _cards(heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table of names, whose rows the style sheet turns into cards on a narrow screen."""
    return f":::{{rst-class}} cards\n:::\n\n{_table(heading, rows)}"


def _table(heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [" | ".join(cell.replace("|", r"\|") for cell in line) for line in (heading, *rows)]
    lines = [f"| {line} |" for line in lines]
    return "\n".join([lines[0], "|" + "---|" * len(heading), *lines[1:]])
