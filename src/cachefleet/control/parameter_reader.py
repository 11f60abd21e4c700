"""How nodes differ from what their parameter group says: asked once per launch, when something has changed, and now and then.

What somebody changed by hand is seen within READ_AGAIN_S. Decides nothing. Called by the observer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from cachefleet.clock import Clock
from cachefleet.engine_interfaces import Build, EngineDriver, EngineRefused, NodeSpec
from cachefleet.model.observed import Address, ParameterView

READ_AGAIN_S = 30.0


class Subject(msgspec.Struct, frozen=True):
    """A node to know of."""

    incarnation: str
    driver: EngineDriver
    at: Address
    answers: bool  # it is in use, and answered at this look
    asked: Any  # all that decides what it ought to have; compared with that of the last time
    spec: Callable[[], tuple[NodeSpec, Build] | None]  # None: not known any more


class _Read(msgspec.Struct, frozen=True):
    asked: Any
    at_s: float  # monotonic
    view: ParameterView


class ParameterReader:
    """Groups by uid."""

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        self._clock, self._timeout_s = clock, timeout_s
        self._known: dict[str, dict[str, _Read]] = {}  # by uid and incarnation

    def forget(self, uid: str) -> None:
        """Something was set: look again."""
        self._known.pop(uid, None)

    async def views(self, uid: str, nodes: Mapping[str, Subject]) -> dict[str, ParameterView]:
        """By node; without those of which it is not known. A node that does not answer is what it was."""
        before, now = self._known.get(uid, {}), self._clock.monotonic()
        known = {
            node.incarnation: read
            for node in nodes.values()
            if (read := before.get(node.incarnation)) is not None and read.asked == node.asked
        }
        due = [
            node
            for node in nodes.values()
            if node.answers and (node.incarnation not in known or now - known[node.incarnation].at_s >= READ_AGAIN_S)
        ]
        for node, view in zip(due, await asyncio.gather(*map(self._ask, due)), strict=True):
            if view is not None:
                known[node.incarnation] = _Read(node.asked, now, view)
        if known:
            self._known[uid] = known
        else:
            self._known.pop(uid, None)
        return {name: known[node.incarnation].view for name, node in nodes.items() if node.incarnation in known}

    async def _ask(self, node: Subject) -> ParameterView | None:
        told = node.spec()
        if told is None:
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                return await node.driver.parameters(node.at, *told)
        except (EngineRefused, TimeoutError):
            return None
