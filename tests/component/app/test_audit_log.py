"""The audit log's file: whole lines only, rotated, private, complete at the end, and patient with a full disk."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from cachefleet.app.audit_log import AuditLog, audit_file
from cachefleet.settings import AuditSettings
from tests.fakes.clock import ManualClock
from tests.fixtures.service import wait_for


def log_at(path: Path, waiting: int = 10_000, **settings: Any) -> AuditLog:
    return AuditLog(path, AuditSettings(**settings), ManualClock(), waiting)


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["n"] for line in path.read_text().splitlines()]


def test_everything_is_there_when_it_is_closed(tmp_path: Path) -> None:
    path = audit_file(tmp_path, 1)
    log = log_at(path)
    for number in range(5000):
        log.write({"n": number})
    log.close()
    assert numbers(path) == list(range(5000))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_later_service_goes_on_in_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b'{"n":1}\n{"n":')  # whoever wrote was killed
    path.chmod(0o644)
    log = log_at(path)
    log.write({"n": 3})
    log.close()
    assert path.read_text().splitlines() == ['{"n":1}', '{"n":', '{"n":3}']
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_files_are_rotated_and_the_oldest_go(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = log_at(path, file_bytes=1000, files=3)
    for number in range(1000):
        log.write({"n": number})
        if number % 10 == 9:
            wait_for("it is written", lambda: not log._waiting)
    log.close()
    names = sorted(entry.name for entry in tmp_path.iterdir())
    assert names == ["audit.log", "audit.log.1", "audit.log.2", "audit.log.3"]
    kept = [
        number for name in ("audit.log.3", "audit.log.2", "audit.log.1", "audit.log") for number in numbers(tmp_path / name)
    ]
    assert kept == list(range(kept[0], 1000))
    assert all(entry.stat().st_size <= 1000 and stat.S_IMODE(entry.stat().st_mode) == 0o600 for entry in tmp_path.iterdir())


def test_what_others_put_in_its_place_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("")
    (tmp_path / "audit.log").symlink_to(target)
    with capture_logs() as told:
        log = log_at(tmp_path / "audit.log")
        log.write({"n": 1})
        wait_for("it is told", lambda: bool(told))
        log.close()
    assert target.read_text() == "" and told[0]["log_level"] == "error"


def test_a_full_disk_is_told_and_loses_nothing_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.log"
    real, room = os.write, [7]

    def write(descriptor: int, data: bytes) -> int:
        if room[0] == 0:
            raise OSError(28, "No space left on device")
        taken = real(descriptor, data[: room[0]])
        room[0] -= taken
        return taken

    with capture_logs() as told, monkeypatch.context() as patched:
        patched.setattr("cachefleet.app.audit_log.os.write", write)
        log = log_at(path, waiting=10)
        log.write({"n": 0})
        wait_for("it is told", lambda: bool(told))
        for number in range(1, 16):  # never waits, never raises
            log.write({"n": number})
        room[0] = 1_000_000
        wait_for("it is written again", lambda: any("again" in entry["event"] for entry in told))
        log.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["n"] for line in lines if "n" in line] == list(range(11))
    (gap,) = [line for line in lines if "n" not in line]
    assert (gap["eventName"], gap["additionalEventData"]) == ("AuditRecordsLost", {"lost": 5})
    assert [entry["event"] for entry in told if entry["log_level"] == "error"] == [
        "the audit log cannot be written; calls go on",
        "records of the audit log are lost",
    ]
    assert told[0]["why"] == "No space left on device"


def test_a_disk_that_stays_full_does_not_hold_the_stop_up(tmp_path: Path) -> None:
    with capture_logs() as told:
        log = log_at(tmp_path / "no such folder" / "audit.log")
        for number in range(3):
            log.write({"n": number})
        log.close()
    assert told[-1] == {"event": "records of the audit log are lost", "log_level": "error", "lost": 3, "path": str(log._path)}
