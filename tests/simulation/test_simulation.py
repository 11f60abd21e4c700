"""The real control plane against a simulated machine, through what goes wrong by the seed's chance."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.simulation.scenario import run

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_same_seed_gives_the_same_run() -> None:
    assert run(7).digest == run(7).digest


def test_every_invariant_holds_and_every_group_converges() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--seeds", "0:500"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
