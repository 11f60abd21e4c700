"""Processes that do nothing but count, one for each core, in the processor time that nobody else wants (SCHED_IDLE): the least
that any work on all cores of a machine does to those who have something to do there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_COUNT = """
import os
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
parent, number = os.getppid(), 0
print(flush=True)
while os.getppid() == parent:
    for _ in range(1_000_000):
        number += 1
"""


@contextmanager
def counting() -> Iterator[None]:
    """All of them run when it is entered; they end with it, and with this process."""
    with ExitStack() as stack:
        for _ in range(os.cpu_count() or 1):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", _COUNT], stdout=subprocess.PIPE))
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
        yield
