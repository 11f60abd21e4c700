"""Processes that take only the processor time that nobody else wants: the scheduling policy SCHED_IDLE (sched(7)), under
which whoever wakes up goes first at once. Nice values do not bring that about.

On a machine that is never idle such a process would hardly go on. So it is watched from outside, and gets its usual share for
a while when it waits most of the time. Where the kernel would not let it return (that takes root, or a RLIMIT_NICE of 20),
nothing is changed. Called by who starts workers that move data.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cachefleet.clock import Clock

JUDGE_S = 0.5
AGAIN_S = 5.0  # after that its usual share is not needed any more, perhaps: on a machine that stays busy a tenth is lost
LEAST_SHARE = 0.25  # of the time in which it could run
_CAP_SYS_NICE = 23  # capabilities(7)
_NICE_0 = 20


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


async def give_way(pid: int, clock: Clock, ended: Callable[[], bool]) -> None:
    """A process of ours; what threads it starts do as those that start them. Returns when it has ended, or there is nothing
    to see to; asks ended before it does anything, since a pid may be another's later."""
    if not _may_return():
        return
    while not ended():
        _set_all(pid, os.SCHED_IDLE)
        if await _starved(pid, clock, ended):
            _set_all(pid, os.SCHED_OTHER)
            await clock.sleep(AGAIN_S)


async def _starved(pid: int, clock: Clock, ended: Callable[[], bool]) -> bool:
    """Waits for that; False when it ended before."""
    before = _spent(pid)
    while True:
        await clock.sleep(JUDGE_S)
        if ended():
            return False
        now = _spent(pid)
        if starves(before, now):
            return True
        before = now


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


def _spent(pid: int) -> dict[int, Spent]:
    found = {}
    for thread in _threads(pid):
        with suppress(OSError, ValueError):
            found[thread] = parse_spent(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text())
    return found


def _set_all(pid: int, policy: int) -> None:
    """Twice: a thread that is just being started is seen the second time."""
    for _ in range(2):
        for thread in _threads(pid):
            with suppress(OSError):
                os.sched_setscheduler(thread, policy, os.sched_param(0))
