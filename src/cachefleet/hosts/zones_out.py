"""The zones that an operator has declared lost, for a drill: one small file in the data folder, read again when it changed.

`declare` is for the command line, ZonesOut for LocalHost. Decides nothing: what follows from a lost zone is the planner's.
"""

from __future__ import annotations

from collections.abc import Iterable
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
        """No file: none. A damaged one: none, and a warning (once). Costs a look at the file's times as long as it stays."""
        try:
            stat = self._file.stat()
        except OSError:
            self._seen, self._letters = None, frozenset()
            return self._letters
        seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if seen != self._seen:
            self._seen = seen
            try:
                self._letters = read(self._file)
            except (OSError, msgspec.DecodeError) as error:
                self._letters = frozenset()
                _log.warning("the list of zones that are out cannot be read; none is", file=str(self._file), why=str(error))
        return self._letters


def read(file: Path) -> frozenset[str]:
    """Raises OSError (but for a file that is not there: none), msgspec.DecodeError."""
    try:
        return frozenset(msgspec.json.decode(file.read_bytes(), type=list[str]))
    except FileNotFoundError:
        return frozenset()


def write(file: Path, letters: Iterable[str]) -> None:
    """Raises OSError."""
    replace_file(file, msgspec.json.encode(sorted(letters)))
