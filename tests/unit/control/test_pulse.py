"""Signs of life: what counts as silence, what does not, and when the group is woken."""

from __future__ import annotations

import asyncio
from typing import cast

from cachefleet.control.pulse import Pulse
from cachefleet.engine_interfaces import EngineDriver, Rendering
from cachefleet.model.observed import Activity, Address
from cachefleet.model.resource import Key, Kind
from cachefleet.settings import ControlSettings
from tests.fakes.clock import ManualClock
from tests.fakes.host import FakeHost, FakeMachine

KEY = Key(Kind.REPLICATION_GROUP, "0", "local-1", "demo")
NODE = "u1.demo-001.1"
INTERVAL_S = 0.25


class Engine:
    """answers: None: no connection."""

    def __init__(self) -> None:
        self.answers: bool | None = True

    def pulse(self, at: Address) -> bool | None:
        return self.answers


class Stage:
    def __init__(self) -> None:
        self.machine, self.engine, self.clock = FakeMachine(), Engine(), ManualClock()
        self.machine.launch(NODE, Rendering(argv=("engine",)))
        self.woken: list[Key] = []
        self.interrupted: list[Key] = []
        host = FakeHost(self.machine)
        self.pulse = Pulse(self.clock, host, ControlSettings(), self.woken.append, self.interrupted.append)
        self.watch()
        self.act(Activity())

    def watch(self, key: Key = KEY) -> None:
        self.pulse.watch("u1", key, {NODE: (cast(EngineDriver, self.engine), Address("127.41.0.1", 6379))})

    def act(self, activity: Activity) -> None:
        self.machine.activities[NODE] = activity

    def beat(self, times: int = 1) -> None:
        for _ in range(times):
            self.pulse.beat(INTERVAL_S)


def test_whoever_waits_for_a_node_is_told_once_that_it_has_been_silent_for_too_long() -> None:
    stage = Stage()
    stage.engine.answers = False
    stage.beat(3)
    assert stage.interrupted == []
    stage.beat(5)
    assert stage.interrupted == [KEY]


def test_one_late_answer_is_no_silence() -> None:
    stage = Stage()
    stage.engine.answers = False
    stage.beat()
    assert stage.pulse.silence("u1", NODE) is None
    assert stage.woken == []
    stage.engine.answers = True
    stage.beat()
    stage.engine.answers = False
    stage.beat()
    assert stage.pulse.silence("u1", NODE) is None, "counted from the last answer on"


def test_silence_is_measured_and_wakes_the_group_at_every_beat_and_at_its_end() -> None:
    stage = Stage()
    stage.engine.answers = False
    stage.beat(4)
    silence = stage.pulse.silence("u1", NODE)
    assert silence is not None
    assert silence.seconds == 1.0
    assert stage.woken == [KEY] * 3
    stage.engine.answers = True
    stage.beat()
    assert stage.pulse.silence("u1", NODE) is None
    assert stage.woken == [KEY] * 4
    stage.beat()
    assert stage.woken == [KEY] * 4


def test_a_node_without_a_connection_is_silent_but_owes_no_answer() -> None:
    stage = Stage()
    stage.engine.answers = None
    stage.beat(3)
    assert stage.pulse.silence("u1", NODE) is not None
    assert stage.pulse.owes_answer_s("u1", NODE) == 0
    stage.engine.answers = False
    stage.beat()
    silence = stage.pulse.silence("u1", NODE)
    assert silence is not None and stage.pulse.owes_answer_s("u1", NODE) == silence.seconds > 0


def test_what_the_process_does_meanwhile_is_told() -> None:
    stage = Stage()
    stage.act(Activity(cpu_s=100.0))
    stage.engine.answers = False
    stage.beat(4)
    idle = stage.pulse.silence("u1", NODE)
    stage.act(Activity(cpu_s=100.3))
    worked = stage.pulse.silence("u1", NODE)
    stage.act(Activity(stopped=True, cpu_s=100.0))
    stopped = stage.pulse.silence("u1", NODE)
    assert idle is not None and worked is not None and stopped is not None
    assert (idle.busy, idle.stopped) == (False, False)
    assert worked.busy
    assert stopped.stopped


def test_saying_only_that_one_is_busy_is_measured_until_it_ends() -> None:
    stage = Stage()
    first = stage.pulse.busy("u1", NODE, True)
    stage.clock.pass_time(7.0)
    later = stage.pulse.busy("u1", NODE, True)
    assert first is not None and later is not None
    assert (first.seconds, later.seconds, later.busy) == (0.0, 7.0, True)
    assert stage.pulse.busy("u1", NODE, False) is None
    again = stage.pulse.busy("u1", NODE, True)
    assert again is not None
    assert again.seconds == 0.0


def test_our_own_stall_is_nobody_s_silence() -> None:
    async def test() -> None:
        stage = Stage()
        running = asyncio.create_task(stage.pulse.run())
        stage.engine.answers = False
        await stage.clock.advance(INTERVAL_S)
        stage.clock.pass_time(20.0)  # nobody of us ran for so long
        await stage.clock.advance(INTERVAL_S)
        silence = stage.pulse.silence("u1", NODE)
        assert silence is not None
        assert silence.seconds <= 4 * INTERVAL_S
        running.cancel()

    asyncio.run(test())


def test_a_group_that_became_another_kind_of_row_is_woken_by_its_new_key() -> None:
    stage = Stage()
    stage.engine.answers = False
    stage.beat(2)
    other = Key(Kind.CACHE_CLUSTER, "0", "local-1", "demo-001")
    stage.watch(other)
    stage.beat()
    assert stage.woken == [KEY, other]
    stage.pulse.watch("u1", other, {})
    stage.beat()
    assert stage.pulse.silence("u1", NODE) is None
    assert stage.woken == [KEY, other]


def test_it_knows_since_when_it_has_been_looking_without_a_stall() -> None:
    async def look() -> None:
        stage = Stage()
        assert stage.pulse.watched_s() == 0
        running = asyncio.create_task(stage.pulse.run())
        for _ in range(8):
            await stage.clock.advance(INTERVAL_S)
        assert stage.pulse.watched_s() == 8 * INTERVAL_S
        stage.clock.pass_time(3.0)
        assert stage.pulse.watched_s() == 0, "nobody looked for three seconds"
        for _ in range(3):
            await stage.clock.advance(INTERVAL_S)
        assert 0 < stage.pulse.watched_s() <= 3 * INTERVAL_S
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(look())
