"""What slots cost is the difference of two looks at the same owners; whatever comes in between begins the sample anew."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from cachefleet.control.load_meter import LoadMeter, Reading
from cachefleet.engine_interfaces import ClusterDriver, EngineRefused
from cachefleet.interfaces import Host
from cachefleet.model.observed import Activity, Address, SlotLoad
from cachefleet.settings import ControlSettings
from tests.fakes.clock import ManualClock

ONE, TWO = Address("127.41.0.1", 6379), Address("127.41.0.2", 6379)
NODES = {"u.one.1": ONE, "u.two.1": TWO}


class Counters:
    """Of two engines. on: who counts."""

    def __init__(self) -> None:
        self.on = {ONE, TWO}
        self.silent: set[Address] = set()
        self.cpu_us = {0: 10, 1: 20, 2: 30}
        self.owners = {0: ONE, 1: ONE, 2: TWO}
        self.asked = 0
        self.cpu_s = {"u.one.1": 1.0, "u.two.1": 2.0}  # of the processes

    async def slot_loads(self, at: Address) -> dict[int, SlotLoad]:
        self.asked += 1
        if at in self.silent:
            raise EngineRefused("it does not answer")
        counts = at in self.on
        return {
            slot: SlotLoad(7, self.cpu_us[slot], 2 * self.cpu_us[slot], 3 * self.cpu_us[slot]) if counts else SlotLoad(7)
            for slot, owner in self.owners.items()
            if owner == at
        }

    def activity(self, incarnation: str) -> Activity | None:
        return Activity(cpu_s=self.cpu_s[incarnation]) if incarnation in self.cpu_s else None


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.engines = Counters()
        rules = ControlSettings(load_sample_s=5.0)
        engines: Any = self.engines
        self.meter = LoadMeter(self.clock, cast(ClusterDriver, engines), cast(Host, engines), rules)

    def measure(self, *silent: str, **nodes: Address) -> Reading:
        return asyncio.run(self.meter.measure("u", nodes or NODES, silent))

    def work(self, seconds: float, **more_us: int) -> None:
        self.clock.pass_time(seconds)
        for slot, spent_us in more_us.items():
            self.engines.cpu_us[int(slot[1:])] += spent_us


BOTH = dict.fromkeys(NODES, True)


def test_a_sample() -> None:
    bench = Bench()
    assert bench.measure() == Reading(BOTH)
    bench.work(4.0, s0=100)
    assert bench.measure() == Reading(BOTH)
    assert bench.engines.asked == 2  # nobody is asked in between
    bench.work(1.0, s2=50)
    assert bench.measure() == Reading(
        BOTH, {0: SlotLoad(7, 100, 200, 300), 1: SlotLoad(7, 0, 0, 0), 2: SlotLoad(7, 50, 100, 150)}
    )
    bench.work(5.0)
    assert bench.measure() == Reading(BOTH)  # the next one


def test_all_have_to_count_before_it_begins() -> None:
    bench = Bench()
    bench.engines.on = {ONE}
    assert bench.measure() == Reading({"u.one.1": True, "u.two.1": False})
    bench.work(6.0)
    bench.engines.on = {ONE, TWO}
    assert bench.measure() == Reading(BOTH)
    bench.work(5.0)
    assert bench.measure().loads is not None


def test_one_that_does_not_answer_is_not_known() -> None:
    bench = Bench()
    bench.engines.silent = {TWO}
    assert bench.measure() == Reading({"u.one.1": True})
    bench.engines.silent = set()
    bench.measure()
    bench.work(5.0)
    bench.engines.silent = {ONE}
    assert bench.measure() == Reading({"u.two.1": True})
    bench.engines.silent = set()
    bench.work(5.0)
    assert bench.measure().loads is None
    bench.work(5.0)
    assert bench.measure().loads is not None


def test_one_that_is_silent_is_not_asked_and_loses_no_sample_that_is_under_way() -> None:
    bench = Bench()
    bench.measure()
    bench.work(4.0)
    assert bench.measure("u.two.1") == Reading(BOTH)
    bench.work(1.0)
    assert bench.measure().loads is not None
    asked = bench.engines.asked
    assert bench.measure("u.two.1") == Reading({"u.one.1": True})
    assert bench.engines.asked == asked + 1


def test_slots_that_change_hands_and_counters_that_are_set_back() -> None:
    bench = Bench()
    bench.measure()
    bench.work(5.0)
    bench.engines.owners[1] = TWO
    assert bench.measure() == Reading(BOTH)
    bench.work(5.0, s1=-5)
    assert bench.measure() == Reading(BOTH)
    bench.work(5.0, s1=1)
    loads = bench.measure().loads
    assert loads is not None and loads[1].cpu_us == 1


def test_another_primary() -> None:
    bench = Bench()
    bench.measure()
    bench.work(5.0)
    again = {"u.one.2": ONE, "u.two.1": TWO}
    assert bench.measure(**again) == Reading(dict.fromkeys(again, True))
    bench.work(5.0)
    assert bench.measure(**again).loads is not None


def test_who_counts_and_what_is_forgotten() -> None:
    bench = Bench()
    bench.measure()
    bench.engines.on = {ONE}
    bench.engines.silent = set()
    assert asyncio.run(bench.meter.counting("u", NODES)) == Reading({"u.one.1": True, "u.two.1": False})
    bench.engines.on = {ONE, TWO}
    bench.work(5.0)
    assert bench.measure().loads is None
    bench.meter.forget("u")
    bench.work(5.0)
    assert bench.measure().loads is None


def test_what_no_command_took() -> None:
    bench = Bench()
    bench.measure()
    bench.work(5.0, s0=100_000)
    bench.engines.cpu_s = {"u.one.1": 1.25, "u.two.1": 2.5}
    assert bench.measure().beside_us == 650_000.0
    bench.measure()
    bench.work(5.0, s0=100_000)
    bench.engines.cpu_s = {"u.one.1": 1.25}  # one has ended
    assert bench.measure().beside_us == 0.0
