"""scripts/make-venv with interpreters that fail: one clear line, and nothing half-made stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.fixtures.service import wait_for

SCRIPT = Path(__file__).parents[2] / "scripts" / "make-venv"


def interpreter(folder: Path, making: str) -> Path:
    """An interpreter that can do everything but make a virtual environment: then it runs these shell commands."""
    program = folder / "python3"
    program.write_text(f'#!/bin/sh\n[ "$1 $2" = "-m venv" ] || exit 0\nmkdir "$3"\n{making}\n')
    program.chmod(0o755)
    return program


def make(folder: Path, python: Path) -> subprocess.Popen[str]:
    (folder / "tmp").mkdir()
    return subprocess.Popen(
        [SCRIPT, folder / "venv"],
        env={**os.environ, "PYTHON": str(python), "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Whoever runs the tests in the background may have it ignored, and a shell cannot trap what was ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def left_behind(folder: Path) -> list[str]:
    return [path.name for path in (*folder.glob("venv"), *(folder / "tmp").iterdir())]


def test_a_failure_shows_what_was_said(tmp_path: Path) -> None:
    with make(tmp_path, interpreter(tmp_path, "echo 'no space left' >&2; exit 1")) as process:
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (1, "no space left\n")
    assert left_behind(tmp_path) == []


def test_an_interruption_shows_no_stack_trace(tmp_path: Path) -> None:
    making = f"trap 'echo Traceback >&2; exit 1' INT\ntouch {tmp_path}/begun\nfor i in $(seq 300); do sleep 0.1; done"
    with make(tmp_path, interpreter(tmp_path, making)) as process:
        wait_for("the virtual environment is being made", (tmp_path / "begun").exists, 20)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (130, "")
    assert left_behind(tmp_path) == []


def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    with make(tmp_path, tmp_path / "python9") as process:
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert said == f"cachefleet: there is no {tmp_path}/python9 here. On Debian: apt-get install python3 python3-venv\n"
    assert left_behind(tmp_path) == []
