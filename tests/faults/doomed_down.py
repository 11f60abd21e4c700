"""`cachefleet down`, but dying by its own SIGKILL at a named point: a program of its own, run in place of cachefleet.

The point is the first argument. `asked`: the first group was asked to be saved. `saved`: every group is, nothing was stopped.
`services`: services have stopped, caches have not. `caches`: the caches of the nodes that the second argument begins the names
of have been stopped, others have not.
"""

from __future__ import annotations

import os
import signal
import sys

from cachefleet.app.installation import Installation
from cachefleet.cli import saving
from cachefleet.cli.main import run
from cachefleet.hosts.residents import kill_all, residents

POINT, SHARD = sys.argv[1], sys.argv[2]
stop_services, is_saved = Installation.stop_services, saving._is_saved


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def look(*arguments: object) -> bool:
    if POINT == "asked":
        die()
    return is_saved(*arguments)  # type: ignore[arg-type]


def stop(installation: Installation, timeout_s: float = 10.0) -> int:
    if POINT == "saved":
        die()
    return stop_services(installation, timeout_s)


async def stop_caches(installation: Installation) -> int:
    if POINT == "caches":
        found = residents(installation.data_dir / "nodes")
        kill_all([resident for resident in found if resident.incarnation.split(".")[1].startswith(SHARD)])
    die()
    return 0


if __name__ == "__main__":
    saving._is_saved = look  # type: ignore[assignment]
    Installation.stop_services = stop  # type: ignore[assignment, method-assign]
    Installation.stop_caches = stop_caches  # type: ignore[assignment, method-assign]
    sys.argv[1:3] = ["down"]
    run()
