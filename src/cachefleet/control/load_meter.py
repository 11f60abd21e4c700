"""What slots cost within a sample: two looks at the counters of every primary, some seconds apart, and the difference; and how
much processor time the engines spent besides, on connections and the like.

Only while the group's memory has a measurement under way; switches nothing on or off and decides nothing. A sample that our own
end, or a node's, cuts short begins anew. Called by the observer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping

import msgspec

from cachefleet.clock import Clock
from cachefleet.engine_interfaces import ClusterDriver, EngineRefused
from cachefleet.interfaces import Host
from cachefleet.model.observed import Address, SlotLoad
from cachefleet.settings import ControlSettings

Counters = dict[int, SlotLoad]
MOST_AT_ONCE = 4  # nodes; an answer has thousands of lines
PATIENCE = 6  # times that with a probe: it takes an engine, and us, as much longer to tell and to read


class Reading(msgspec.Struct, frozen=True):
    """counting: whether each incarnation counts; those that did not answer are left out. loads: what every slot of all of them
    cost, None while that is not known; beside_us: processor time of all of them in that sample that no command took."""

    counting: dict[str, bool] = {}
    loads: Counters | None = None
    beside_us: float = 0.0


class _Sample(msgspec.Struct):
    begun_at: float  # monotonic
    counters: dict[str, Counters]  # by incarnation
    spent_s: float  # processor time that they had used by then


class LoadMeter:
    """Groups by uid."""

    def __init__(self, clock: Clock, driver: ClusterDriver, host: Host, rules: ControlSettings) -> None:
        self._clock, self._driver, self._host = clock, driver, host
        self._sample_s, self._timeout_s = rules.load_sample_s, PATIENCE * rules.probe_timeout_s
        self._samples: dict[str, _Sample] = {}

    async def counting(self, uid: str, nodes: Mapping[str, Address]) -> Reading:
        """Which of these incarnations count; a measurement that was under way is dropped."""
        self._samples.pop(uid, None)
        return Reading(_counting(await self._look(nodes)))

    def forget(self, uid: str) -> None:
        self._samples.pop(uid, None)

    async def measure(self, uid: str, nodes: Mapping[str, Address], silent: Collection[str] = ()) -> Reading:
        """One step. nodes: the incarnations of all primaries, which own all slots between them; silent: of whom no answer is to
        be expected."""
        sample = self._samples.get(uid)
        now = self._clock.monotonic()
        if sample is not None and set(sample.counters) == set(nodes) and now - sample.begun_at < self._sample_s:
            return Reading(dict.fromkeys(nodes, True))
        counters = await self._look({name: at for name, at in nodes.items() if name not in silent})
        counting = _counting(counters)
        if counting != dict.fromkeys(nodes, True):
            self._samples.pop(uid, None)
            return Reading(counting)
        loads = _difference(sample.counters, counters) if sample is not None else None
        if loads is None:
            self._samples[uid] = _Sample(self._clock.monotonic(), counters, self._spent_s(counters))
            return Reading(counting)
        spent_us = 1e6 * (self._spent_s(counters) - self._samples.pop(uid).spent_s)
        return Reading(counting, loads, max(0.0, spent_us - sum(load.cpu_us for load in loads.values())))

    def _spent_s(self, incarnations: Iterable[str]) -> float:
        return sum(activity.cpu_s for name in incarnations if (activity := self._host.activity(name)) is not None)

    async def _look(self, nodes: Mapping[str, Address]) -> dict[str, Counters]:
        """Those that do not answer in time are left out."""
        turns = asyncio.Semaphore(MOST_AT_ONCE)

        async def ask(at: Address) -> Counters | None:
            async with turns:
                try:
                    async with asyncio.timeout(self._timeout_s):
                        return await self._driver.slot_loads(at)
                except (EngineRefused, TimeoutError):
                    return None

        found = zip(nodes, await asyncio.gather(*map(ask, nodes.values())), strict=True)
        return {incarnation: counters for incarnation, counters in found if counters is not None}


def _counting(counters: Mapping[str, Counters]) -> dict[str, bool]:
    """An engine that counts tells the processor time of every slot that it owns."""
    return {name: any(load.cpu_us >= 0 for load in slots.values()) for name, slots in counters.items()}


def _difference(before: Mapping[str, Counters], after: Mapping[str, Counters]) -> Counters | None:
    """None when slots changed hands in between, or somebody has set counters back."""
    if {name: set(slots) for name, slots in before.items()} != {name: set(slots) for name, slots in after.items()}:
        return None
    loads: Counters = {}
    for name, slots in after.items():
        for slot, now in slots.items():
            then = before[name][slot]
            spent = SlotLoad(
                keys=now.keys,
                cpu_us=now.cpu_us - then.cpu_us,
                in_bytes=now.in_bytes - then.in_bytes,
                out_bytes=now.out_bytes - then.out_bytes,
            )
            if min(spent.cpu_us, spent.in_bytes, spent.out_bytes) < 0:
                return None
            loads[slot] = spent
    return loads
