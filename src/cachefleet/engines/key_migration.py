"""One slice of moving slots key by key, for engines without atomic migration: Redis, and Valkey before 9.

The order that loses nothing: the target imports, the source sends who asks for a missing key there, keys move (each is at
exactly one end at any instant), and only when the slot is empty the target, then the source, then the others are told of the
new owner. Whatever is cut short is half-open: seen by the next slice, and gone on with. Called by SlotMigrationVerbs.

It is fast because many slots are open at once and questions overlap: every round trip and every nodes.conf that an engine
writes is shared by all slots of a window, and the source always has the next MIGRATE at hand. It is gentle because each
MIGRATE, for which an engine stops all else, is small, and because no more than two are in the source's input at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from cachefleet.engines.connection import Command, ErrorReply
from cachefleet.engines.connections import Connections
from cachefleet.engines.replies import parse_cluster, parse_fields
from cachefleet.engines.slot_ends import SlotsLeft, slots_left
from cachefleet.interfaces import EngineRefused
from cachefleet.model.group import SlotRanges
from cachefleet.model.observed import Address, ClusterView

SLICE_S = 0.4
WINDOW_SLOTS = 128  # open at once: as many marks as an engine reads, and a new primary sets, in one go (ClusterVerbs.take_over)
WINDOW_KEYS = 8192  # in the slots of a window, where a single slot has not more
BATCH_KEYS = 24  # of a MIGRATE: about 0.2 ms for small values; larger ones are not faster
BATCH_BYTES = 65_536  # of a MIGRATE, by the average size of the node's keys
LANES = 2
MIGRATE_TIMEOUT_MS = "500"  # without any progress: for so long a frozen target stops the source
"""Longer, and the source itself would be taken for dead."""


class KeyMigration:
    """From the primary at `at` to the primary at `to`."""

    def __init__(self, connections: Connections, told: Connections, at: Address, to: Address) -> None:
        """connections: raw ones, on which nothing else waits behind a MIGRATE. told: by which others are told of new owners."""
        self._connections, self._told = connections, told
        self._at, self._to = at, to
        self._over = False
        self._refused: EngineRefused | None = None
        self._batch_keys = BATCH_KEYS

    async def run(self, slots: SlotRanges, others: Sequence[Address]) -> None:
        """Raises EngineRefused; what is half-open then stays so."""
        left = await self._look(slots)
        end = asyncio.get_running_loop().call_later(SLICE_S, self._end)
        try:
            await self._claim(left, others)
            todo = deque((*left.half_open, *left.fresh))
            while todo and not self._over and self._refused is None:
                window = await self._window(todo)
                await self._open(left, window)
                await self._close(left, await self._drain(window), others)
        finally:
            end.cancel()
        if self._refused is not None:
            raise self._refused

    def _end(self) -> None:
        self._over = True

    # --- what there is ---

    async def _look(self, slots: SlotRanges) -> SlotsLeft:
        (nodes, memory, keys), (target_nodes,) = await asyncio.gather(
            self._connections.call(self._at, ("CLUSTER", "NODES"), ("INFO", "memory"), ("DBSIZE",)),
            self._connections.call(self._to, ("CLUSTER", "NODES")),
        )
        used_bytes = int(parse_fields(memory.decode()).get("used_memory", "0"))
        self._batch_keys = max(1, min(BATCH_KEYS, BATCH_BYTES * max(keys, 1) // max(used_bytes, 1)))
        return slots_left(slots, self._at, _table(nodes), self._to, _table(target_nodes))

    async def _window(self, todo: deque[int]) -> list[int]:
        """The next slots, as many as have not too many keys together; taken off."""
        first = [todo[number] for number in range(min(len(todo), WINDOW_SLOTS))]
        counts = await self._connections.call(self._at, *(("CLUSTER", "COUNTKEYSINSLOT", str(slot)) for slot in first))
        window: list[int] = []
        total = 0
        for count in counts:
            total += count
            if window and total > WINDOW_KEYS:
                break
            window.append(todo.popleft())
        return window

    # --- steps ---

    async def _claim(self, left: SlotsLeft, others: Sequence[Address]) -> None:
        """Slots of a dead predecessor of the target; an import makes its claim a new one that everybody believes."""
        if left.given:
            await self._connections.call(self._to, *_set_slots(left.given, "IMPORTING", left.source_id))
            await self._close(left, left.given, others)

    async def _open(self, left: SlotsLeft, window: Sequence[int]) -> None:
        for address, unmarked, words in (
            (self._to, left.unmarked_target, ("IMPORTING", left.source_id)),
            (self._at, left.unmarked_source, ("MIGRATING", left.target_id)),
        ):
            marks = _set_slots((slot for slot in window if slot in unmarked), *words)
            if marks:
                await self._connections.call(address, *marks)

    async def _drain(self, window: Sequence[int]) -> list[int]:
        """Slots of the window that are empty at the source; those that are not when the time is over stay open."""
        lists = await self._connections.call(self._at, *(self._keys_in(slot) for slot in window))
        queue = deque(zip(window, lists, strict=True))
        empty: list[int] = []
        async with asyncio.TaskGroup() as lanes:
            for _ in range(LANES):
                lanes.create_task(self._lane(queue, empty))
        return empty

    async def _lane(self, queue: deque[tuple[int, list[bytes]]], empty: list[int]) -> None:
        while queue and self._refused is None:
            slot, keys = queue.popleft()
            try:
                while keys and not self._over:
                    keys = await self._move(slot, keys)
            except EngineRefused as error:
                self._refused = error
                return
            if not keys:
                empty.append(slot)

    async def _move(self, slot: int, keys: list[bytes]) -> list[bytes]:
        """Keys that came meanwhile, or were not listed before."""
        moved, more = await self._connections.ask(self._at, self._migrate(keys), self._keys_in(slot))
        for reply in (moved, more):
            if isinstance(reply, ErrorReply):
                raise EngineRefused(f"keys of slot {slot} were not moved from {self._at} to {self._to}: {reply}")
        found: list[bytes] = more
        return found

    def _migrate(self, keys: Sequence[bytes]) -> Command:
        """REPLACE: the target may have a key already when a MIGRATE was cut short, or a failover brought one back at the
        source. Clients find it at the source for as long as it is there: that one is newer."""
        to = self._to
        return "MIGRATE", to.host, str(to.port), "", "0", MIGRATE_TIMEOUT_MS, "REPLACE", "KEYS", *keys

    def _keys_in(self, slot: int) -> Command:
        return "CLUSTER", "GETKEYSINSLOT", str(slot), str(self._batch_keys)

    async def _close(self, left: SlotsLeft, empty: Sequence[int], others: Sequence[Address]) -> None:
        """The target first: were the source first, nobody would serve the slot when we die in between. A source that got a key
        again refuses, and its slot stays open."""
        if not empty:
            return
        closing = _set_slots(empty, "NODE", left.target_id)
        await self._connections.call(self._to, *closing)
        replies = await self._connections.ask(self._at, *closing)
        refused = next((reply for reply in replies if isinstance(reply, ErrorReply)), None)
        if refused is not None and self._refused is None:
            self._refused = EngineRefused(f"{self._at} does not give up all slots that {self._to} took: {refused}")
        for other in others:
            self._told.send(other, *closing)  # sooner than by gossip; nobody waits for it


def _table(nodes: bytes) -> ClusterView:
    return parse_cluster(nodes.decode("utf-8", "replace"), {})


def _set_slots(slots: Iterable[int], *words: str) -> list[Command]:
    return [("CLUSTER", "SETSLOT", str(slot), *words) for slot in slots]
