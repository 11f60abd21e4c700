"""Keeps the list of launches: what was started, what was found at our start, how it ended.

Each end is told at once; nothing is ever started again by itself. Called by LocalHost, from one event loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator

from cachefleet.engine_interfaces import Rendering
from cachefleet.hosts import processes
from cachefleet.hosts.folders import Folders
from cachefleet.hosts.processes import Launch
from cachefleet.hosts.residents import Resident, end_residents, group_exists, kill_all, residents
from cachefleet.hosts.usage import usage
from cachefleet.hosts.yielding import children
from cachefleet.interfaces import Deposed, HostRefused, Permit, always
from cachefleet.model.observed import Activity, ProcessView, Usage


def uid_of(incarnation: str) -> str:
    """The group's uid: everything before the first dot (a node's name may hold dots itself)."""
    return incarnation.partition(".")[0]


class Launches:
    """Every incarnation that has a process or a folder here."""

    def __init__(self, folders: Folders, permit: Permit = always) -> None:
        """permit: asked at the last moment before a process is born."""
        self._folders = folders
        self._permit = permit
        self._by_uid: dict[str, dict[str, Launch]] = {}
        self._callbacks: list[Callable[[str], None]] = []

    def __iter__(self) -> Iterator[Launch]:
        return (launch for group in list(self._by_uid.values()) for launch in list(group.values()))

    @property
    def uids(self) -> set[str]:
        return set(self._by_uid)

    def running(self) -> list[str]:
        """Incarnations that have a process, or are being started."""
        return [launch.incarnation for launch in self if launch.running]

    def views(self, uid: str) -> dict[str, ProcessView]:
        """By incarnation. One whose start is under way counts as running."""
        return {incarnation: self._view(launch) for incarnation, launch in self._by_uid.get(uid, {}).items()}

    def group_ids(self, uid: str) -> set[int]:
        """Those that running processes of the group have."""
        return {launch.group_id for launch in self._by_uid.get(uid, {}).values() if launch.held and launch.running}

    def activity(self, incarnation: str) -> Activity | None:
        """See interfaces.Host.activity."""
        launch = self._get(incarnation)
        return processes.activity(launch.pid) if launch is not None and launch.held else None

    def children(self, incarnation: str) -> list[int]:
        """Processes that it has forked and that run now: one that sends or saves its data."""
        launch = self._get(incarnation)
        return children(launch.pid) if launch is not None and launch.held else []

    def usage(self, incarnation: str) -> Usage | None:
        launch = self._get(incarnation)
        return usage(launch.pid) if launch is not None and launch.held else None

    def on_exit(self, callback: Callable[[str], None]) -> None:
        self._callbacks.append(callback)

    async def find(self) -> None:
        """Take over what another control plane left: processes by their working directory, folders without one as ended.
        Children whose parent is gone are killed: their incarnation has ended. What is known already stays known, unless
        another one has erased it."""
        found = await asyncio.to_thread(residents, self._folders.root)
        strays = []
        for resident in sorted(found, key=lambda each: each.started):
            if resident.leader and self._get(resident.incarnation) is None:
                self._add(resident.incarnation).watch(resident.pid, resident.pidfd, self._ended)
            else:
                strays.append(resident)
        alive = {launch.incarnation for launch in self if launch.running}
        for resident in strays:
            if resident.incarnation in alive:
                os.close(resident.pidfd)  # the child of one that runs
        await self._end_strays([resident for resident in strays if resident.incarnation not in alive])
        ended = [launch.incarnation for launch in self if not launch.running]
        names = await asyncio.to_thread(self._folders.names)
        for incarnation in names:
            if self._get(incarnation) is None:
                self._add(incarnation).end("")
        for incarnation in set(ended).difference(names):
            self._forget(incarnation)

    async def _end_strays(self, strays: list[Resident]) -> None:
        """Unless another control plane is at work: one of them may be a process that it is just about to start."""
        try:
            self._permit()
        except Deposed:
            for resident in strays:
                os.close(resident.pidfd)
        else:
            await asyncio.to_thread(kill_all, strays)

    async def start(self, incarnation: str, rendering: Rendering) -> None:
        """See interfaces.Host.start. It goes on when the caller is cancelled, and is known from its first moment."""
        self._folders.path(incarnation)
        launch = self._get(incarnation)
        if launch is None:
            launch = self._add(incarnation)
            launch.started = asyncio.create_task(self._start(launch, rendering))
        if launch.started is not None:
            await asyncio.shield(launch.started)

    async def stop(self, incarnation: str, *, kill: bool, grace_s: float) -> bool:
        """See interfaces.Host.stop. Children that the process left behind are gone, too. Whether it ran."""
        launch = self._get(incarnation)
        if launch is None:
            return False
        await _settled(launch)
        ran = launch.running
        if ran:
            await launch.stop(kill=kill, grace_s=grace_s)
        await self._clear(launch)
        return ran

    async def erase(self, incarnation: str) -> None:
        """Remove the folder and forget it. Raises HostRefused while it runs."""
        launch = self._get(incarnation)
        if launch is not None:
            await _settled(launch)
            if launch.running:
                raise HostRefused(f"{incarnation} still runs (process {launch.pid}): stop it before its folder is removed")
            await self._clear(launch)
        await asyncio.to_thread(self._folders.erase, incarnation)
        self._forget(incarnation)

    def _forget(self, incarnation: str) -> None:
        group = self._by_uid.get(uid_of(incarnation), {})
        group.pop(incarnation, None)
        if not group:
            self._by_uid.pop(uid_of(incarnation), None)

    async def close(self) -> None:
        """Let go of all processes; they go on."""
        for launch in self:
            await _settled(launch)
            launch.let_go()
        await asyncio.gather(*(launch.swept for launch in self if launch.swept is not None), return_exceptions=True)

    def _get(self, incarnation: str) -> Launch | None:
        return self._by_uid.get(uid_of(incarnation), {}).get(incarnation)

    def _add(self, incarnation: str) -> Launch:
        launch = Launch(incarnation)
        self._by_uid.setdefault(uid_of(incarnation), {})[incarnation] = launch
        return launch

    async def _start(self, launch: Launch, rendering: Rendering) -> None:
        try:
            pid, pidfd = await asyncio.to_thread(self._spawn, launch.incarnation, rendering)
        except Exception as error:  # whatever it was (no thread, no memory, ...): it does not run, and must not seem to
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
            why = f"could not be started: {rendering.argv[0]}: {reason}"
            launch.end(why)
            raise HostRefused(f"{launch.incarnation} {why}") from error
        else:
            launch.watch(pid, pidfd, self._ended)
        finally:
            launch.started = None

    def _spawn(self, incarnation: str, rendering: Rendering) -> tuple[int, int]:
        self._permit()
        folder = self._folders.create(incarnation, rendering.files, rendering.pipes, rendering.owner)
        self._permit()  # once more: this is where a process that was frozen could do what nobody knows of
        return processes.spawn(rendering.argv, folder, rendering.environment)

    def _ended(self, launch: Launch) -> None:
        if group_exists(launch.pid):
            self._sweep(launch)
        for callback in self._callbacks:
            callback(uid_of(launch.incarnation))

    def _sweep(self, launch: Launch) -> None:
        """Begin to end the children that it left behind. Whoever stops or erases the incarnation waits for it."""
        launch.swept = asyncio.create_task(asyncio.to_thread(end_residents, self._folders.root, launch.incarnation))

    async def _clear(self, launch: Launch) -> None:
        """Wait until the children that it left behind are gone, too. What failed begins anew for the next who asks."""
        if launch.swept is None:
            return
        try:
            left: object = await asyncio.shield(launch.swept)
        except OSError as error:
            left = error
        if left:
            self._sweep(launch)
            raise HostRefused(f"{launch.incarnation} has ended, but its child processes do not: {left}")

    def _view(self, launch: Launch) -> ProcessView:
        if launch.running:
            return ProcessView(incarnation=launch.incarnation, running=True, pid=launch.pid)
        if launch.log_tail is None:
            launch.log_tail = self._folders.log_tail(launch.incarnation)
        return ProcessView(
            incarnation=launch.incarnation,
            running=False,
            exit=launch.exit,
            ended_s=launch.ended_s,
            log_tail=launch.log_tail,
        )


async def _settled(launch: Launch) -> None:
    """Wait for a start under way, however it ends."""
    if launch.started is not None:
        await asyncio.wait({launch.started})
