"""Tables of the pruning benchmarks."""

from typing import Any

from rich.table import Table

from examples.common.console import table


def table_of(title: str, rows: list[dict[str, Any]], columns: dict[str, str]) -> Table:
    """A table with a column for each field and its format."""
    cells = [
        [
            "-" if row.get(name) is None else format(row[name], spec)
            for name, spec in columns.items()
        ]
        for row in rows
    ]
    return table(title, list(columns), cells)
