"""Processes that take only the processor time that nobody else wants, by the two means that Linux has (sched(7)).

The scheduling policy SCHED_IDLE: whoever wakes up goes first at once, which nice values do not bring about. But with
autogrouping, which is usual, it is only heeded among the processes of one session; beside those of others such a process still
takes its half. So a process that leads a session has the nice value of its autogroup lowered, too, and takes a fiftieth.

On a machine that is never idle such a process would hardly go on. So it is watched from outside, and gets its usual share for
a while when it waits most of the time. Where the kernel would not let it return from SCHED_IDLE (that takes root, or a
RLIMIT_NICE of 20), its policy is left as it is. Called by who starts workers that move data.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cachefleet.clock import Clock

LOOK_S = 0.1  # for processes that have begun
LOOKS = 5  # until it is judged
AGAIN_S = 5.0  # after that its usual share is not needed any more, perhaps: on a machine that stays busy a tenth is lost
LEAST_SHARE = 0.25  # of the time in which it could run
_CAP_SYS_NICE = 23  # capabilities(7)
_NICE_0 = 20
_GENTLE = 19
_RETRY_S = 0.2  # for users without privileges the kernel changes one autogroup in a tenth of a second
_ATTEMPTS = 10


class Spent(NamedTuple):
    """By a thread since it began."""

    ran_ns: int
    waited_ns: int  # for a processor


def parse_spent(schedstat: str) -> Spent:
    """Of /proc/<pid>/task/<tid>/schedstat (Documentation/scheduler/sched-stats.rst). Raises ValueError. Pure."""
    ran, waited, _ = schedstat.split()
    return Spent(int(ran), int(waited))


def starves(before: Mapping[int, Spent], now: Mapping[int, Spent]) -> bool:
    """Whether these threads together have mostly waited in between. Pure."""
    both = before.keys() & now.keys()
    ran = sum(now[each].ran_ns - before[each].ran_ns for each in both)
    waited = sum(now[each].waited_ns - before[each].waited_ns for each in both)
    return ran < LEAST_SHARE * (ran + waited)


async def give_way(pid: int, clock: Clock, ended: Callable[[], bool], helpers: Callable[[], Iterable[int]] = tuple) -> None:
    """A process of ours; what threads it starts do as those that start them. helpers: what works for it in other sessions now.
    Returns when it has ended, or there is nothing to see to; asks ended before it does anything, since a pid may be
    another's later."""
    idle, alone = _may_return(), _has_own_group(pid)
    if not idle and not alone:
        return

    async def change(policy: int, nice: int) -> None:
        if idle:
            for each in (pid, *helpers()):
                _set_all(each, policy)
        if alone:
            await _set_group(pid, nice, clock, ended)

    while not ended():
        await change(os.SCHED_IDLE, _GENTLE)
        if await _starved(pid, clock, ended, helpers, idle):
            await change(os.SCHED_OTHER, 0)
            await clock.sleep(AGAIN_S)


async def _starved(pid: int, clock: Clock, ended: Callable[[], bool], helpers: Callable[[], Iterable[int]], idle: bool) -> bool:
    """Waits for that; False when it ended before. Helpers that have begun since give way, too, where idle."""
    while True:
        before = _spent((pid, *helpers()))
        for _ in range(LOOKS):
            await clock.sleep(LOOK_S)
            if ended():
                return False
            for helper in helpers() if idle else ():
                _set_all(helper, os.SCHED_IDLE)
        if starves(before, _spent((pid, *helpers()))):
            return True


def children(pid: int) -> list[int]:
    """Of a process, whichever of its threads started them. [] when it has ended, or the kernel does not tell."""
    found: list[int] = []
    for thread in _threads(pid):
        with suppress(OSError, ValueError):
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return found


@cache
def _may_return() -> bool:
    """Not tried out: who tries it may have to wait for long between giving way and returning."""
    try:
        parse_spent(Path("/proc/self/schedstat").read_text())
        return may_return(Path("/proc/self/status").read_text(), resource.getrlimit(resource.RLIMIT_NICE)[0])
    except (OSError, ValueError, AttributeError):  # a system without these limits, or without the figures
        return False


def may_return(status: str, nice_limit: int) -> bool:
    """As sched(7) says: with CAP_SYS_NICE, or with a limit (getrlimit(2)) that allows the nice value 0; -1 is none. Pure."""
    (capabilities,) = [line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")]
    return bool(int(capabilities, 16) >> _CAP_SYS_NICE & 1) or nice_limit >= _NICE_0 or nice_limit == resource.RLIM_INFINITY


def _threads(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(each.name) for each in Path(f"/proc/{pid}/task").iterdir()]
    return []


def _spent(pids: Iterable[int]) -> dict[int, Spent]:
    found = {}
    for pid in pids:
        for thread in _threads(pid):
            with suppress(OSError, ValueError):
                found[thread] = parse_spent(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text())
    return found


def _has_own_group(pid: int) -> bool:
    """Whether it leads a session, whose processes an autogroup has, and can be seen to starve."""
    try:
        parse_spent(Path(f"/proc/{pid}/schedstat").read_text())
        return os.getsid(pid) == pid and Path(f"/proc/{pid}/autogroup").exists()
    except (OSError, ValueError):
        return False


async def _set_group(pid: int, nice: int, clock: Clock, ended: Callable[[], bool]) -> None:
    for _ in range(_ATTEMPTS):
        if ended() or _try_group(pid, nice):
            return
        await clock.sleep(_RETRY_S)


def _try_group(pid: int, nice: int) -> bool:
    """False when the kernel wants to be asked again later."""
    try:
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _set_all(pid: int, policy: int) -> None:
    """Twice: a thread that is just being started is seen the second time."""
    for _ in range(2):
        for thread in _threads(pid):
            with suppress(OSError):
                os.sched_setscheduler(thread, policy, os.sched_param(0))
