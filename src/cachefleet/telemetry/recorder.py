"""metric_interfaces.Metrics: collects values in memory, hands them to the store in blocks, and reads both.

Each value goes into a block of every fineness from its own on. A block is written again, whole, as long as its time lasts; each
process writes its own, so nobody has to read before writing, and those of several are merged when they are read. Only a block
that was let go of is read before it is written again, for a value that came late. What was not written yet when a process dies
is lost: FLUSH_S of values.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence, Set

import structlog

from cachefleet.clock import Clock
from cachefleet.interfaces import StoreError
from cachefleet.metric_interfaces import MetricStore, Points
from cachefleet.metrics.blocks import Columns, Damaged, add, decoded, encoded, joined
from cachefleet.metrics.instruments import Counter, Instruments
from cachefleet.metrics.values import Value
from cachefleet.model.metric import RESOLUTIONS, Block, ListedSeries, MetricName, Resolution, Series
from cachefleet.model.resource import Scope

FLUSH_S = 10.0
PRUNE_S = 3600.0
LATE_S = 150.0  # what is measured within a minute is told of its begin; a block that was let go of has to be read again
_AT_ONCE = 200  # blocks in one transaction
_MAX_HEADS = 200_000  # blocks that wait for a database that cannot be used
_RESERVED_HEADS = 10_000  # of these, for what is measured here

_Head = tuple[Series, int, int]  # resolution in seconds, begin

log = structlog.get_logger()


class Recorder:
    """run() until cancelled. writer: names this process and no other ever. lost: counts values for which there was no room."""

    def __init__(self, store: MetricStore, clock: Clock, writer: str, lost: Counter | None = None) -> None:
        self._all_lost = lost or Instruments().values_lost
        self._store = store
        self._clock = clock
        self._writer = writer
        self._heads: dict[_Head, Columns] = {}
        self._dirty: dict[_Head, None] = {}  # in the order in which they became so
        self._late: set[_Head] = set()  # heads that may lack what was written of them before
        self._last_at: dict[Series, float] = {}
        self._lost = 0
        self._latest = 0.0  # the youngest time that the clock ever told
        self._flushing = asyncio.Lock()

    def record(self, series: Series, at: float, values: Mapping[MetricName, Value], *, fine: bool = False) -> None:
        if not values:
            return
        for resolution in RESOLUTIONS if fine else RESOLUTIONS[1:]:
            begin = int(at) // resolution.block_s * resolution.block_s
            head = series, resolution.seconds, begin
            if head not in self._heads and len(self._heads) >= _MAX_HEADS:
                self._lost += len(values)
                self._all_lost.add(by=len(values))
                continue
            if head not in self._heads and self._may_have_been_let_go(begin, resolution.block_s):
                self._late.add(head)
            add(self._heads.setdefault(head, {}), (int(at) - begin) // resolution.seconds, values)
            self._dirty[head] = None
        self._last_at[series] = max(at, self._last_at.get(series, 0.0))

    def waiting(self) -> int:
        """Blocks that are not stored yet as they are."""
        return len(self._dirty)

    def is_full(self) -> bool:
        return len(self._heads) > _MAX_HEADS - _RESERVED_HEADS

    async def run(self) -> None:
        pruned_at = float("-inf")
        try:
            while True:
                await self._clock.sleep(FLUSH_S)
                try:
                    await self.flush()
                    if self._clock.monotonic() - pruned_at > PRUNE_S:
                        pruned_at = self._clock.monotonic()
                        await self._prune()
                except StoreError as error:
                    log.warning("metrics wait for the database", why=str(error), blocks=len(self._dirty))
                except Exception:
                    log.exception("metrics cannot be written", blocks=len(self._dirty))
        finally:
            try:
                await asyncio.shield(self.flush())
            except StoreError as error:
                log.warning("metrics of the last seconds are lost", why=str(error))

    async def flush(self) -> None:
        """Raises StoreError: what was not written stays, and is written by the next one."""
        async with self._flushing:
            await self._flush()

    async def _flush(self) -> None:
        if self._lost:
            log.warning("metrics were lost: the database could not be used for too long", values=self._lost)
            self._lost = 0
        waiting = list(self._dirty)
        for first in range(0, len(waiting), _AT_ONCE):
            heads = [head for head in waiting[first : first + _AT_ONCE] if head in self._dirty]
            try:
                blocks = [await self._block(head) for head in heads]
                series = {head[0] for head in heads}
                await self._store.put(blocks, {one: self._last_at[one] for one in series if one in self._last_at})
            except BaseException:
                self._dirty.update(dict.fromkeys(heads))
                raise
        self._let_go()

    async def _block(self, head: _Head) -> Block:
        await self._clock.sleep(0)  # a block takes about a millisecond, and there may be hundreds
        series, resolution_s, begin = head
        if head in self._late:
            before = await self._store.blocks([series], resolution_s, begin, begin + 1)
            own = [_read(block) for block in before if block.writer == self._writer]
            self._heads[head] = joined([*own, self._heads[head]])
            self._late.discard(head)
        self._dirty.pop(head, None)  # from here on, whatever comes has to be written by the next flush
        columns = self._heads[head]
        return Block(series, resolution_s, begin, self._writer, tuple(sorted(columns)), encoded(columns))

    def _let_go(self) -> None:
        """Of blocks whose time is over, and a little more for what comes late."""
        spans = {resolution.seconds: resolution.block_s for resolution in RESOLUTIONS}
        for head in [head for head in self._heads if self._is_over(head[2], spans[head[1]]) and head not in self._dirty]:
            del self._heads[head]
        current = {head[0] for head in self._heads}
        self._last_at = {series: at for series, at in self._last_at.items() if series in current}

    def _is_over(self, begin: int, block_s: int) -> bool:
        """Whether a block is let go of once it is written."""
        self._latest = max(self._latest, self._clock.now())
        return begin + block_s + LATE_S < self._clock.now()

    def _may_have_been_let_go(self, begin: int, block_s: int) -> bool:
        """The clock may have been set back since."""
        return self._is_over(begin, block_s) or begin + block_s + LATE_S < self._latest

    async def _prune(self) -> None:
        now = self._clock.now()
        for resolution in RESOLUTIONS:
            await self._store.forget(resolution.seconds, now - resolution.kept_s - resolution.block_s)
        await self._store.forget_series(now - RESOLUTIONS[-1].kept_s)

    # --- reading ---

    async def points(
        self, series: Sequence[Series], names: Sequence[MetricName], resolution: Resolution, start: float, end: float
    ) -> dict[tuple[Series, MetricName], Points]:
        begin = int(start) // resolution.block_s * resolution.block_s
        stored = await self._store.blocks(series, resolution.seconds, begin, int(end) + 1)
        found: dict[tuple[Series, int], list[Columns]] = {}
        asked = set(names)
        for block in stored:
            head = block.series, block.resolution_s, block.begins_at
            if block.writer != self._writer or head not in self._heads or head in self._late:
                found.setdefault((block.series, block.begins_at), []).append(_read(block, asked))
        wanted = set(series)
        for (one, seconds, at), columns in self._heads.items():
            if one in wanted and seconds == resolution.seconds and begin <= at < end:
                found.setdefault((one, at), []).append({name: column for name, column in columns.items() if name in asked})
        made: dict[tuple[Series, MetricName], dict[int, Value]] = {}
        for (one, at), parts in sorted(found.items()):
            for name, column in joined(parts).items():
                points = made.setdefault((one, name), {})
                for time in sorted(column):
                    moment = at + time * resolution.seconds
                    if start <= moment < end:
                        points[moment] = column[time]
        return dict(made)

    async def listed(
        self, scope: Scope, namespace: str = "", since: float = 0.0, after: Series | None = None, limit: int | None = None
    ) -> list[ListedSeries]:
        await self.flush()
        return await self._store.listed(scope, namespace, since, after, limit)


def _read(block: Block, names: Set[MetricName] | None = None) -> Columns:
    try:
        return decoded(block.data, names)
    except Damaged as error:
        log.error("a block of metrics is damaged", series=str(block.series), begins_at=block.begins_at, why=str(error))
        return {}
