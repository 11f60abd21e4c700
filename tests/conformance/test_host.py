"""What every host must do, over the one in memory and this machine."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import pytest

from cachefleet.clock import SystemClock
from cachefleet.engine_interfaces import Rendering
from cachefleet.hosts import LocalHost
from cachefleet.hosts.zones_out import FILE_NAME, declare
from cachefleet.interfaces import Host, HostRefused, NoAddresses
from cachefleet.model.observed import Activity
from cachefleet.settings import HostSettings
from tests.fakes.host import FakeHost, FakeMachine
from tests.fixtures.machine import data_folder, seen

ENGINE = Rendering(argv=("/bin/sh", "-c", "echo ready; exec sleep 600"), files={"engine.conf": b"port 1\n"})
Scenario = Callable[[Host], Coroutine[Any, Any, None]]


class Stand(Protocol):
    """One kind of host, and a hand from outside."""

    def open(self) -> Host:
        """A new control plane's host on the same machine."""

    def content(self, incarnation: str, name: str) -> bytes | None: ...

    def broken(self) -> Rendering:
        """What cannot be started from now on."""

    def kill(self, host: Host, incarnation: str) -> None: ...

    def freeze(self, host: Host, incarnation: str) -> None: ...

    def thaw(self, host: Host, incarnation: str) -> None: ...

    def lose(self, zones: set[str]) -> None: ...


class FakeStand:
    def __init__(self) -> None:
        self.machine = FakeMachine()

    def open(self) -> Host:
        return FakeHost(self.machine)

    def content(self, incarnation: str, name: str) -> bytes | None:
        return self.machine.files.get(incarnation, {}).get(name)

    def broken(self) -> Rendering:
        self.machine.refusing = "no such file"
        return ENGINE

    def kill(self, host: Host, incarnation: str) -> None:
        self.machine.end(incarnation)

    def freeze(self, host: Host, incarnation: str) -> None:
        self.machine.activities[incarnation] = Activity(stopped=True)

    def thaw(self, host: Host, incarnation: str) -> None:
        del self.machine.activities[incarnation]

    def lose(self, zones: set[str]) -> None:
        self.machine.zones_out = frozenset(zones)


class LocalStand:
    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def open(self) -> Host:
        return LocalHost(self.data_dir, HostSettings(), SystemClock())

    def content(self, incarnation: str, name: str) -> bytes | None:
        file = self.data_dir / "nodes" / incarnation / name
        return file.read_bytes() if file.exists() else None

    def broken(self) -> Rendering:
        return Rendering(argv=("/nowhere/engine",))

    def kill(self, host: Host, incarnation: str) -> None:
        self._send(signal.SIGKILL, host, incarnation)

    def freeze(self, host: Host, incarnation: str) -> None:
        self._send(signal.SIGSTOP, host, incarnation)

    def thaw(self, host: Host, incarnation: str) -> None:
        self._send(signal.SIGCONT, host, incarnation)

    def lose(self, zones: set[str]) -> None:
        for letter in "abc":
            declare(self.data_dir / FILE_NAME, letter, out=letter in zones)

    def _send(self, number: signal.Signals, host: Host, incarnation: str) -> None:
        os.kill(host.inspect(incarnation.partition(".")[0])[incarnation].pid, number)


@pytest.fixture(params=["fake", "local"])
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    if request.param == "fake":
        yield FakeStand()
    else:
        with data_folder() as folder:
            yield LocalStand(folder)


def play(stand: Stand, scenario: Scenario) -> None:
    """One life of a control plane."""

    async def life() -> None:
        host = stand.open()
        await host.adopt()
        try:
            await scenario(host)
        finally:
            await host.close()

    asyncio.run(life())


def running(host: Host, incarnation: str) -> bool:
    return host.inspect(incarnation.partition(".")[0])[incarnation].running


def test_a_started_process_is_shown(stand: Stand) -> None:
    async def scenario(host: Host) -> None:
        await host.start("u1.demo-001.1", ENGINE)
        view = host.inspect("u1")["u1.demo-001.1"]
        assert (view.incarnation, view.running, view.exit, view.log_tail) == ("u1.demo-001.1", True, "", "")
        assert view.pid > 0
        assert stand.content("u1.demo-001.1", "engine.conf") == b"port 1\n"
        assert host.uids() == {"u1"}
        assert host.inspect("u2") == {}

    play(stand, scenario)


def test_start_is_idempotent_even_at_the_same_time(stand: Stand) -> None:
    async def scenario(host: Host) -> None:
        await asyncio.gather(*(host.start("u1.n.1", ENGINE) for _ in range(5)))
        pid = host.inspect("u1")["u1.n.1"].pid
        await host.start("u1.n.1", ENGINE)
        assert host.inspect("u1")["u1.n.1"].pid == pid

    play(stand, scenario)


