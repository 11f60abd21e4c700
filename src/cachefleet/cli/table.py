"""Tables and lines on standard output: as wide as the terminal; in a pipe wide enough that no line is broken."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

PIPE_COLUMNS = 400


def screen() -> Console:
    return Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS, highlight=False)


def plain_table(headings: Sequence[str]) -> Table:
    """No lines around or between the cells; a long cell goes on in the next line."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
