"""Processes that freeze, refuse to go, leave children behind or were never there; and what is left after all of them."""

from __future__ import annotations

import asyncio
import os
import pwd
import resource
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from cachefleet.clock import SystemClock
from cachefleet.engine_interfaces import Rendering
from cachefleet.hosts import LocalHost
from cachefleet.interfaces import HostRefused
from cachefleet.settings import HostSettings
from tests.fixtures.machine import data_folder, seen
from tests.fixtures.machine_guard import dwellers

SLEEP = Rendering(argv=("/bin/sleep", "600"))
POLITE = Rendering(argv=("/bin/sh", "-c", "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done"))
STUBBORN = Rendering(argv=("/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 600; done"))
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
Scenario = Callable[[LocalHost], Coroutine[Any, Any, None]]
Play = Callable[[Scenario], None]


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with data_folder() as folder:
        yield folder


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest, data_dir: Path) -> Play:
    """Runs a scenario over a host, in both event loops."""

    def play(scenario: Scenario) -> None:
        async def life() -> None:
            host = LocalHost(data_dir, HostSettings(spread="never"), SystemClock())
            await host.adopt()
            try:
                await scenario(host)
            finally:
                await host.close()

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(life())

    return play


def descriptors() -> set[int]:
    return {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}


def zombies() -> set[str]:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {child for child in children if ") Z " in Path(f"/proc/{child}/stat").read_text()}


def ended(host: LocalHost, incarnation: str) -> bool:
    return not host.inspect("u")[incarnation].running


