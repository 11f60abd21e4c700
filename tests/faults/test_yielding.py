"""Processes that give way on a real machine: at once, and no longer when they get next to nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cachefleet.clock import SystemClock
from cachefleet.hosts.yielding import children, give_way
from tests.fixtures.service import wait_for

BUSY = "while True: pass"
TWO_THREADS = f"import threading; threading.Timer(0.2, lambda: exec('{BUSY}')).start()\n{BUSY}"
BOUND_S = 30.0


@contextmanager
def on_one_processor(code: str, *, own_session: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """The same for all of them. It ends by itself in time."""
    first = min(os.sched_getaffinity(0))
    head = f"import os, signal; os.sched_setaffinity(0, [{first}]); signal.alarm({2 * int(BOUND_S)})\n"
    with subprocess.Popen([sys.executable, "-c", head + code], start_new_session=own_session) as process:
        try:
            yield process
        finally:
            process.kill()


def may_return() -> bool:
    """Whether the kernel lets us."""
    code = "import os; [os.sched_setscheduler(0, policy, os.sched_param(0)) for policy in (os.SCHED_IDLE, os.SCHED_OTHER)]"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def policies(process: subprocess.Popen[bytes]) -> list[int]:
    return [os.sched_getscheduler(int(each.name)) for each in Path(f"/proc/{process.pid}/task").iterdir()]


async def reached(process: subprocess.Popen[bytes], policy: int) -> None:
    await asyncio.to_thread(wait_for, f"policy {policy}", lambda: set(policies(process)) == {policy}, BOUND_S)


def test_it_gives_way_until_it_starves_and_again_later() -> None:
    async def run() -> None:
        watch = asyncio.create_task(give_way(process.pid, SystemClock(), lambda: process.poll() is not None))
        await asyncio.sleep(0)
        assert set(policies(process)) == {os.SCHED_IDLE if may_return() else os.SCHED_OTHER}
        with on_one_processor(BUSY):
            await reached(process, os.SCHED_OTHER)
        await reached(process, os.SCHED_IDLE if may_return() else os.SCHED_OTHER)
        process.kill()
        process.wait()
        await asyncio.wait_for(watch, BOUND_S)

    with on_one_processor(TWO_THREADS) as process:
        asyncio.run(run())


def group_nice(process: subprocess.Popen[bytes]) -> int:
    return int(Path(f"/proc/{process.pid}/autogroup").read_text().split()[-1])


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel has no autogroups")
def test_one_that_leads_a_session_gives_way_to_other_sessions_too() -> None:
    async def run() -> None:
        watch = asyncio.create_task(give_way(process.pid, SystemClock(), lambda: process.poll() is not None))
        await asyncio.to_thread(wait_for, "it is gentle", lambda: group_nice(process) == 19, BOUND_S)
        with on_one_processor(BUSY, own_session=True), on_one_processor(BUSY, own_session=True):
            await asyncio.to_thread(wait_for, "it starves", lambda: group_nice(process) == 0, BOUND_S)
        await asyncio.to_thread(wait_for, "it is gentle again", lambda: group_nice(process) == 19, BOUND_S)
        process.kill()
        process.wait()
        await asyncio.wait_for(watch, BOUND_S)

    own = Path("/proc/self/autogroup").read_text()
    with on_one_processor(BUSY, own_session=True) as process:
        asyncio.run(run())
    assert Path("/proc/self/autogroup").read_text() == own


def test_what_works_for_it_gives_way_as_soon_as_it_begins_and_nothing_else_does() -> None:
    async def run() -> None:
        watch = asyncio.create_task(
            give_way(process.pid, SystemClock(), lambda: process.poll() is not None, lambda: children(parent.pid))
        )
        await asyncio.to_thread(wait_for, "it has begun", lambda: children(parent.pid), BOUND_S)
        (child,) = children(parent.pid)
        wanted = os.SCHED_IDLE if may_return() else os.SCHED_OTHER
        await asyncio.to_thread(wait_for, f"policy {wanted}", lambda: os.sched_getscheduler(child) == wanted, BOUND_S)
        assert policies(parent) == [os.SCHED_OTHER]
        os.kill(child, signal.SIGKILL)
        process.kill()
        process.wait()
        await asyncio.wait_for(watch, BOUND_S)

    forks = "import os, select; select.select([], [], [], 1)\nos.fork()\nsignal.alarm(60)\nsignal.pause()"
    with on_one_processor(BUSY) as process, on_one_processor(forks) as parent:
        asyncio.run(run())
    assert children(parent.pid) == []


def test_one_that_has_ended_is_left_alone() -> None:
    with on_one_processor(BUSY) as process:
        asyncio.run(asyncio.wait_for(give_way(process.pid, SystemClock(), lambda: True), BOUND_S))
        assert policies(process) == [os.SCHED_OTHER]
