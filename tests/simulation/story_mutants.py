"""Narrow places in which mutants.py breaks what users and topics are told."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from cachefleet.control import controller
from cachefleet.model.group import ShardMemory
from cachefleet.planning import replicated, succession
from cachefleet.planning.draft import Draft


def forgets_topics() -> list[Any]:
    """Events are written, and nobody hears of them."""

    async def silent(transaction: Any, scope: Any, cache: Any, events: Any, at: float, entropy: Any) -> None:
        await transaction.add_events(scope, at, events)

    return [patch.object(controller, "announce", silent)]


def tells_ahead() -> list[Any]:
    """Of failovers when they are decided, and again when they are done."""
    decide = succession.decide

    def decided(draft: Draft, memory: ShardMemory, primary: str) -> None:
        old = memory.primary
        decide(draft, memory, primary)
        draft.tell_group(f"Failover from primary node {old} to replica node {primary} completed")

    return [patch.object(replicated, "decide", decided)]