@contextmanager
def stranger(pid: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process of someone else's, with this pid if nobody else gets it first."""
    LAST_PID.write_text(str(pid - 1))
    with subprocess.Popen(["/bin/sleep", "600"], start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def modes(folder: Path) -> tuple[int, set[int]]:
    """Of the folder and of its files."""
    return stat.S_IMODE(folder.stat().st_mode), {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


def owned(path: Path) -> tuple[int, int] | None:
    """By whom, and for whom."""
    return (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) if path.exists() else None


def links(pid: int) -> dict[int, str]:
    return {int(entry.name): str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}


def output(host: LocalHost, incarnation: str) -> str:
    return (Path(host.folder(incarnation)) / "output.log").read_text()


@pytest.mark.parametrize("kill", [True, False])
def test_a_frozen_process_is_stopped(play: Play, kill: bool) -> None:
    async def scenario(host: LocalHost) -> None:
        await host.start("u.n.1", POLITE)
        await seen(lambda: output(host, "u.n.1") == "ready\n")
        os.kill(host.inspect("u")["u.n.1"].pid, signal.SIGSTOP)
        await host.stop("u.n.1", kill=kill, grace_s=0.05)
        view = host.inspect("u")["u.n.1"]
        assert (view.running, view.exit, view.log_tail) == (False, "signal 9 (SIGKILL)", "ready")

    play(scenario)


def test_one_that_can_end_by_itself_may(play: Play) -> None:
    async def scenario(host: LocalHost) -> None:
        await host.start("u.n.1", POLITE)
        await seen(lambda: output(host, "u.n.1") == "ready\n")
        await host.stop("u.n.1", kill=False)
        view = host.inspect("u")["u.n.1"]
        assert (view.exit, view.log_tail) == ("exit code 3", "ready\nbye")

    play(scenario)


def test_one_that_ignores_sigterm_is_killed_after_the_grace(play: Play, data_dir: Path) -> None:
    async def scenario(host: LocalHost) -> None:
        await host.start("u.n.1", STUBBORN)
        await host.start("u.n.2", SLEEP)
        await seen(lambda: output(host, "u.n.1") == "ready\n")
        await host.stop("u.n.1", kill=False, grace_s=0.05)
        assert host.inspect("u")["u.n.1"].exit == "signal 9 (SIGKILL)"
        assert dwellers(data_dir) == [host.inspect("u")["u.n.2"].pid]
        assert await host.stop_everything() == 1
        assert host.inspect("u")["u.n.2"].exit == "signal 15 (SIGTERM)"
        assert await host.stop_everything() == 0

    play(scenario)


def test_children_go_with_a_process_that_crashed(play: Play, data_dir: Path) -> None:
    async def scenario(host: LocalHost) -> None:
        await host.start("u.n.1", Rendering(argv=("/bin/sh", "-c", "sleep 600 & sleep 600 & wait")))
        await seen(lambda: len(dwellers(data_dir)) == 3)
        os.kill(host.inspect("u")["u.n.1"].pid, signal.SIGKILL)
        await seen(lambda: dwellers(data_dir) == [])
        await host.erase("u.n.1")

    play(scenario)


def test_stop_waits_for_a_start_under_way(play: Play, data_dir: Path) -> None:
    async def scenario(host: LocalHost) -> None:
        for number in range(10):
            start = asyncio.create_task(host.start(f"u.n.{number}", SLEEP))
            await asyncio.sleep(0)
            with pytest.raises(HostRefused, match="still runs"):
                await host.erase(f"u.n.{number}")
            await host.stop(f"u.n.{number}", kill=True)
            await start
            assert host.inspect("u")[f"u.n.{number}"].running is False
        assert dwellers(data_dir) == []

    play(scenario)


def test_a_hundred_lives_leave_nothing_behind(play: Play, data_dir: Path) -> None:
    async def scenario(host: LocalHost) -> None:
        async def live(number: int) -> None:
            name = f"u{number % 4}.n{number}.1"
            await host.start(name, SLEEP)
            await host.stop(name, kill=number % 2 == 0)
            await host.erase(name)

        await asyncio.gather(*(live(number) for number in range(10)))  # threads and their descriptors are there now
        before, dead = descriptors(), zombies()
        for batch in range(10):
            await asyncio.gather(*(live(batch * 10 + number) for number in range(10)))
        assert len(descriptors()) == len(before)
        assert host.uids() == set()
        assert zombies() <= dead

    play(scenario)
    assert list((data_dir / "nodes").iterdir()) == []


def test_what_cannot_be_started_says_why(play: Play, data_dir: Path) -> None:
    text = data_dir / "text"
    text.write_text("not a program")
    text.chmod(0o700)
    cases = {
        "/nowhere/engine": "/nowhere/engine: No such file or directory",
        str(data_dir): "Permission denied",
        str(text): "Exec format error",
        "/bin/\0": "null byte",
        "/bin/true" + "x" * 200: "No such file or directory",
    }

    async def scenario(host: LocalHost) -> None:
        for number, (binary, why) in enumerate(cases.items()):
            with pytest.raises(HostRefused, match=why):
                await host.start(f"u.n.{number}", Rendering(argv=(binary,)))
            view = host.inspect("u")[f"u.n.{number}"]
            assert not view.running
            assert why in view.exit
        with pytest.raises(HostRefused, match="Argument list too long"):
            await host.start("u.big.1", Rendering(argv=("/bin/true", "x" * (1 << 22))))
        with pytest.raises(ValueError, match="not the id of an incarnation"):
            await host.start("../u.n.1", SLEEP)

    play(scenario)
    assert dwellers(data_dir) == []


def test_without_descriptors_nothing_runs_unseen(play: Play, data_dir: Path) -> None:
    async def scenario(host: LocalHost) -> None:
        await host.start("u.n.0", SLEEP)
        await host.stop("u.n.0", kill=True)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        refused = 0
        try:
            for spare in range(8):
                free = sorted(set(range(soft)) - descriptors())
                resource.setrlimit(resource.RLIMIT_NOFILE, (free[spare], hard))
                try:
                    await host.start(f"u.n.{spare + 1}", SLEEP)
                except HostRefused as error:
                    assert "Too many open files" in str(error)
                    refused += 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        running = {view.pid for view in host.inspect("u").values() if view.running}
        assert 0 < refused < 8
        assert set(dwellers(data_dir)) == running

    play(scenario)


@pytest.mark.skipif(not os.access(LAST_PID, os.W_OK), reason="needs to choose process ids")
def test_a_process_that_got_a_dead_ones_pid_is_not_hit(play: Play) -> None:
    async def scenario(host: LocalHost) -> None:
        for attempt in range(50):
            name = f"u.n.{attempt}"
            await host.start(name, SLEEP)
            pid = host.inspect("u")[name].pid
            os.kill(pid, signal.SIGKILL)
            await seen(partial(ended, host, name))
            with stranger(pid) as other:
                await host.stop(name, kill=True)
                await host.erase(name)
                assert other.poll() is None
            if other.pid == pid:
                return
        pytest.fail("no process got the wanted pid in 50 attempts")

    play(scenario)


def test_a_process_is_detached_private_and_without_secrets_of_ours(
    play: Play, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")

    async def scenario(host: LocalHost) -> None:
        script = ": >engine.state; sleep 600 & echo $$; umask; wait"
        await host.start("u.n.1", Rendering(argv=("/bin/sh", "-c", script), environment={"TZ": "UTC"}))
        await seen(lambda: output(host, "u.n.1").count("\n") == 2)
        pid = host.inspect("u")["u.n.1"].pid
        proc, folder = Path(f"/proc/{pid}"), Path(host.folder("u.n.1"))
        assert output(host, "u.n.1") == f"{pid}\n0077\n"
        assert os.getsid(pid) == os.getpgid(pid) == pid
        assert links(pid) == {0: "/dev/null", 1: f"{folder}/output.log", 2: f"{folder}/output.log"}
        environment = {entry.partition("=")[0] for entry in (proc / "environ").read_text().split("\0")} - {"", "PWD", "_"}
        assert environment <= {"PATH", "LANG", "HOME", "TZ", "OLDPWD", "SHLVL"}
        assert "TZ" in environment
        limits = {line[:26].strip(): line[26:].split() for line in (proc / "limits").read_text().splitlines()}
        assert limits["Max core file size"][0] == "0"
        assert int(limits["Max open files"][0]) == min(int(limits["Max open files"][1]), 1_048_576)
        assert modes(folder) == (0o700, {0o600})

    play(scenario)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_files_are_those_of_the_user_that_the_process_becomes(play: Play) -> None:
    """Also when they are written anew; what others put into the folder, and the folder itself, are not."""

    async def scenario(host: LocalHost) -> None:
        become = (str(shutil.which("setpriv")), "--reuid=nobody", "--clear-groups", "/bin/sh", "-c")
        script = "touch mine 2>/dev/null; cat secret; until grep second secret; do sleep 0.02; done; sleep 600"
        rendering = Rendering(argv=(*become, script), files={"secret": b"first\n"}, owner="nobody")
        await host.start("u.n.1", rendering)
        folder = Path(host.folder("u.n.1"))
        await seen(lambda: output(host, "u.n.1") == "first\n")
        await host.write("u.n.1", "secret", b"second\n")
        await seen(lambda: output(host, "u.n.1") == "first\nsecond\n")
        assert owned(folder / "mine") is None
        await host.write("u.n.1", "other", b"ours")
        assert owned(folder / "secret") == (pwd.getpwnam("nobody").pw_uid, 0o600)
        assert (owned(folder), owned(folder / "other"), owned(folder.parent)) == ((0, 0o711), (0, 0o600), (0, 0o700))
        with pytest.raises(HostRefused):
            await host.start("u.n.2", msgspec.structs.replace(rendering, owner="nobody-of-that-name"))
        assert not host.inspect("u")["u.n.2"].running

    play(scenario)
