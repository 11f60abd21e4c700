"""The control plane is killed: the next one finds everything, by what the kernel says, and nothing that is not its own."""

from __future__ import annotations

import asyncio
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from cachefleet.clock import SystemClock
from cachefleet.engine_interfaces import Rendering
from cachefleet.hosts import LocalHost
from cachefleet.settings import HostSettings
from tests.fixtures.machine import data_folder, seen, wait_for
from tests.fixtures.machine_guard import dwellers

OWNER = Path(__file__).with_name("host_owner.py")
PARENT = Rendering(argv=("/bin/sh", "-c", "sleep 600 & wait"))  # as an engine that saves in a child


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with data_folder() as folder:
        yield folder


def play(data_dir: Path, scenario: Callable[[LocalHost], Coroutine[Any, Any, None]]) -> None:
    async def life() -> None:
        host = LocalHost(data_dir, HostSettings(spread="never"), SystemClock())
        await host.adopt()
        try:
            await scenario(host)
        finally:
            await host.close()

    asyncio.run(life())


def owner(data_dir: Path, engines: int, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(OWNER), str(data_dir), str(engines), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(OWNER.parents[2] / "src")},
    )


def kill(process: subprocess.Popen[str]) -> list[str]:
    """What it said before."""
    process.kill()
    said, _ = process.communicate(timeout=30)
    return said.split()


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout
    return [process.stdout.readline().strip() for _ in range(count)]


def leader(pids: list[int]) -> int:
    return next(pid for pid in pids if os.getsid(pid) == pid)


def test_all_are_adopted_and_still_watched(data_dir: Path) -> None:
    first = owner(data_dir, 5)
    started = set(lines(first, 6)) - {"ready"}
    kill(first)

    async def scenario(host: LocalHost) -> None:
        views = {name: view for uid in host.uids() for name, view in host.inspect(uid).items()}
        assert set(views) == started
        assert all(view.running for view in views.values())
        assert {view.pid for view in views.values()} <= set(dwellers(data_dir))
        told: list[str] = []
        host.on_exit(told.append)
        os.kill(views["u1.n1.1"].pid, signal.SIGKILL)
        await seen(lambda: told == ["u1"])
        ended = host.inspect("u1")["u1.n1.1"]
        assert (ended.running, ended.exit) == (
            False,
            "exit status unknown: the process was started by an earlier control plane",
        )
        assert await host.stop_everything() == 4
        await host.stop("u1.n1.1", kill=True)
        for name in views:
            await host.erase(name)
        assert host.uids() == set()

    play(data_dir, scenario)
    assert dwellers(data_dir) == []
    assert list((data_dir / "nodes").iterdir()) == []


def test_death_between_folder_and_process_leaves_an_ended_incarnation(data_dir: Path) -> None:
    first = owner(data_dir, 1, "die")
    assert first.wait(30) == -signal.SIGKILL
    kill(first)
    assert (data_dir / "nodes" / "u0.n0.1" / "engine.conf").exists()

    async def scenario(host: LocalHost) -> None:
        view = host.inspect("u0")["u0.n0.1"]
        assert (view.running, view.exit, view.log_tail) == (False, "", "")
        await host.erase("u0.n0.1")
        assert host.uids() == set()

    play(data_dir, scenario)


def test_death_at_any_moment_of_many_starts_loses_nothing(data_dir: Path) -> None:
    """Killed after none, one, ... of 20 concurrent starts had been told."""
    for told in (0, 1, 4, 9, 15, 19):
        first = owner(data_dir, 20)
        if told:
            lines(first, told)
        else:
            wait_for((data_dir / "nodes").exists)
        kill(first)

        async def scenario(host: LocalHost) -> None:
            views = {name: view for uid in host.uids() for name, view in host.inspect(uid).items()}
            running = {view.pid for view in views.values() if view.running}
            assert {pid for pid in dwellers(data_dir) if os.getsid(pid) == pid} == running
            assert {path.name for path in (data_dir / "nodes").iterdir()} == set(views)
            assert await host.stop_everything() == len(running)
            await asyncio.gather(*(host.erase(name) for name in views))

        play(data_dir, scenario)
        assert dwellers(data_dir) == []
        assert list((data_dir / "nodes").iterdir()) == []


