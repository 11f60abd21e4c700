"""The table of all rows, for the terminal and for docs/performance.md. Measures nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from bench.row import Row, shown

_HEAD = ("figure", "median", "worst", "of", "target", "met", "reference")
_INTRODUCTION = """# Performance

The figures of one run of `make bench ARGS=--write`, which wrote this page. Times are those that a client outside of the
service sees. The targets were set before the first measurement; a median that misses its target is shown as it is.

"""


def print_table(results: Mapping[str, Sequence[Row]]) -> None:
    table = Table(*_HEAD, box=box.SIMPLE_HEAD)
    for rows in results.values():
        for row in rows:
            table.add_row(*_cells(row))
        table.add_section()
    console = Console()
    console.width = max(console.width, 160)
    console.print(table)


def page(machine: Sequence[tuple[str, str]], results: Mapping[str, Sequence[Row]], notes: Mapping[str, str]) -> str:
    """docs/performance.md. notes: how each part was measured, by the part's name."""
    lines = [_INTRODUCTION, "| machine | |\n|---|---|\n"]
    lines += [f"| {what} | {value} |\n" for what, value in machine]
    for name, rows in results.items():
        lines += [f"\n## {name.capitalize()}\n\n{notes[name].strip()}\n\n"]
        lines += [f"| {' | '.join(_HEAD)} |\n", "|" + "---|" * len(_HEAD) + "\n"]
        lines += [f"| {' | '.join(_cells(row))} |\n" for row in rows]
    return "".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    target = "" if row.target is None else f"{'≥' if row.at_least else '≤'} {shown(row.target, row.unit)}"
    met = {None: "", True: "yes", False: "**no**"}[row.met]
    return (
        row.figure,
        shown(row.median, row.unit),
        shown(row.worst, row.unit),
        str(len(row.values)),
        target,
        met,
        row.reference,
    )
