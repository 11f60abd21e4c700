"""The zones that an operator has declared lost, for a drill: one small file in the data folder, read again when it changed.

`read` and `declare` are for the command line, ZonesOut for LocalHost. Decides nothing: what follows from a lost zone is the
planner's.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec
import structlog

from cachefleet.hosts.files import replace_file

FILE_NAME = "zones-out.json"
_log = structlog.get_logger()


class ZonesOut:
    """Of one file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[int, int, int] | None = None  # which file was read: it is replaced, never changed
        self._letters: frozenset[str] = frozenset()

    def letters(self) -> frozenset[str]:
        """Costs a look at the file's times as long as it stays. Of one that cannot be read: none, and a warning (once)."""
        try:
            stat = self._file.stat()
        except OSError:
            self._seen, self._letters = None, frozenset()
            return self._letters
        seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if seen != self._seen:
            self._seen = seen
            try:
                self._letters = _decode(self._file)
            except (OSError, msgspec.DecodeError) as error:
                self._letters = frozenset()
                _log.warning("the list of zones that are out cannot be read; none is", file=str(self._file), why=str(error))
        return self._letters


def read(file: Path) -> frozenset[str]:
    """None where there is no file, or a damaged one: just what the service makes of it."""
    try:
        return _decode(file)
    except (FileNotFoundError, msgspec.DecodeError):
        return frozenset()


def declare(file: Path, letter: str, *, out: bool) -> bool:
    """The zone is out from now on, or back; False when it was so before. Raises OSError."""
    folder = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # two at once must not undo each other
        before = read(file)
        after = before | {letter} if out else before - {letter}
        if after != before:
            replace_file(file, msgspec.json.encode(sorted(after)))
        return after != before
    finally:
        os.close(folder)


def _decode(file: Path) -> frozenset[str]:
    return msgspec.json.decode(file.read_bytes(), type=frozenset[str])
