"""Starts processes, watches them through pidfds and ends them. One Launch is one incarnation.

Detached: a process outlives us, has its own session and no terminal, and inherits nothing but its limits. A pidfd names one
process for ever, so that no signal can hit another one that got its pid. Used by Launches.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cachefleet.hosts.folders import OUTPUT
from cachefleet.interfaces import HostRefused
from cachefleet.model.observed import Activity

_KILL_S = 5.0  # a process that is still there that long after SIGKILL hangs in the kernel
_OPEN_FILES = 65_536
_OPEN_FILES_MOST = 1_048_576  # beyond, programs that keep a table of all possible files grow absurdly
_STAT_BYTES = 4096  # more than that line can have
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def set_inherited_limits() -> None:
    """Limits that every process started by us inherits: no core dumps (they would hold users' data), and as many open
    files as we may have. Set on ourselves because between spawn and the engine's first look there is no moment to do it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < _OPEN_FILES:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
        except (ValueError, OSError):  # only root may raise the hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    elif soft < min(hard, _OPEN_FILES_MOST):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _OPEN_FILES_MOST), hard))


def spawn(argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, int]:
    """Start it in its folder; (pid, pidfd). Blocks for about a millisecond. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    output = os.open(folder / OUTPUT, flags, 0o600)
    try:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o077,
            env={"PATH": _PATH, "LANG": "C.UTF-8", "TZ": "UTC", "HOME": str(folder), **environment},
        )
    finally:
        os.close(output)
    # We reap through the pidfd. As far as this object knows it is over: it would wait for the process otherwise.
    process.returncode = 0
    try:
        return process.pid, os.pidfd_open(process.pid)
    except OSError:
        # Nobody would know of it. Its pid cannot be another's: it is our child and nobody has waited for it.
        os.kill(process.pid, signal.SIGKILL)
        os.waitpid(process.pid, 0)
        raise


def exit_text(pidfd: int) -> str:
    """Reap the ended process and say how it ended; only a parent is told by the kernel."""
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return "exit status unknown: the process was started by an earlier control plane"
    if result is None:
        return "exit status unknown"
    if result.si_code == os.CLD_EXITED:
        return f"exit code {result.si_status}"
    try:
        name = signal.Signals(result.si_status).name
    except ValueError:
        name = "real-time signal"
    return f"signal {result.si_status} ({name})"


def parse_activity(stat: str) -> Activity | None:
    """From the line of /proc/<pid>/stat (proc(5)); None for a process that has ended. Pure. The state is that of its first
    thread, which is an engine's main loop; the time is that of all its threads."""
    state, *fields = stat.rpartition(")")[2].split()  # the name before may hold anything
    if state in "ZX":
        return None
    ticks = int(fields[10]) + int(fields[11])  # fields 14 and 15: in user mode, in the kernel
    return Activity(stopped=state in "Tt", busy=state in "RD", cpu_s=ticks / _TICKS_PER_S)


def group_id_of(pid: int) -> int:
    """The effective one, -1 for a process that is gone. About 20 us."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[2]) for line in lines if line.startswith("Gid:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return -1


def activity(pid: int) -> Activity | None:
    """What the process does at this instant, None when there is none. About 20 us."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return parse_activity(os.read(descriptor, _STAT_BYTES).decode(errors="replace"))
    except ProcessLookupError:  # it ended between the two
        return None
    finally:
        os.close(descriptor)


class Launch:
    """One incarnation: under way, running (pid > 0) or ended. Lives in one event loop."""

    def __init__(self, incarnation: str) -> None:
        self.incarnation = incarnation
        self.pid = 0
        self.group_id = -1  # of the operating system; -1 not known
        self.exit = ""
        self._ended_at = 0.0  # of the event loop's time
        self.log_tail: str | None = None  # None: not read yet
        self.started: asyncio.Task[None] | None = None  # a start under way
        self.swept: asyncio.Task[list[int]] | None = None  # after the end: killing children left behind; pids that stay
        self._pidfd = -1
        self._gone = asyncio.Event()

    @property
    def running(self) -> bool:
        return not self._gone.is_set()

    @property
    def held(self) -> bool:
        """We have its pidfd."""
        return self._pidfd >= 0

    def watch(self, pid: int, pidfd: int, ended: Callable[[Launch], None]) -> None:
        """It runs. `ended` is called in the event loop as soon as the kernel says that it does not any more."""
        self.pid, self._pidfd = pid, pidfd
        self.group_id = group_id_of(pid)
        asyncio.get_running_loop().add_reader(pidfd, self._over, ended)

    def end(self, why: str) -> None:
        """It is over (or never began), and nothing is watched."""
        self.exit = why
        self._ended_at = asyncio.get_running_loop().time()
        self._gone.set()

    @property
    def ended_s(self) -> float:
        """How long ago that was noticed."""
        return asyncio.get_running_loop().time() - self._ended_at

    def let_go(self) -> None:
        """Forget the process; it goes on."""
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    async def stop(self, *, kill: bool, grace_s: float) -> None:
        """Returns when the kernel says that it is gone. A frozen process (SIGSTOP) is never thawed for a last word: it could
        take writes. Raises HostRefused."""
        if not kill and self._send(signal.SIGTERM) and await self._wait(grace_s):
            return
        self._send(signal.SIGKILL)
        if not await self._wait(_KILL_S):
            raise HostRefused(
                f"process {self.pid} of {self.incarnation} is still there {_KILL_S:g} s after SIGKILL; the kernel holds it, "
                "usually because a disk or a network file system hangs"
            )

    def _send(self, number: signal.Signals) -> bool:
        if self._pidfd < 0:
            return False
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return True  # it ended this very moment; the event loop is about to hear of it
        except PermissionError as error:
            raise HostRefused(f"process {self.pid} of {self.incarnation} runs as a user that we may not stop") from error
        return True

    async def _wait(self, limit_s: float) -> bool:
        try:
            async with asyncio.timeout(limit_s):
                await self._gone.wait()
        except TimeoutError:
            return False
        return True

    def _over(self, ended: Callable[[Launch], None]) -> None:
        pidfd = self._pidfd
        asyncio.get_running_loop().remove_reader(pidfd)
        self._pidfd = -1
        why = exit_text(pidfd)
        os.close(pidfd)
        self.end(why)
        ended(self)