def test_one_that_ended_is_not_started_again(stand: Stand) -> None:
    async def scenario(host: Host) -> None:
        await host.start("u1.n.1", ENGINE)
        await host.stop("u1.n.1", kill=True)
        await host.start("u1.n.1", ENGINE)
        assert host.inspect("u1")["u1.n.1"].running is False
        assert host.inspect("u1")["u1.n.1"].exit == "signal 9 (SIGKILL)"

    play(stand, scenario)


def test_what_cannot_be_started_is_refused_and_shown_as_ended(stand: Stand) -> None:
    async def scenario(host: Host) -> None:
        with pytest.raises(HostRefused, match=r"u1\.n\.1 could not be started"):
            await host.start("u1.n.1", stand.broken())
        view = host.inspect("u1")["u1.n.1"]
        assert not view.running
        assert "could not be started" in view.exit
        await host.erase("u1.n.1")
        assert host.inspect("u1") == {}

    play(stand, scenario)


def test_exits_are_told_with_the_uid(stand: Stand) -> None:
    async def scenario(host: Host) -> None:
        told: list[str] = []
        host.on_exit(told.append)
        host.on_exit(lambda uid: told.append(uid.upper()))
        await host.start("u1.mem.0001.3", ENGINE)
        stand.kill(host, "u1.mem.0001.3")
        await seen(lambda: len(told) == 2)
        assert told == ["u1", "U1"]
        assert host.inspect("u1")["u1.mem.0001.3"].exit == "signal 9 (SIGKILL)"

    play(stand, scenario)


def test_a_process_that_sleeps_is_frozen_thawed_and_ended(stand: Stand) -> None:
    async def scenario(host: Host) -> None:
        assert host.activity("u1.demo-001.1") is None
        await host.start("u1.demo-001.1", ENGINE)
        await seen(lambda: _asleep(host.activity("u1.demo-001.1")))
        stand.freeze(host, "u1.demo-001.1")
        await seen(lambda: (activity := host.activity("u1.demo-001.1")) is not None and activity.stopped and not activity.busy)
        stand.thaw(host, "u1.demo-001.1")
        await seen(lambda: _asleep(host.activity("u1.demo-001.1")))
        stand.freeze(host, "u1.demo-001.1")
        await host.stop("u1.demo-001.1", kill=True)
        assert host.activity("u1.demo-001.1") is None

    play(stand, scenario)


def _asleep(activity: Activity | None) -> bool:
    return activity is not None and not activity.stopped and not activity.busy


def test_what_a_process_of_an_earlier_control_plane_does_is_seen(stand: Stand) -> None:
    async def first(host: Host) -> None:
        await host.start("u1.demo-001.1", ENGINE)
        stand.freeze(host, "u1.demo-001.1")

    async def second(host: Host) -> None:
        await seen(lambda: (activity := host.activity("u1.demo-001.1")) is not None and activity.stopped)
        stand.kill(host, "u1.demo-001.1")
        await seen(lambda: host.activity("u1.demo-001.1") is None)

    play(stand, first)
    play(stand, second)


def test_zones_are_lost_and_come_back(stand: Stand) -> None:
    async def scenario(host: Host) -> None:
        assert host.zones_out() == frozenset()
        stand.lose({"a", "c"})
        assert host.zones_out() == {"a", "c"}
        stand.lose({"c"})
        assert host.zones_out() == {"c"}
        stand.lose(set())
        assert host.zones_out() == frozenset()

    play(stand, scenario)


def test_stopping_twice_or_the_unknown_is_no_error(stand: Stand) -> None:
    async def scenario(host: Host) -> None:
        await host.stop("u1.n.1", kill=True)
        await host.start("u1.n.1", ENGINE)
        await asyncio.gather(host.stop("u1.n.1", kill=False), host.stop("u1.n.1", kill=True))
        assert not running(host, "u1.n.1")
        await host.stop("u1.n.1", kill=False)

    play(stand, scenario)


def test_a_running_one_is_not_erased(stand: Stand) -> None:
    async def scenario(host: Host) -> None:
        await host.start("u1.n.1", ENGINE)
        with pytest.raises(HostRefused, match="still runs"):
            await host.erase("u1.n.1")
        assert running(host, "u1.n.1")
        await host.stop("u1.n.1", kill=True)
        await host.erase("u1.n.1")
        await host.erase("u1.n.1")
        assert host.uids() == set()
        assert stand.content("u1.n.1", "engine.conf") is None

    play(stand, scenario)


