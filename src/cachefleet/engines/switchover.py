"""The planned hand-over of the primary role between two nodes of a group with cluster mode disabled.

Measured and ordered so that at no instant two nodes accept writes, no acknowledged write is lost, and a client that is cut
finds the new primary at once (operations 1.3, 2, 5). Called by ValkeyDriver.switch.

    1  old: pause writes
    2  new: wait until it has applied everything that old has written
    3  old: pause for long, stop listening on the endpoint; its clients stay connected and wait
    4  new: become primary, listen on the endpoint
    5  old: cut the clients of the addresses that it gave up, become a replica, end the pause; others: follow new

Were old demoted before new is promoted, clients would be told READONLY in between. The pause is what keeps old from writing
until then, also when we die: after 1 it ends by itself soon, after 3 only after long, so that there is time to come back and
demote it. A failure up to 3 undoes everything; from 4 on old is demoted in any case, whatever became of new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from cachefleet.engine_interfaces import EngineRefused
from cachefleet.engines.connection import Command
from cachefleet.engines.connections import Connections, accepted
from cachefleet.engines.conversation import ConnectionEnded
from cachefleet.engines.listening import GET_BIND, bound_at, bound_in, change, kill_through, set_bind
from cachefleet.engines.replication import SETTLED, ReplicationVerbs, replicate_from
from cachefleet.engines.replies import parse_fields
from cachefleet.model.observed import Address

PAUSE_MS = 3000
CATCH_UP_S = 2.0  # shorter than that pause
LONG_PAUSE_MS = 600_000
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
        self._at_bound: tuple[str, ...] = ()
        self._to_bound: tuple[str, ...] = ()
        self._retired: asyncio.Future[list[Any]] | None = None

    async def run(self) -> None:
        """Raises EngineRefused. Cancelled or failed before step 4, the old primary goes on as before."""
        if await self._begin():
            await self._hand_over()
            await self._settle()
        else:
            await self._finish()

    async def _begin(self) -> bool:
        """Learn the addresses in use; False when `to` is primary already (an earlier run got that far)."""
        ask = self._connections.call
        old_info, old_bind = await ask(self._at, _REPLICATION, GET_BIND)
        new_info, new_bind = await ask(self._to, _REPLICATION, GET_BIND)
        self._at_bound = bound_in(self._connections, self._at, old_bind)
        self._to_bound = bound_in(self._connections, self._to, new_bind)
        old_says, new_says = parse_fields(old_info), parse_fields(new_info)
        if old_says.get("role") == "master" and new_says.get("role") == "master":
            raise EngineRefused(f"switch from {self._at} to {self._to}: both are primaries")
        if new_says.get("role") == "master":
            return False
        if old_says.get("role") != "master":
            raise EngineRefused(f"switch from {self._at}: it is not a primary")
        if not self._at_bound or not self._to_bound:
            raise EngineRefused(f"switch from {self._at} to {self._to}: where they listen is in doubt, bind them again first")
        self._check_replica(new_says)
        return True

    def _check_replica(self, info: Mapping[str, str]) -> None:
        if info.get("master_host") != self._at.host or info.get("master_link_status") != "up":
            raise EngineRefused(f"switch to {self._to}: it is not an in-sync replica of {self._at}")

    async def _hand_over(self) -> None:
        ask = self._connections.call
        # Engines before Valkey 8 may list a replica as in sync and send it nothing for another second: what is written by now
        # has to arrive before writers are held up.
        for lag_bytes in (0, MAX_LAG_BYTES):
            (info,) = await ask(self._at, _REPLICATION)
            await self._caught_up(_written(info) - lag_bytes)
        gives_up = False
        try:
            _, info = await ask(self._at, _pause(PAUSE_MS), _REPLICATION)
            await self._caught_up(_written(info))
            await self._check_data()
            gives_up = True
            await change(self._connections, self._at, self._at_bound, (), first=(_pause(LONG_PAUSE_MS),), kill=False)
        except BaseException:
            self._undo(gives_up)
            raise
        try:
            await change(self._connections, self._to, self._to_bound, self._to_bind, first=self._promotion(), kill=False)
        finally:  # at once, whatever comes of it: old must not write again
            self._retired = self._connections.send(self._at, *self._retirement())

    def _undo(self, gives_up: bool) -> None:
        """Sent without waiting, so that it also works while being cancelled; the engine carries it out after whatever was
        sent before on the same connection."""
        if gives_up:
            self._connections.send(self._at, set_bind(self._at, self._at_bound), ("CLIENT", "UNPAUSE"), change=True)
        else:
            self._connections.send(self._at, ("CLIENT", "UNPAUSE"))

    async def _check_data(self) -> None:
        """Raises EngineRefused where those that arrived cannot be all. Writes are paused."""

    def _promotion(self) -> tuple[Command, ...]:
        """Of the new primary, before it listens on the endpoint, in the same write."""
        return ("REPLICAOF", "NO", "ONE"), *SETTLED

    def _retirement(self) -> tuple[Command, ...]:
        """Of the old primary, in one write."""
        given_up = [name for name in self._at_bound if name not in self._from_bind]
        return *kill_through(self._at, given_up), *replicate_from(self._at, self._to), *SETTLED

    async def _caught_up(self, offset: int) -> None:
        """Asks again and again without a pause in between: it is a matter of a few round trips."""
        try:
            async with asyncio.timeout(CATCH_UP_S):
                while True:
                    (text,) = await self._connections.call(self._to, _REPLICATION)
                    info = parse_fields(text)
                    self._check_replica(info)
                    if int(info["slave_repl_offset"]) >= offset:
                        return
        except TimeoutError:
            raise EngineRefused(f"switch to {self._to}: it did not catch up within {CATCH_UP_S:g} s") from None

    async def _settle(self) -> None:
        """Step 5. One that fails does not keep the rest from being done; the first failure is raised at the end."""
        outcomes = await asyncio.gather(
            self._settle_pair(), *(self._repoint(other) for other in self._others), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _settle_pair(self) -> None:
        if self._retired is None:
            raise EngineRefused(f"REPLICAOF did not reach {self._at}: the connection was lost")
        try:
            accepted(self._at, self._retirement(), await self._retired)
        except ConnectionEnded as error:
            raise EngineRefused(f"REPLICAOF did not reach {self._at}: {error}") from error
        await change(self._connections, self._at, [self._at.host], self._from_bind)
        lost = kill_through(self._to, [name for name in self._to_bound if name not in self._to_bind])
        if lost:
            await self._connections.call(self._to, *lost)

    async def _repoint(self, other: Address) -> None:
        await self._connections.call(other, *replicate_from(other, self._to))

    async def _finish(self) -> None:
        """What an earlier run left to do, in its order."""
        verbs = ReplicationVerbs(self._connections)
        kept = [name for name in self._from_bind if name not in self._to_bound]  # the rest is free after the next step
        await verbs.follow(self._at, self._to, kept)
        await verbs.promote(self._to, self._to_bind)
        await verbs.follow(self._at, self._to, self._from_bind)
        for other in self._others:
            await verbs.follow(other, self._to, await bound_at(self._connections, other))


def _pause(duration_ms: int) -> Command:
    return "CLIENT", "PAUSE", str(duration_ms), "WRITE"


def _written(info: str) -> int:
    return int(parse_fields(info)["master_repl_offset"])
