"""Two control planes on one folder of this machine, one of which may act: the other does nothing, and finds everything anew
when its turn comes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from cachefleet.clock import SystemClock
from cachefleet.engine_interfaces import Rendering
from cachefleet.hosts import LocalHost
from cachefleet.interfaces import Deposed, HostRefused
from cachefleet.settings import HostSettings
from tests.fixtures.machine import data_folder, seen
from tests.fixtures.machine_guard import dwellers

SLEEPER = Rendering(argv=("/bin/sleep", "600"), files={"nodes.json": b"old"})
PARENT = Rendering(argv=("/bin/sh", "-c", "sleep 600 & wait"))


class Turn:
    """Whose turn it is. after: how many more questions are answered with yes."""

    def __init__(self) -> None:
        self.after: int | None = None

    def __call__(self) -> None:
        if self.after is None:
            return
        if self.after <= 0:
            raise Deposed("it is another one's turn")
        self.after -= 1


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with data_folder() as folder:
        yield folder


def play(data_dir: Path, scenario: Callable[[LocalHost, Turn, LocalHost, Turn], Coroutine[Any, Any, None]]) -> None:
    """`one` begins with permission to act, `other` without."""

    async def life() -> None:
        turns = Turn(), Turn()
        turns[1].after = 0
        settings = HostSettings(spread="never")
        one, other = (LocalHost(data_dir, settings, SystemClock(), permit=turn) for turn in turns)
        await one.adopt()
        await other.adopt()
        try:
            await scenario(one, turns[0], other, turns[1])
            turns[0].after = turns[1].after = None
            await other.adopt()
            await other.stop_everything()
        finally:
            await one.close()
            await other.close()

    asyncio.run(life())
    assert dwellers(data_dir) == []


def test_both_have_the_same_network(data_dir: Path) -> None:
    async def scenario(one: LocalHost, my_turn: Turn, other: LocalHost, its_turn: Turn) -> None:
        assert one.network == other.network

    play(data_dir, scenario)


def test_without_permission_nothing_is_done(data_dir: Path) -> None:
    async def scenario(one: LocalHost, my_turn: Turn, other: LocalHost, its_turn: Turn) -> None:
        await one.start("u.n.1", SLEEPER)
        await one.start("u.n.2", SLEEPER)
        await one.stop("u.n.2", kill=True)
        await other.adopt()
        (pid,) = dwellers(data_dir)
        with pytest.raises(HostRefused, match="another one's turn"):
            await other.start("u.n.3", SLEEPER)
        with pytest.raises(Deposed):
            await other.stop("u.n.1", kill=True)
        with pytest.raises(Deposed):
            await other.write("u.n.1", "nodes.json", b"new")
        with pytest.raises(Deposed):
            await other.erase("u.n.2")
        assert dwellers(data_dir) == [pid]
        assert {path.name for path in (data_dir / "nodes").iterdir()} == {"u.n.1", "u.n.2"}
        assert (data_dir / "nodes" / "u.n.1" / "nodes.json").read_bytes() == b"old"

    play(data_dir, scenario)


def test_permission_lost_between_folder_and_birth_means_no_birth(data_dir: Path) -> None:
    """A control plane that was frozen there must not start what its successor knows nothing of."""

    async def scenario(one: LocalHost, my_turn: Turn, other: LocalHost, its_turn: Turn) -> None:
        my_turn.after = 1
        with pytest.raises(HostRefused, match="another one's turn"):
            await one.start("u.n.1", SLEEPER)
        assert my_turn.after == 0
        assert (data_dir / "nodes" / "u.n.1").is_dir()
        assert dwellers(data_dir) == []
        its_turn.after = None
        await other.adopt()
        view = other.inspect("u")["u.n.1"]
        assert (view.running, view.exit) == (False, "")
        await other.start("u.n.2", SLEEPER)
        await other.erase("u.n.1")
        my_turn.after = None
        await one.adopt()
        assert {name: view.running for name, view in one.inspect("u").items()} == {"u.n.2": True}

    play(data_dir, scenario)


def test_a_second_adoption_finds_what_the_other_did_and_forgets_what_it_erased(data_dir: Path) -> None:
    async def scenario(one: LocalHost, my_turn: Turn, other: LocalHost, its_turn: Turn) -> None:
        await one.start("u1.n.1", SLEEPER)
        await one.start("u1.n.2", SLEEPER)
        await other.adopt()
        its_turn.after = None
        await other.stop("u1.n.1", kill=True)
        await other.erase("u1.n.1")
        await other.start("u2.n.1", SLEEPER)
        assert one.uids() == {"u1"}
        told: list[str] = []
        one.on_exit(told.append)
        await one.adopt()
        assert one.uids() == {"u1", "u2"}
        assert {name for uid in one.uids() for name in one.inspect(uid)} == {"u1.n.2", "u2.n.1"}
        assert one.inspect("u2")["u2.n.1"].pid == other.inspect("u2")["u2.n.1"].pid
        await seen(lambda: not other.inspect("u1").get("u1.n.1"))
        os.kill(one.inspect("u2")["u2.n.1"].pid, signal.SIGKILL)
        await seen(lambda: told[-1:] == ["u2"])
        assert told.count("u2") == 1, "adopting twice is not watching twice"
        await one.adopt()
        assert one.inspect("u2")["u2.n.1"].running is False

    play(data_dir, scenario)


def test_addresses_are_to_be_kept_anew_after_an_adoption(data_dir: Path) -> None:
    async def scenario(one: LocalHost, my_turn: Turn, other: LocalHost, its_turn: Turn) -> None:
        mine = one.offer("u1", {"a": 2})["a"]
        its_turn.after = None
        await other.adopt()
        taken = other.offer("u2", {"a": 2})["a"]
        other.keep("u2", taken)
        await one.adopt()
        one.keep("u2", taken)
        assert not set(taken) & set(one.offer("u1", {"a": 2})["a"])
        assert mine == taken, "what was only offered was nobody's"

    play(data_dir, scenario)


def test_one_that_may_not_act_ends_no_stray(data_dir: Path) -> None:
    """What it takes for one may be a process that the other is just about to start."""

    async def scenario(one: LocalHost, my_turn: Turn, other: LocalHost, its_turn: Turn) -> None:
        await one.start("u.n.1", PARENT)
        await seen(lambda: len(dwellers(data_dir)) == 2)
        my_turn.after = 0
        await one.close()  # so that it does not clear up behind the one that dies
        os.kill(next(pid for pid in dwellers(data_dir) if os.getsid(pid) == pid), signal.SIGKILL)
        await seen(lambda: len(dwellers(data_dir)) == 1)
        await other.adopt()
        assert len(dwellers(data_dir)) == 1
        its_turn.after = None
        await other.adopt()
        assert dwellers(data_dir) == []

    play(data_dir, scenario)