def test_files_are_replaced(stand: Stand) -> None:
    async def scenario(host: Host) -> None:
        await host.start("u1.n.1", ENGINE)
        await host.write("u1.n.1", "engine.conf", b"port 2\n")
        await host.write("u1.n.1", "nodes.txt", b"a")
        assert stand.content("u1.n.1", "engine.conf") == b"port 2\n"
        assert stand.content("u1.n.1", "nodes.txt") == b"a"
        assert host.folder("u1.n.1").endswith("/u1.n.1")
        with pytest.raises(HostRefused, match="cannot be written"):
            await host.write("u1.unknown.1", "file", b"")

    play(stand, scenario)


def test_the_next_control_plane_adopts_what_runs_and_what_ended(stand: Stand) -> None:
    pids: dict[str, int] = {}

    async def before(host: Host) -> None:
        for name in ("u1.a.1", "u1.b.1", "u2.c.d.1"):
            await host.start(name, ENGINE)
            pids[name] = host.inspect(name.partition(".")[0])[name].pid
        await host.stop("u1.b.1", kill=True)

    async def after(host: Host) -> None:
        assert host.uids() == {"u1", "u2"}
        assert {name: view.running for name, view in host.inspect("u1").items()} == {"u1.a.1": True, "u1.b.1": False}
        assert host.inspect("u1")["u1.a.1"].pid == pids["u1.a.1"]
        await host.start("u1.a.1", ENGINE)
        assert host.inspect("u1")["u1.a.1"].pid == pids["u1.a.1"]
        told: list[str] = []
        host.on_exit(told.append)
        stand.kill(host, "u2.c.d.1")
        await seen(lambda: told == ["u2"])
        await host.stop("u1.a.1", kill=False)
        assert not running(host, "u1.a.1")

    async def found() -> None:
        host = stand.open()
        assert sorted(await host.adopt()) == ["u1.a.1", "u1.b.1", "u2.c.d.1"]
        await host.close()

    play(stand, before)
    asyncio.run(found())
    play(stand, after)


def test_a_cancelled_start_is_still_known(stand: Stand) -> None:
    async def scenario(host: Host) -> None:
        task = asyncio.create_task(host.start("u1.n.1", ENGINE))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert running(host, "u1.n.1")
        await host.stop("u1.n.1", kill=True)
        assert not running(host, "u1.n.1")

    play(stand, scenario)


def test_offers_are_reserved_until_something_is_kept(stand: Stand) -> None:
    async def scenario(host: Host) -> None:
        first = host.offer("u1", {"a": 2, "": 1})
        other = host.offer("u2", {"a": 2})
        assert host.offer("u1", {"a": 3, "": 1})["a"][:2] == first["a"]
        assert not set(first["a"]) & set(other["a"])
        assert host.offer("u1", {"a": 1}) == {"a": first["a"][:1]}
        host.keep("u1", [*first["a"], *first[""]])
        assert not set(host.offer("u1", {"a": 2})["a"]) & {*first["a"], *other["a"]}
        host.keep("u1", [])
        with pytest.raises(NoAddresses, match="'x'"):
            host.offer("u1", {"x": 1})
        with pytest.raises(NoAddresses, match="used up"):
            host.offer("u1", {"b": 1_000_000})

    play(stand, scenario)


def test_released_addresses_come_round_late_even_after_a_restart(stand: Stand) -> None:
    given: list[str] = []

    async def before(host: Host) -> None:
        given.extend(host.offer("u1", {"b": 3})["b"])
        host.keep("u1", given)
        host.keep("u1", [])
        assert not set(host.offer("u2", {"b": 3})["b"]) & set(given)

    async def after(host: Host) -> None:
        assert not set(host.offer("u3", {"b": 3})["b"]) & set(given)

    play(stand, before)
    play(stand, after)


def test_spreading_is_replaced_removed_and_found_again(stand: Stand) -> None:
    async def before(host: Host) -> None:
        if not host.can_spread:
            with pytest.raises(HostRefused, match="cannot be spread"):
                await host.spread("127.9.0.1", 6379, ["127.9.64.1"])
            return
        await host.spread("127.9.0.1", 6379, ["127.9.64.1"])
        await asyncio.gather(*(host.spread(f"127.9.0.{number}", 6379, ["127.9.64.1", "127.9.64.2"]) for number in range(1, 6)))
        await host.spread("127.9.0.5", 6379, [])
        await host.spread("127.9.0.9", 6379, [])

    async def after(host: Host) -> None:
        rules = {(f"127.9.0.{number}", 6379): ("127.9.64.1", "127.9.64.2") for number in range(1, 5)}
        assert host.spreads() == (rules if host.can_spread else {})

    play(stand, before)
    play(stand, after)


def test_a_few_nodes_fit(stand: Stand) -> None:
    async def scenario(host: Host) -> None:
        assert host.refuses(0, 0) == ""

    play(stand, scenario)
