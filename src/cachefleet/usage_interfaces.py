"""The seam of the ledger of used nodes: who had how many nodes of which type for how long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cachefleet.model.resource import Scope
from cachefleet.model.usage import Counted, Span


class UsageLedger(Protocol):
    """Every method raises interfaces.StoreError when the database cannot be used."""

    async def counted(self) -> Counted | None:
        """None before the first look."""

    async def going_on(self) -> list[Span]:
        """Spans of all accounts and regions that have no end yet."""

    async def write(self, lease: str, token: int, now: float, closed: Sequence[Span], begun: Sequence[Span]) -> None:
        """All or nothing, and only under this token of the lease: spans get their ends, new ones begin, and everything that
        goes on counts until now. Raises interfaces.Deposed."""

    async def spans(self, scope: Scope, start: float, end: float) -> list[Span]:
        """Those that have a part in start <= time < end, in order of their beginnings. What goes on ends where it was counted
        to."""

    async def forget(self, before: float) -> int:
        """Drop spans that ended before; returns how many."""
