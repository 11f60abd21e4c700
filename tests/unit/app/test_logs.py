"""What becomes of the log when its disk is full, and what commands write of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WRITE = """
import logging, pathlib, sys
from cachefleet.app.logs import configure_logs
configure_logs(pathlib.Path(sys.argv[1]) / "service.log")
for _ in range(3):
    logging.getLogger().info("lost")
"""


def test_a_full_disk_is_told_once_and_without_a_stack_trace(tmp_path: Path) -> None:
    (tmp_path / "service.log").symlink_to("/dev/full")
    found = subprocess.run([sys.executable, "-c", WRITE, str(tmp_path)], capture_output=True, text=True, timeout=30)
    assert f"{tmp_path}/service.log cannot be written: No space left on device\n" in found.stderr
    assert found.stderr.count("cannot be written") == 1
    assert "Traceback" not in found.stderr


WARN = """
import structlog
from cachefleet.app.logs import warn_on_screen
warn_on_screen()
log = structlog.get_logger()
log.info("of no concern")
log.warning("something stays")
"""


def test_what_a_command_answers_has_no_line_of_a_log_in_it() -> None:
    found = subprocess.run([sys.executable, "-c", WARN], capture_output=True, text=True, timeout=30, check=True)
    assert found.stdout == ""
    assert "something stays" in found.stderr
    assert "of no concern" not in found.stderr
