"""`cachefleet`, but dying by its own SIGKILL at a named point of a pass: a program of its own, run in place of cachefleet.

It dies only while the file `doom` in its data folder names a point, and removes the file as it dies. The file holds two words:
when, and the action; with a third one, `freeze`, it stops itself (SIGSTOP) instead. `before Launch`: the plan is saved, nothing
of it done. `amid Launch`: the first such action is done, its siblings may be. `after Launch`: everything of the plan is done,
nothing was looked at since. `before Row`, `after Row`: around the removal of a deleted group's row. `within Save`: in the
transaction that saves a plan, with the row locked. `within Spawn`: a new process has its folder, and is not born yet. `within
Promotion`, `within Retirement`: of a change of cluster mode, nobody listens on the endpoint yet; or the new primary does, and
the old one has not been told. Of a snapshot: `after Attempt`: it is saved that an attempt begins; `within Transfer`: a worker
has just been told what to do, which may be to feed a restored node; `amid Store`: a part of the data is stored; `before
Manifest`, `after Manifest`: all of them are; `before End`, `after End`: around the transaction that says how it ended; `after
Remove`: objects have been removed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cachefleet.app import parts
from cachefleet.app.transfer_jobs import Result
from cachefleet.app.transfers import WorkerTransfers
from cachefleet.cli.main import run
from cachefleet.control import backups, controller
from cachefleet.control.backups import Backups
from cachefleet.control.executor import Executor
from cachefleet.control.snapshot_attempt import Attempt
from cachefleet.engines import valkey
from cachefleet.engines.connection import Command
from cachefleet.engines.mode_change import IntoCluster, OutOfCluster
from cachefleet.engines.switchover import Switchover
from cachefleet.hosts import local
from cachefleet.hosts.folders import Folders
from cachefleet.interfaces import AnyRow
from cachefleet.model.plan import Action, EventDraft, Plan
from cachefleet.model.row import GroupRow, SnapshotRow
from cachefleet.model.snapshot import SnapshotDesired
from cachefleet.model.snapshot_file import SnapshotFile
from cachefleet.store import sql_store
from cachefleet.store.transaction import SqlTransaction

_DATA = Path(sys.argv[sys.argv.index("--data") + 1]) if "--data" in sys.argv else Path()


def reached(when: str, names: Sequence[str]) -> None:
    """Die here if that is what was asked for."""
    doom = _DATA / "doom"
    try:
        point = doom.read_text().split()
    except FileNotFoundError:
        return
    if point and point[0] == when and point[1] in names:
        doom.unlink()
        os.kill(os.getpid(), signal.SIGSTOP if point[2:] == ["freeze"] else signal.SIGKILL)


class DoomedExecutor(Executor):
    async def run(self, planned: tuple[Action, ...]) -> int:
        names = [type(action).__name__ for action in planned]
        reached("before", names)
        failed = await super().run(planned)
        reached("after", names)
        return failed

    async def _guarded(self, action: Action) -> bool:
        failed = await super()._guarded(action)
        reached("amid", [type(action).__name__])
        return failed


class DoomedController(controller.Controller):
    async def _save(self, row: GroupRow, plan: Plan, token: int) -> GroupRow:
        names = ["Row"] if plan.finished else []
        reached("before", names)
        saved = await super()._save(row, plan, token)
        reached("after", names)
        return saved


class DoomedBackups(Backups):
    async def _begin_attempt(self, row: SnapshotRow) -> SnapshotRow:
        stored = await super()._begin_attempt(row)
        reached("after", ["Attempt"])
        return stored

    async def _write_end(self, row: SnapshotRow, ended: SnapshotDesired | None, events: list[EventDraft]) -> None:
        reached("before", ["End"])
        await super()._write_end(row, ended, events)
        reached("after", ["End"])


class DoomedAttempt(Attempt):
    async def _put_manifest(self, row: SnapshotRow, files: tuple[SnapshotFile, ...]) -> None:
        reached("before", ["Manifest"])
        await super()._put_manifest(row, files)
        reached("after", ["Manifest"])


class DoomedTransfers(WorkerTransfers):
    async def _heard(self, worker: asyncio.subprocess.Process, told: Callable[[int], None]) -> Result | None:
        def dying(bytes_done: int) -> None:
            if bytes_done:
                reached("amid", ["Store"])
            told(bytes_done)

        reached("within", ["Transfer"])
        return await super()._heard(worker, dying)

    async def remove(self, folder: str) -> None:
        await super().remove(folder)
        reached("after", ["Remove"])


class DoomedTransaction(SqlTransaction):
    _fenced = False

    async def fence(self, lease: str, token: int) -> None:
        await super().fence(lease, token)
        self._fenced = True

    async def update(self, row: AnyRow, members: Sequence[str] | None = None) -> AnyRow:
        stored = await super().update(row, members)
        if self._fenced:
            reached("within", ["Save"])
        return stored


class DoomedFolders(Folders):
    def create(self, incarnation: str, files: Mapping[str, bytes], pipes: Sequence[str] = (), owner: str = "") -> Path:
        folder = super().create(incarnation, files, pipes, owner)
        reached("within", ["Spawn"])
        return folder


class DoomedSwitchover(Switchover):
    def _promotion(self) -> tuple[Command, ...]:
        reached("within", ["Promotion"])
        return super()._promotion()

    def _retirement(self) -> tuple[Command, ...]:
        reached("within", ["Retirement"])
        return super()._retirement()


class DoomedIntoCluster(DoomedSwitchover, IntoCluster):
    pass


class DoomedOutOfCluster(DoomedSwitchover, OutOfCluster):
    pass


def main() -> None:
    setattr(valkey, "IntoCluster", DoomedIntoCluster)  # noqa: B010
    setattr(valkey, "OutOfCluster", DoomedOutOfCluster)  # noqa: B010
    setattr(sql_store, "SqlTransaction", DoomedTransaction)  # noqa: B010
    setattr(local, "Folders", DoomedFolders)  # noqa: B010
    setattr(controller, "Executor", DoomedExecutor)  # noqa: B010 - types must stay out of this
    setattr(controller, "Backups", DoomedBackups)  # noqa: B010
    setattr(backups, "Attempt", DoomedAttempt)  # noqa: B010
    setattr(parts, "WorkerTransfers", DoomedTransfers)  # noqa: B010
    setattr(parts, "Controller", DoomedController)  # noqa: B010
    run()


if __name__ == "__main__":
    main()
