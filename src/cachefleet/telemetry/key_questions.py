"""What can be asked about a node's keys. Implemented by engines.insight_verbs; asked by key_trace and key_survey."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from cachefleet.insight.facts import Fetched, HotName
from cachefleet.insight.keyspace import KeyFacts
from cachefleet.model.observed import Address

Measure = Callable[[Address], Awaitable[Mapping[str, float]]]  # engine_interfaces.EngineDriver.measure


class Looker(Protocol):
    """See InsightVerbs. Every method raises EngineRefused."""

    async def begin(self, at: Address, threshold: int, seed: int) -> bool: ...

    async def lower(self, at: Address, threshold: int) -> None: ...

    async def fetch(self, at: Address) -> Fetched: ...

    async def hot(self, at: Address) -> list[HotName]: ...

    async def end(self, at: Address) -> None: ...

    async def counts_uses(self, at: Address) -> bool: ...

    async def scan(
        self, at: Address, database: int, cursor: int, count: int, *, clustered: bool, lfu: bool
    ) -> tuple[int, Sequence[KeyFacts]]: ...
