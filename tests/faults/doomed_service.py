"""`cachefleet`, but dying by its own SIGKILL at a named point of a pass: a program of its own, run in place of cachefleet.

It dies only while the file `doom` in its data folder names a point, and removes the file as it dies. The file holds two words:
when, and the action. `before Launch`: the plan is saved, nothing of it done. `amid Launch`: the first such action is done, its
siblings may be. `after Launch`: everything of the plan is done, nothing was looked at since. `before Row`, `after Row`: around
the removal of a deleted group's row.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from cachefleet.app import service
from cachefleet.cli.main import run
from cachefleet.control import controller
from cachefleet.control.executor import Executor
from cachefleet.model.plan import Action, Plan
from cachefleet.model.row import GroupRow

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
        os.kill(os.getpid(), signal.SIGKILL)


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


def main() -> None:
    setattr(controller, "Executor", DoomedExecutor)  # noqa: B010 - types must stay out of this
    setattr(service, "Controller", DoomedController)  # noqa: B010
    run()


if __name__ == "__main__":
    main()