def test_a_child_is_not_taken_for_the_process_itself(data_dir: Path) -> None:
    async def before(host: LocalHost) -> None:
        await host.start("u.n.1", PARENT)
        await seen(lambda: len(dwellers(data_dir)) == 2)

    async def after(host: LocalHost) -> None:
        assert host.inspect("u")["u.n.1"].pid == leader(dwellers(data_dir))
        await host.stop("u.n.1", kill=True)
        assert dwellers(data_dir) == []

    play(data_dir, before)
    play(data_dir, after)


def test_a_child_that_outlived_its_process_is_ended(data_dir: Path) -> None:
    """The process ended while nobody watched: its incarnation has ended, and what it left behind goes."""

    async def before(host: LocalHost) -> None:
        await host.start("u.n.1", PARENT)
        await seen(lambda: len(dwellers(data_dir)) == 2)

    async def after(host: LocalHost) -> None:
        assert host.inspect("u")["u.n.1"].running is False
        assert dwellers(data_dir) == []

    play(data_dir, before)
    os.kill(leader(dwellers(data_dir)), signal.SIGKILL)
    wait_for(lambda: len(dwellers(data_dir)) == 1)
    play(data_dir, after)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs to become another user")
def test_a_process_that_became_another_user_is_found(data_dir: Path) -> None:
    async def before(host: LocalHost) -> None:
        engine = Rendering(argv=(str(shutil.which("setpriv")), "--reuid=65534", "--clear-groups", "/bin/sleep", "600"))
        await host.start("u.n.1", engine)
        process = Path(f"/proc/{host.inspect('u')['u.n.1'].pid}")
        await seen(lambda: process.stat().st_uid == 65534)

    async def after(host: LocalHost) -> None:
        assert host.inspect("u")["u.n.1"].running
        await host.stop("u.n.1", kill=False)
        assert dwellers(data_dir) == []

    play(data_dir, before)
    play(data_dir, after)


def test_a_process_whose_folder_was_removed_is_found(data_dir: Path) -> None:
    async def before(host: LocalHost) -> None:
        await host.start("u.n.1", Rendering(argv=("/bin/sleep", "600")))

    async def after(host: LocalHost) -> None:
        assert host.inspect("u")["u.n.1"].running
        await host.stop("u.n.1", kill=True)
        await host.erase("u.n.1")
        assert host.uids() == set()

    play(data_dir, before)
    shutil.rmtree(data_dir / "nodes" / "u.n.1")
    play(data_dir, after)
    assert dwellers(data_dir) == []


def test_an_operators_shell_in_a_folder_is_left_alone(data_dir: Path) -> None:
    """It has a terminal. Neither adopted as the engine nor ended with it."""

    async def scenario(host: LocalHost) -> None:
        assert host.inspect("u")["u.n.1"].running is False
        await host.start("u.n.2", PARENT)
        await host.stop("u.n.2", kill=True)
        await host.erase("u.n.1")

    folder = data_dir / "nodes" / "u.n.1"
    folder.mkdir(parents=True)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execv("/bin/sleep", ["sleep", "600"])
    try:
        wait_for(lambda: pid in dwellers(data_dir))
        play(data_dir, scenario)
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def test_other_installations_and_their_parents_folders_are_not_ours(data_dir: Path) -> None:
    """A folder within ours, our own, one of a similar name, a file system's own: none of these is an incarnation's."""

    async def scenario(host: LocalHost) -> None:
        assert host.uids() == set()

    nodes = data_dir / "nodes"
    places = [data_dir, nodes, nodes / "u.n.1" / "deeper", data_dir / "nodes2" / "u.n.1", nodes / "lost+found", nodes / ".x.1"]
    strangers = []
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        strangers.append(subprocess.Popen(["/bin/sleep", "600"], cwd=place, start_new_session=True))
    try:
        shutil.rmtree(nodes / "u.n.1")
        play(data_dir, scenario)
        assert [stranger.poll() for stranger in strangers] == [None] * len(places)
    finally:
        for stranger in strangers:
            stranger.kill()
            stranger.wait()
