"""The real control plane against a simulated machine, through what goes wrong by the seed's chance."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.regressions import REGRESSIONS, Regression
from tests.simulation.scenario import run

ROOT = Path(__file__).resolve().parent.parent.parent
SEEDS = "0:120"  # each mutant is caught by one of the first 40; `make simulate` runs thousands

KEYS_SEEDS = "0:24"  # of longer runs


def _simulate(*arguments: str, hash_seed: str = "random") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_same_seed_gives_the_same_run() -> None:
    assert run(7).digest == run(7).digest
    assert run(7).digest != run(8).digest


def test_runs_do_not_depend_on_the_order_of_hashes() -> None:
    one, other = (_simulate("--seeds", "0:12", "--jobs", "1", "--digests", hash_seed=seed).stdout for seed in ("1", "2"))
    digests = [line for line in one.splitlines() if line.startswith("digest")]
    assert len(digests) == 12
    assert digests == [line for line in other.splitlines() if line.startswith("digest")]


def test_every_invariant_holds_and_every_group_converges() -> None:
    done = _simulate("--seeds", SEEDS)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]


def test_nodes_let_in_who_may_connect_and_nobody_else() -> None:
    done = _simulate("--seeds", KEYS_SEEDS, "--only", "keys")
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]


@pytest.mark.parametrize("seed", range(5))
def test_it_holds_over_a_real_database(seed: int) -> None:
    outcome = run(seed, sqlite=True)
    assert outcome.violations == (), "\n".join(outcome.tail[-40:])


@pytest.mark.parametrize("regression", REGRESSIONS, ids=lambda known: f"{known.seed} {' '.join(known.only)}")
def test_what_failed_once_holds(regression: Regression) -> None:
    outcome = run(regression.seed, only=regression.only)
    assert outcome.violations == (), "\n".join(outcome.tail[-40:])
