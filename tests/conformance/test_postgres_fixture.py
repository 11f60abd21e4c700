"""The throw-away PostgreSQL leaves nothing behind, even when the tests are killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from tests.fixtures.postgres import Postgres

PROGRAM = """
import sys
from pathlib import Path
from tests.fixtures.postgres import Postgres

server = Postgres(Path(sys.argv[1]))
print(server.guard, flush=True)
sys.stdin.read()
"""


def test_a_killed_test_run_leaves_no_process_and_no_folder(postgres: Postgres) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(postgres.programs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    ) as run:
        try:
            assert run.stdout
            guard = psutil.Process(int(run.stdout.readline()))
            folder = Path(guard.cwd())
            processes = [guard, *guard.children(recursive=True)]
            assert folder.name.startswith("cachefleet-postgres-") and len(processes) > 3
        finally:
            run.kill()
        _, alive = psutil.wait_procs(processes, timeout=30)
        assert alive == []
        assert not folder.exists()
