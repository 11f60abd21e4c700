"""Asks a running Valkey or Redis what its keys are and which are used: the trace module, SCAN and questions for single keys.

Over connections of its own; decides nothing, sets no pace and no deadline. Names of keys are bytes. Implements
telemetry.key_questions.Looker.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import msgspec

from cachefleet.engine_interfaces import EngineRefused
from cachefleet.engines.connection import Command, ErrorReply
from cachefleet.engines.connections import Connections
from cachefleet.insight.facts import Fetched, HotName
from cachefleet.insight.keyspace import KeyFacts
from cachefleet.model.observed import Address

_TRACE = "CACHEFLEET.TRACE"  # engines/trace_module/module.c
_ENTRY = struct.Struct("<QII")
_MOST_ENTRIES = 4096  # of a reply
_SIGNED = 1 << 63


class InsightVerbs:
    """telemetry.key_questions.Looker. A node is named by its own address. Every method raises EngineRefused."""

    def __init__(self, connections: Connections) -> None:
        """connections: raw."""
        self._connections = connections

    async def begin(self, at: Address, threshold: int, seed: int) -> bool:
        """Trace keys whose hash is below the threshold. False: the node was launched without the module."""
        command: Command = (_TRACE, "START", str(threshold), str(seed % _SIGNED))
        (answer,) = await self._connections.ask(at, command)
        if isinstance(answer, ErrorReply):
            if "unknown command" in str(answer).lower():
                return False
            raise EngineRefused(f"{_TRACE} START was refused by {at}: {answer}")
        return True

    async def lower(self, at: Address, threshold: int) -> None:
        await self._connections.call(at, (_TRACE, "RATE", str(threshold)))

    async def fetch(self, at: Address) -> Fetched:
        """A trace that nobody has fetched from for 5 s has ended by itself, and this is refused."""
        (answer,) = await self._connections.call(at, (_TRACE, "FETCH"))
        *numbers, entries = answer
        found = tuple(_ENTRY.iter_unpack(entries))
        return msgspec.convert((*numbers, found, len(found) == _MOST_ENTRIES), Fetched)

    async def hot(self, at: Address) -> list[HotName]:
        (answer,) = await self._connections.call(at, (_TRACE, "HOT"))
        return [HotName(name + (b"..." if size > len(name) else b""), count, over) for name, size, count, over in answer]

    async def end(self, at: Address) -> None:
        await self._connections.call(at, (_TRACE, "STOP"))

    async def counts_uses(self, at: Address) -> bool:
        """Of each key (LFU), in place of the time since the last one."""
        (answer,) = await self._connections.call(at, ("CONFIG", "GET", "maxmemory-policy"))
        return len(answer) == 2 and bool(answer[1].endswith(b"-lfu"))

    async def scan(
        self, at: Address, database: int, cursor: int, count: int, *, clustered: bool, lfu: bool
    ) -> tuple[int, Sequence[KeyFacts]]:
        """About so many keys from there on, and where to go on: 0 for the end. Keys that go away meanwhile are left out."""
        here: tuple[Command, ...] = (("READONLY",) if clustered else ("SELECT", str(database)),)
        *_, (following, names) = await self._connections.call(at, *here, ("SCAN", str(cursor), "COUNT", str(count)))
        used = "FREQ" if lfu else "IDLETIME"
        questions: list[Command] = []
        for name in names:
            questions += [("MEMORY", "USAGE", name, "SAMPLES", "5"), ("TYPE", name), ("OBJECT", used, name)]
        answers = await self._connections.ask(at, *questions) if questions else []
        rows = zip(names, answers[::3], answers[1::3], answers[2::3], strict=True)
        return int(following), [
            KeyFacts(name, _text(kind), size, use if lfu else None, None if lfu else use)
            for name, size, kind, use in ((*row[:3], _number(row[3])) for row in rows)
            if isinstance(size, int)
        ]

    async def close(self) -> None:
        await self._connections.close()


def _number(answer: Any) -> int | None:
    return answer if isinstance(answer, int) else None


def _text(answer: Any) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
