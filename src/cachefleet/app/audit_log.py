"""The audit log's file: JSON lines that are only ever appended, rotated by size, for the owner's eyes only.

A thread writes, so that no request waits for a disk. What cannot be written waits, up to a limit, and is tried again; how much
was lost beyond that is told in the log and, later, in the file itself. Opened with the service, closed after its last answer.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog

from cachefleet.clock import Clock
from cachefleet.settings import AuditSettings

WAITING = 10_000  # records that may wait for the disk
RETRY_S = 1.0
_BATCH = 64  # records in one write

log = structlog.get_logger("cachefleet.audit")


def audit_file(data_dir: Path, number: int) -> Path:
    """Of the service with that number: two processes that rotate one file lose lines."""
    return data_dir / ("audit.log" if number == 1 else f"audit-{number}.log")


class AuditLog:
    """write may be called from any thread and never waits."""

    def __init__(self, path: Path, settings: AuditSettings, clock: Clock, waiting: int = WAITING) -> None:
        self._path = path
        self._settings = settings
        self._clock = clock
        self._limit = waiting
        self._waiting: deque[Mapping[str, Any]] = deque()
        self._lost = 0
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._descriptor = -1
        self._size_bytes = 0
        self._failing = False
        self._within_line = False
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def write(self, record: Mapping[str, Any]) -> None:
        with self._changed:
            if len(self._waiting) >= self._limit:
                self._lost += 1
            else:
                self._waiting.append(record)
                self._changed.notify()

    def close(self) -> None:
        """Returns when everything is written, or cannot be."""
        with self._changed:
            self._closing.set()
            self._changed.notify()
        self._thread.join()

    # --- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        left = b""
        while True:
            with self._changed:
                while not (left or self._waiting or self._closing.is_set()):
                    self._changed.wait()
            if left:
                self._closing.wait(RETRY_S)
            closing = self._closing.is_set()
            left = self._write_all(left)
            if closing and (left or not self._waiting):
                self._end(left)
                return

    def _write_all(self, left: bytes) -> bytes:
        """What could not be written; it is to be written first, since it may begin within a line."""
        chunk = left
        while True:
            chunk = self._append(chunk)
            if chunk:
                return chunk
            with self._changed:
                lost, self._lost = self._lost, 0
                taken = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            if lost:
                taken.append(self._gap(lost))
            if not taken:
                return b""
            chunk = b"".join(msgspec.json.encode(record) + b"\n" for record in taken)

    def _append(self, chunk: bytes) -> bytes:
        """What is left of it."""
        try:
            while chunk:
                if self._descriptor < 0:
                    self._open()
                full = self._size_bytes > 0 and self._size_bytes + len(chunk) > self._settings.file_bytes
                if full and not self._within_line:
                    self._rotate()
                written = os.write(self._descriptor, chunk)
                self._size_bytes += written
                self._within_line = chunk[written - 1 : written] != b"\n"
                chunk = chunk[written:]
        except OSError as error:
            if not self._failing:
                self._failing = True
                log.error("the audit log cannot be written; calls go on", path=str(self._path), why=error.strerror)
            return chunk
        if self._failing:
            self._failing = False
            log.warning("the audit log is written again", path=str(self._path))
        return b""

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                size += os.write(descriptor, b"\n")  # whoever wrote before us ended within a line
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor, self._size_bytes = descriptor, size

    def _rotate(self) -> None:
        """audit.log -> audit.log.1 -> audit.log.2 ...; the last one goes."""
        os.close(self._descriptor)
        self._descriptor = -1
        for number in range(self._settings.files - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))
        self._open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _gap(self, lost: int) -> Mapping[str, Any]:
        log.error("records of the audit log are lost", path=str(self._path), lost=lost)
        return {
            "eventVersion": "1.09",
            "eventTime": datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventSource": "cachefleet",
            "eventName": "AuditRecordsLost",
            "additionalEventData": {"lost": lost},
        }

    def _end(self, left: bytes) -> None:
        lost = left.count(b"\n") + len(self._waiting) + self._lost
        if lost:
            log.error("records of the audit log are lost", path=str(self._path), lost=lost)
        if self._descriptor >= 0:
            os.close(self._descriptor)
