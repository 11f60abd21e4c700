"""A process that gives way on a real machine: at once, and no longer when it gets next to nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cachefleet.clock import SystemClock
from cachefleet.hosts.yielding import give_way
from tests.fixtures.service import wait_for

BUSY = "while True: pass"
TWO_THREADS = f"import threading; threading.Timer(0.2, lambda: exec('{BUSY}')).start()\n{BUSY}"
BOUND_S = 30.0


@contextmanager
def on_one_processor(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """The same for all of them. It ends by itself in time."""
    first = min(os.sched_getaffinity(0))
    head = f"import os, signal; os.sched_setaffinity(0, [{first}]); signal.alarm({2 * int(BOUND_S)})\n"
    with subprocess.Popen([sys.executable, "-c", head + code]) as process:
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


def test_one_that_has_ended_is_left_alone() -> None:
    with on_one_processor(BUSY) as process:
        asyncio.run(asyncio.wait_for(give_way(process.pid, SystemClock(), lambda: True), BOUND_S))
        assert policies(process) == [os.SCHED_OTHER]
