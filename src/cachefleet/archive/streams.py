"""What every place for snapshots can do, and how it fails. Says nothing of how.

The seam of this package: folder.py and bucket.py implement it, places.py hands it out, sealing.py writes to and reads from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeAlias

Data: TypeAlias = bytes | bytearray | memoryview


class ArchiveError(Exception):
    """A place did not do what it was asked for; the message says why and what to do.

    permanent: it will fail again until somebody does something about it. missing: there is no such object.
    """

    def __init__(self, message: str, *, permanent: bool = False, missing: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.missing = missing


class ArchiveWriter(Protocol):
    """An object that is being written. Nobody sees it before close has returned."""

    def write(self, data: Data) -> None:
        """Raises ArchiveError; nothing but abort may follow then."""

    def close(self) -> None:
        """The object is there now, and outlasts a crash of the machine that keeps it. Raises ArchiveError: then it is not.
        Only once, and not after abort."""

    def abort(self) -> None:
        """Leave nothing. After close, or a second time, it does nothing. Raises nothing."""


class ArchiveReader(Protocol):
    """An object that is being read from its beginning."""

    def read(self, size_bytes: int) -> bytes:
        """At most that many bytes; b"" at the end. Raises ArchiveError."""

    def close(self) -> None:
        """Any number of times. Raises nothing."""


class Place(Protocol):
    """Objects by path, as in Archive (which has checked the paths). Everything here may raise ArchiveError."""

    def writer(self, path: str, size_hint_bytes: int) -> ArchiveWriter: ...

    def reader(self, path: str) -> ArchiveReader: ...

    def put(self, path: str, content: bytes) -> None: ...

    def names(self, prefix: str) -> Iterator[tuple[str, int]]: ...

    def remove(self, paths: Sequence[str]) -> None: ...

    def size(self, path: str) -> int: ...
