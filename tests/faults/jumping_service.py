"""`cachefleet` with a wall clock that can be set: a program of its own, run in place of cachefleet.

The file `jump` in its data folder says by how many seconds its clock is ahead of the machine's. As on a machine whose clock is
set, nothing but the wall clock jumps.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cachefleet.app import service
from cachefleet.cli.main import run
from cachefleet.clock import SystemClock

_JUMP = Path(sys.argv[sys.argv.index("--data") + 1]) / "jump" if "--data" in sys.argv else Path()


class JumpingClock(SystemClock):
    def now(self) -> float:
        try:
            ahead_s = float(_JUMP.read_text() or 0)
        except OSError:
            ahead_s = 0.0
        return super().now() + ahead_s


def main() -> None:
    setattr(service, "SystemClock", JumpingClock)  # noqa: B010 - types must stay out of this
    run()


if __name__ == "__main__":
    main()
