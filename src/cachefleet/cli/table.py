"""Tables and lines on standard output: as wide as the terminal; in a pipe wide enough that no line is broken."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

PIPE_COLUMNS = 400
Shown = tuple[str, Sequence[str], Sequence[Sequence[str]]]  # title, headings, rows


def screen() -> Console:
    return Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS, highlight=False)


def plain_table(headings: Sequence[str]) -> Table:
    """No lines around or between the cells; a long cell goes on in the next line."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def show_report(lines: Iterable[str], tables: Iterable[Shown]) -> None:
    """Sentences, then each table under its title."""
    console = screen()
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    for title, headings, rows in tables:
        table = plain_table(headings)
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(f"\n{title}", markup=False)
        console.print(table)
