"""The table of all rows, for the terminal and for docs/performance.md. Measures nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from bench.row import Row, shown

_HEAD = ("figure", "median", "p95", "worst", "of", "target", "met", "reference")
_INTRODUCTION = """# Performance

`make bench ARGS=--write` writes this page; a run of some parts leaves the figures of the others, which were measured on the
same machine, as they are. Times are those that a client outside of the service sees. The targets were set before the first
measurement; a median that misses its target is shown as it is. Where a target holds for each value, the worst one counts.

"""
_ENGINES = "engines"
_ROW = re.compile(r"^\| (.+) \| (.+) \|$", re.MULTILINE)
_SECTION = "\n## "


def print_table(results: Mapping[str, Sequence[Row]]) -> None:
    table = Table(*_HEAD, box=box.SIMPLE_HEAD)
    for rows in results.values():
        for row in rows:
            table.add_row(*_cells(row))
        table.add_section()
    console = Console()
    console.width = max(console.width, 160)
    console.print(table)


def page(machine: Sequence[tuple[str, str]], sections: Mapping[str, str]) -> str:
    """docs/performance.md. sections: the text of every part, by its name, in the order of the page."""
    return _head(machine) + "".join(sections.values())


def section(name: str, note: str, circumstances: str, rows: Sequence[Row]) -> str:
    """note: how the part was measured. circumstances: when, and what else the machine did."""
    lines = [f"{_SECTION}{name.capitalize()}\n\n{note.strip()}\n\n{circumstances}\n\n"]
    lines += [f"| {' | '.join(_HEAD)} |\n", "|" + "---|" * len(_HEAD) + "\n"]
    lines += [f"| {' | '.join(_cells(row))} |\n" for row in rows]
    return "".join(lines)


def sections_of(text: str, machine: Sequence[tuple[str, str]]) -> dict[str, str] | None:
    """What page() was made of; None when that was on another machine. An engine more than then makes it no other one."""
    head, *parts = text.split(_SECTION)
    known = dict(_ROW.findall(head))
    engines = set(known.pop(_ENGINES, "").split(", ")) - {""}
    now = dict(machine)
    if not engines <= set(now.pop(_ENGINES, "").split(", ")) or known != now:
        return None
    found = [_SECTION + part for part in parts]
    return {part.removeprefix(_SECTION).partition("\n")[0].lower(): part for part in found}


def _head(machine: Sequence[tuple[str, str]]) -> str:
    return "".join([_INTRODUCTION, "| machine | |\n|---|---|\n", *(f"| {what} | {value} |\n" for what, value in machine)])


def _cells(row: Row) -> tuple[str, ...]:
    target = "" if row.target is None else f"{'≥' if row.at_least else '≤'} {shown(row.target, row.unit)}"
    if row.each:
        target += ", each"
    met = {None: "", True: "yes", False: "**no**"}[row.met]
    return (
        row.figure,
        shown(row.median, row.unit),
        "" if row.p95 is None else shown(row.p95, row.unit),
        shown(row.worst, row.unit),
        str(len(row.values)),
        target,
        met,
        row.reference,
    )
