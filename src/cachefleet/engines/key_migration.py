"""One slice of moving slots key by key: of engines without atomic migration (Redis, Valkey before 9), and where clients are
hardly to feel it.

The order that loses nothing: the target imports, the source sends who asks for a missing key there, keys move (each is at
exactly one end at any instant), and only when the slot is empty the target, then the source, then the others are told of the
new owner. Whatever is cut short is half-open: seen by the next slice, and gone on with. Called by SlotMigrationVerbs.

It is fast because many slots are open at once and questions overlap: every round trip and every nodes.conf that an engine
writes is shared by all slots of a window, and the source always has the next MIGRATE at hand. Clients bear it because each
MIGRATE, for which an engine stops all else, is small, and because no more than two are in the source's input at a time. The
pace says how small and how many, and for how long clients are alone after each.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from cachefleet.engine_interfaces import EngineRefused, SlotsRefused
from cachefleet.engines.access_verbs import login_for
from cachefleet.engines.connection import Command, ErrorReply
from cachefleet.engines.connections import Connections
from cachefleet.engines.key_batches import LARGEST_BYTES, batch_keys, in_words, patience_ms, take
from cachefleet.engines.replies import parse_cluster, parse_fields
from cachefleet.engines.side_connections import SideConnections
from cachefleet.engines.slot_ends import SlotsLeft, slots_left
from cachefleet.engines.slot_return import SlotReturn
from cachefleet.model.group import SlotRanges
from cachefleet.model.observed import Address, ClusterView
from cachefleet.model.pace import Pace
from cachefleet.model.slots import count

T = TypeVar("T")
SLICE_S = 0.4
WINDOW_SLOTS = 32  # open at once
# A client that has never met the target may stumble over being sent there for one key (ASK), and will not over a slot's move,
# by which it gets to know the target: so a target that owns few slots gets few at once.
FIRST_SLOTS, OWNED_A_SLOT = 1, 32
WINDOW_KEYS = 8192  # in the slots of a window, where a single slot has not more
ANSWER_S = 1.0
TOLD = 3  # refused slots in a message


class Troubles(msgspec.Struct):
    """Of a pair of nodes, from slice to slice. Forgotten with the process: then everything is tried again."""

    failed: set[int] = set()  # half-open slots of which a key did not move; their keys go one by one from then on
    refused: dict[int, str] = {}  # slots that stay with the source, and why


class KeyMigration:
    """From the primary at `at` to the primary at `to`."""

    def __init__(
        self, side: SideConnections, told: Connections, troubles: Troubles, pace: Pace, at: Address, to: Address
    ) -> None:
        """told: by which others are told of new owners."""
        self._side, self._told, self._troubles, self._pace = side, told, troubles, pace
        self._at, self._to = at, to
        self._over = asyncio.Event()
        self._broken: EngineRefused | None = None  # why this slice ends early
        self._batch_keys = pace.batch_keys
        self._owned = 0  # slots of the target, as it says
        self._sized = False  # a key may be so large that each has to be asked for its size
        self._known_bytes: dict[bytes, int] = {}  # of keys of this window
        self._login: Command = ()  # words of MIGRATE where the target lets nobody in without a password

    async def run(self, slots: SlotRanges, others: Sequence[Address]) -> None:
        """Raises EngineRefused: what is half-open then stays so; SlotsRefused when only such slots are left."""
        self._login = await login_for(self._told, self._to)
        left = await self._look(slots)
        end = asyncio.get_running_loop().call_later(SLICE_S, self._over.set)
        try:
            await self._claim(left, others)
            todo = deque(slot for slot in (*left.half_open, *left.fresh) if slot not in self._troubles.refused)
            while todo and not self._over.is_set() and self._broken is None:
                window = await self._window(left, todo)
                await self._paced(self._open(left, window))
                await self._paced(self._close(left, await self._drain(window), others))
        finally:
            end.cancel()
        if self._broken is not None:
            raise self._broken
        if not todo and not self._over.is_set() and self._troubles.refused:
            refused, self._troubles.refused = self._troubles.refused, {}
            more = f"; and {len(refused) - TOLD} more" if len(refused) > TOLD else ""
            raise SlotsRefused("; ".join(list(refused.values())[:TOLD]) + more, sorted(refused))

    async def _paced(self, doing: Awaitable[T]) -> T:
        """Afterwards clients have the engines for themselves for a while, at most to the end of the slice."""
        if not self._pace.rests:
            return await doing
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        done = await doing
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pace.rests * (loop.time() - begun_s)):
                await self._over.wait()
        return done

    # --- what there is ---

    async def _look(self, slots: SlotRanges) -> SlotsLeft:
        (source, (memory, keys)), (target, _) = await asyncio.gather(
            self._table(self._at, ("INFO", "memory"), ("DBSIZE",)), self._table(self._to)
        )
        used_bytes = int(parse_fields(memory.decode()).get("used_memory", "0"))
        self._batch_keys = batch_keys(used_bytes, keys, self._pace)
        self._sized = used_bytes > LARGEST_BYTES
        self._owned = count(target.nodes[target.my_id].slots) if target.my_id in target.nodes else 0
        return slots_left(slots, self._at, source, self._to, target)

    async def _table(self, address: Address, *more: Command) -> tuple[ClusterView, list[Any]]:
        """Raises EngineRefused where the node answers no questions on keys: a fresh one begins after two seconds."""
        nodes, info, *others = await self._side.one.call(address, ("CLUSTER", "NODES"), ("CLUSTER", "INFO"), *more)
        view = parse_cluster(nodes.decode("utf-8", "replace"), parse_fields(info.decode()))
        if not view.ok:
            raise EngineRefused(f"keys are not moved from {self._at} to {self._to}: the cluster is down, {address} says")
        return view, others

    async def _window(self, left: SlotsLeft, todo: deque[int]) -> list[int]:
        """The next slots, as many as have not too many keys together; taken off. A slot with a key that is too large is not
        opened in the first place."""
        width = min(WINDOW_SLOTS, max(FIRST_SLOTS, self._owned // OWNED_A_SLOT), len(todo))
        first = [todo[number] for number in range(width)]
        counts = await self._side.one.call(self._at, *(("CLUSTER", "COUNTKEYSINSLOT", str(slot)) for slot in first))
        window: list[int] = []
        total = 0
        for keys in counts:
            total += keys
            if window and total > WINDOW_KEYS:
                break
            window.append(todo.popleft())
        if self._sized:
            self._known_bytes.clear()
            half_open = set(left.half_open)
            fresh = [slot for slot in window if slot not in half_open]
            too_large = await asyncio.gather(*(self._too_large(slot) for slot in fresh))
            left_out = set(itertools.compress(fresh, too_large))
            window = [slot for slot in window if slot not in left_out]
        return window

    async def _too_large(self, slot: int) -> bool:
        (keys,) = await self._side.one.call(self._at, self._keys_in(slot, WINDOW_KEYS))
        for key, size in zip(keys, await self._sizes(keys), strict=True):
            if size > LARGEST_BYTES:
                self._refuse(
                    slot, key, f"takes {in_words(size)}, and items of more than {in_words(LARGEST_BYTES)} are not moved"
                )
                return True
        return False

    async def _sizes(self, keys: Sequence[bytes]) -> list[int]:
        unknown = [key for key in keys if key not in self._known_bytes]
        if unknown:
            sizes = await self._side.one.call(self._at, *(("MEMORY", "USAGE", key) for key in unknown))
            self._known_bytes.update({key: size or 0 for key, size in zip(unknown, sizes, strict=True)})
        return [self._known_bytes[key] for key in keys]

    def _refuse(self, slot: int, key: bytes, why: str) -> None:
        self._troubles.refused[slot] = (
            f"slot {slot} stays at {self._at}: its key {key[:100].decode('utf-8', 'replace')!r} {why}"
        )

    # --- steps ---

    async def _claim(self, left: SlotsLeft, others: Sequence[Address]) -> None:
        """Slots of a dead predecessor of the target; an import makes its claim a new one that everybody believes."""
        if left.given:
            await self._side.call_all(self._to, _set_slots(left.given, "IMPORTING", left.source_id))
            await self._close(left, left.given, others)

    async def _open(self, left: SlotsLeft, window: Sequence[int]) -> None:
        to_import = (slot for slot in window if slot in left.unmarked_target)
        await self._side.call_all(self._to, _set_slots(to_import, "IMPORTING", left.source_id))
        to_migrate = (slot for slot in window if slot in left.unmarked_source)
        await self._side.call_all(self._at, _set_slots(to_migrate, "MIGRATING", left.target_id))

    async def _drain(self, window: Sequence[int]) -> list[int]:
        """Slots of the window that are empty at the source; those that are not when the time is over stay open."""
        if not window:
            return []
        queue = deque(window)
        empty: list[int] = []
        async with asyncio.TaskGroup() as lanes:
            for _ in range(self._pace.lanes):
                lanes.create_task(self._lane(queue, empty))
        return empty

    async def _lane(self, queue: deque[int], empty: list[int]) -> None:
        while queue and self._broken is None:
            slot = queue.popleft()
            left = 1
            try:
                while left and not self._over.is_set():
                    left = await self._paced(self._move(slot))
            except EngineRefused as error:
                self._broken = error
                return
            if not left and slot not in self._troubles.refused:
                self._troubles.failed.discard(slot)
                empty.append(slot)

    async def _move(self, slot: int) -> int:
        """How many keys the source has left of the slot. Raises EngineRefused."""
        if slot in self._troubles.failed or self._login:
            (keys,) = await self._side.one.call(self._at, self._keys_in(slot, self._batch_keys))
            if slot in self._troubles.failed:
                return len(await self._move_singly(slot, keys))
            return len(keys) and await self._move_together(slot, keys)
        (left,) = await self._side.one.ask(
            self._at, take(slot, self._to, self._batch_keys, self._pace.batch_bytes if self._sized else 0)
        )
        if isinstance(left, ErrorReply):
            self._troubles.failed.add(slot)
            words, *_ = str(left).split(" script: ")  # which is ours, and tells nobody anything
            raise EngineRefused(f"keys of slot {slot} were not moved from {self._at} to {self._to}: {words}")
        return int(left)

    async def _move_together(self, slot: int, keys: list[bytes]) -> int:
        """Where nodes have to log in at each other: a script would show the password to whoever watches its arguments."""
        sizes = await self._sizes(keys) if self._sized else [0] * len(keys)
        fitting = [key for key, total in zip(keys, itertools.accumulate(sizes), strict=True) if total <= self._pace.batch_bytes]
        batch = fitting or keys[:1]
        moved, left = await self._side.one.ask(
            self._at, self._migrate(batch, sum(sizes[: len(batch)])), ("CLUSTER", "COUNTKEYSINSLOT", str(slot))
        )
        if isinstance(moved, ErrorReply):
            self._troubles.failed.add(slot)
            raise EngineRefused(f"keys of slot {slot} were not moved from {self._at} to {self._to}: {moved}")
        return int(left)

    async def _move_singly(self, slot: int, keys: list[bytes]) -> list[bytes]:
        """A slot of which a key has failed before. One that fails again, at a target that is well, sends the slot home."""
        for key, size in zip(keys, await self._sizes(keys), strict=True):
            (reply,) = await self._side.one.ask(self._at, self._migrate([key], size))
            if isinstance(reply, ErrorReply):
                await self._require_life(slot)
                await SlotReturn(self._side.one, self._at, self._to, slot).run()
                self._refuse(slot, key, f"({in_words(size)}) is not taken by {self._to}: {reply}")
                self._troubles.failed.discard(slot)
                return []
        (more,) = await self._side.one.call(self._at, self._keys_in(slot, self._batch_keys))
        found: list[bytes] = more
        return found

    async def _require_life(self, slot: int) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._table(self._to)
        except TimeoutError:
            raise EngineRefused(f"keys of slot {slot} are not moved from {self._at}: {self._to} does not answer") from None

    def _migrate(self, keys: Sequence[bytes], size_bytes: int) -> Command:
        """REPLACE: the target may have a key already when a MIGRATE was cut short, or a failover brought one back at the
        source. Clients find it at the source for as long as it is there: that one is newer."""
        to = self._to
        words = ("REPLACE", *self._login, "KEYS")
        return "MIGRATE", to.host, str(to.link_port), "", "0", str(patience_ms(size_bytes)), *words, *keys

    def _keys_in(self, slot: int, most: int) -> Command:
        return "CLUSTER", "GETKEYSINSLOT", str(slot), str(most)

    async def _close(self, left: SlotsLeft, empty: Sequence[int], others: Sequence[Address]) -> None:
        """The target first: were the source first, nobody would serve the slot when we die in between. A source that got a key
        again refuses, and its slot stays open."""
        closing = _set_slots(empty, "NODE", left.target_id)
        if not closing:
            return
        await self._side.call_all(self._to, closing)
        self._owned += len(empty)
        replies = await self._side.ask_all(self._at, closing)
        refused = next((reply for reply in replies if isinstance(reply, ErrorReply)), None)
        if refused is not None and self._broken is None:
            self._broken = EngineRefused(f"{self._at} does not give up all slots that {self._to} took: {refused}")
        for other in others:
            self._told.send(other, *closing)  # sooner than by gossip; nobody waits for it


def _set_slots(slots: Iterable[int], *words: str) -> list[Command]:
    return [("CLUSTER", "SETSLOT", str(slot), *words) for slot in slots]
