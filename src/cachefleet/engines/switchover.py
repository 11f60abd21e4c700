"""The planned hand-over of the primary role between two nodes of a group with cluster mode disabled.

Measured and ordered so that at no instant two nodes accept writes, no acknowledged write is lost, and a client that is cut
finds the new primary at once (operations 1.3, 2, 5). Called by ValkeyDriver.switch.

    1  old: pause writes (the pause ends by itself: it is the fence for a crash of ours)
    2  new: wait until it has applied everything that old has written
    3  old: become a replica of new, give up the endpoint addresses; its clients stay connected, their writes stay paused
    4  new: become primary, take its addresses
    5  old: take its new addresses, cut the clients of those that it gave up, end the pause; others: follow new

A failure up to 3 undoes everything. From 4 on nothing is undone: whether new became primary may be unknown then, and old
stays a replica, which the next look at the group shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from cachefleet.engines.connection import Command, Connection, ConnectionEnded
from cachefleet.engines.connections import Connections, accepted
from cachefleet.engines.listening import GET_BIND, kill_through, set_bind
from cachefleet.engines.replication import SETTLED
from cachefleet.engines.replies import parse_config, parse_fields
from cachefleet.interfaces import EngineRefused
from cachefleet.model.observed import Address

PAUSE_MS = 3000
CATCH_UP_S = 2.0  # shorter than the pause
MAX_LAG_BYTES = 1_048_576  # a replica that is further behind must catch up before writes are paused

_REPLICATION: Command = ("INFO", "replication")


class Switchover:
    """One hand-over from `at` to `to`."""

    def __init__(
        self,
        connections: Connections,
        at: Address,
        to: Address,
        to_bind: Sequence[str],
        from_bind: Sequence[str],
        others: Sequence[Address],
    ) -> None:
        self._connections = connections
        self._at, self._to, self._others = at, to, others
        self._to_bind, self._from_bind = to_bind, from_bind
        self._at_bound: list[str] = []
        self._to_bound: list[str] = []

    async def run(self) -> None:
        """Raises EngineRefused. Cancelled or failed before step 4, the old primary goes on as before."""
        try:
            old = await self._connections.at(self._at)
            new = await self._connections.at(self._to)
            if await self._begin(old, new):
                await self._hand_over(old, new)
            await self._settle(old, new)
        except (OSError, ConnectionEnded) as error:
            raise EngineRefused(f"switch from {self._at} to {self._to}: {error}") from error

    async def _begin(self, old: Connection, new: Connection) -> bool:
        """Learn the addresses in use; False when `to` is primary already (an earlier run got that far)."""
        old_info, old_bind = await self._ask(old, self._at, _REPLICATION, GET_BIND)
        new_info, new_bind = await self._ask(new, self._to, _REPLICATION, GET_BIND)
        self._at_bound = parse_config(old_bind).get("bind", "").split()
        self._to_bound = parse_config(new_bind).get("bind", "").split()
        old_says, new_says = parse_fields(old_info), parse_fields(new_info)
        if new_says.get("role") == "master":
            if old_says.get("role") == "master":
                raise EngineRefused(f"switch from {self._at} to {self._to}: both are primaries")
            return False
        if old_says.get("role") != "master":
            raise EngineRefused(f"switch from {self._at}: it is not a primary")
        self._check_replica(new_says)
        return True

    def _check_replica(self, info: Mapping[str, str]) -> None:
        if info.get("master_host") != self._at.host or info.get("master_link_status") != "up":
            raise EngineRefused(f"switch to {self._to}: it is not an in-sync replica of {self._at}")

    async def _hand_over(self, old: Connection, new: Connection) -> None:
        (info,) = await self._ask(old, self._at, _REPLICATION)
        await self._caught_up(new, _written(info) - MAX_LAG_BYTES)
        try:
            _, info = await self._ask(old, self._at, ("CLIENT", "PAUSE", str(PAUSE_MS), "WRITE"), _REPLICATION)
            await self._caught_up(new, _written(info))
            demotion: Command = ("REPLICAOF", self._to.host, str(self._to.port))
            await self._ask(old, self._at, demotion, set_bind(self._at, ()))
        except BaseException:
            self._undo(old)
            raise
        await self._ask(new, self._to, ("REPLICAOF", "NO", "ONE"), *SETTLED, set_bind(self._to, self._to_bind))

    async def _caught_up(self, new: Connection, offset: int) -> None:
        """Asks again and again without a pause in between: it is a matter of a few round trips."""
        try:
            async with asyncio.timeout(CATCH_UP_S):
                while True:
                    (text,) = await self._ask(new, self._to, _REPLICATION)
                    info = parse_fields(text)
                    self._check_replica(info)
                    if int(info["slave_repl_offset"]) >= offset:
                        return
        except TimeoutError:
            raise EngineRefused(f"switch to {self._to}: it did not catch up within {CATCH_UP_S:g} s") from None

    def _undo(self, old: Connection) -> None:
        """Written at once and without waiting, so that it also works while being cancelled. The engine carries it out after
        whatever was sent before."""
        if not old.ended:
            old.send(("REPLICAOF", "NO", "ONE"), set_bind(self._at, self._at_bound), ("CLIENT", "UNPAUSE"))

    async def _settle(self, old: Connection, new: Connection) -> None:
        """Step 5. One that fails does not keep the rest from being done; the first failure is raised at the end."""
        outcomes = await asyncio.gather(
            self._settle_pair(old, new), *(self._repoint(other) for other in self._others), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _settle_pair(self, old: Connection, new: Connection) -> None:
        given_up = [name for name in self._at_bound if name not in self._from_bind]
        commands: list[Command] = [set_bind(self._at, self._from_bind)] if self._from_bind else []
        await self._ask(old, self._at, *commands, *SETTLED, *kill_through(self._at, given_up), ("CLIENT", "UNPAUSE"))
        lost = kill_through(self._to, [name for name in self._to_bound if name not in self._to_bind])
        if lost:
            await self._ask(new, self._to, *lost)

    async def _repoint(self, other: Address) -> None:
        await self._connections.call(other, ("REPLICAOF", self._to.host, str(self._to.port)))

    async def _ask(self, connection: Connection, address: Address, *commands: Command) -> list[Any]:
        """Like Connections.call, but a connection survives being cancelled: _undo may still need it."""
        return accepted(address, commands, await connection.send(*commands))


def _written(info: str) -> int:
    return int(parse_fields(info)["master_repl_offset"])
