"""An object in memory, with the hands of a disk that fails."""

from __future__ import annotations

from cachefleet.archive.streams import ArchiveError, Data


class MemoryWriter:
    """fails_after: from so many bytes on, writing fails."""

    def __init__(self, fails_after: int | None = None, *, fails_at_close: bool = False) -> None:
        self.content = bytearray()
        self.visible = False
        self.aborted = False
        self._fails_after = fails_after
        self._fails_at_close = fails_at_close

    def write(self, data: Data) -> None:
        self.content += data
        if self._fails_after is not None and len(self.content) > self._fails_after:
            raise ArchiveError("the disk is full", permanent=True)

    def close(self) -> None:
        if self._fails_at_close:
            raise ArchiveError("the disk is gone")
        self.visible = True

    def abort(self) -> None:
        self.aborted = True
        if not self.visible:
            self.content.clear()


class MemoryReader:
    """Gives small pieces, as a network does. fails_after: from so many bytes on, reading fails."""

    def __init__(self, content: bytes, fails_after: int | None = None, piece_bytes: int = 10_000) -> None:
        self._left = memoryview(content)
        self._given = 0
        self._fails_after = fails_after
        self._piece_bytes = piece_bytes
        self.closed = False

    def read(self, size_bytes: int) -> bytes:
        if self._fails_after is not None and self._given > self._fails_after:
            raise ArchiveError("the store cannot be reached")
        piece = bytes(self._left[: min(size_bytes, self._piece_bytes)])
        self._left = self._left[len(piece) :]
        self._given += len(piece)
        return piece

    def close(self) -> None:
        self.closed = True
