"""Snapshots in an object store: written in parts, read in ranges, so that memory is bounded and no request lasts for long.

Blocking; no path is checked here (Archive has). Which store, and with what credentials: bucket_stores.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError

from cachefleet.archive.bucket_failures import failure
from cachefleet.archive.handover import Handover
from cachefleet.archive.streams import ArchiveError, Data

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_PART_BYTES = 8 << 20
_MAX_PARTS = 9_000  # S3 takes 10,000
_PARTS_AT_ONCE = 2
_PIECE_BYTES = 1 << 20  # what is handed over to the thread that uploads
_MAX_REMOVALS = 500


class BucketPlace:
    """Place over any store that obstore can open."""

    def __init__(self, store: ObjectStore, url: str) -> None:
        self._store = store
        self._url = url.rstrip("/")

    def writer(self, path: str, size_hint_bytes: int) -> _PartsWriter:
        part_bytes = max(_PART_BYTES, -(-size_hint_bytes // _MAX_PARTS))
        return _PartsWriter(self._store, path, f"{self._url}/{path}", part_bytes)

    def reader(self, path: str) -> _RangeReader:
        return _RangeReader(self._store, path, f"{self._url}/{path}", self.size(path))

    def put(self, path: str, content: bytes) -> None:
        try:
            obstore.put(self._store, path, content, use_multipart=False)
        except (BaseError, OSError) as error:
            raise failure(f"{self._url}/{path}", "written", error) from None

    def names(self, prefix: str) -> Iterator[tuple[str, int]]:
        try:
            for batch in obstore.list(self._store, prefix or None):
                yield from ((meta["path"], meta["size"]) for meta in batch)
        except (BaseError, OSError) as error:
            raise failure(f"{self._url}/{prefix}", "listed", error) from None

    def remove(self, paths: Sequence[str]) -> None:
        for first in range(0, len(paths), _MAX_REMOVALS):
            self._remove(list(paths[first : first + _MAX_REMOVALS]))

    def size(self, path: str) -> int:
        try:
            return obstore.head(self._store, path)["size"]
        except (BaseError, OSError) as error:
            problem = failure(f"{self._url}/{path}", "read", error)
        if problem.missing:  # the reply to this question has no text: it may be the bucket that is missing
            next(self.names(path), None)
        raise problem

    def _remove(self, paths: list[str]) -> None:
        try:
            obstore.delete(self._store, paths)
        except (BaseError, OSError) as error:
            problem = failure(f"{self._url}/{paths[0]}", "removed", error)
            if not problem.missing:
                raise problem from None
            if len(paths) > 1:  # some stores stop at the first that is not there
                for path in paths:
                    self._remove([path])


class _PartsWriter:
    """A thread uploads what write hands over. It takes nothing that it could not upload: two parts and a few pieces are all
    that is ever in memory."""

    def __init__(self, store: ObjectStore, path: str, name: str, part_bytes: int) -> None:
        self._name = name
        self._pieces = Handover()
        self._collected = bytearray()

        def upload() -> None:
            # An error of the pieces (abort) makes it withdraw the parts.
            obstore.put(
                store,
                path,
                iter(self._pieces),
                use_multipart=True,
                chunk_size=part_bytes,
                max_concurrency=_PARTS_AT_ONCE,
            )

        self._pieces.serve(upload, "archive-upload")

    def write(self, data: Data) -> None:
        self._collected += data
        if len(self._collected) >= _PIECE_BYTES:
            self._hand_over()

    def close(self) -> None:
        if self._collected:
            self._hand_over()
        if not self._pieces.finish():
            raise ArchiveError(f"{self._name} was closed already", permanent=True)
        self._complain()

    def abort(self) -> None:
        self._collected.clear()
        self._pieces.cancel()

    def _hand_over(self) -> None:
        piece, self._collected = bytes(self._collected), bytearray()
        if not self._pieces.give(piece):
            self._complain()
            raise ArchiveError(f"{self._name} was closed already", permanent=True)

    def _complain(self) -> None:
        error = self._pieces.error
        if isinstance(error, BaseError | OSError):
            raise failure(self._name, "written", error) from None
        if error is not None:
            raise error


class _RangeReader:
    """Range by range, the next one on its way while this one is used: a reader that pauses loses no connection."""

    def __init__(self, store: ObjectStore, path: str, name: str, size_bytes: int) -> None:
        self._store = store
        self._path = path
        self._name = name
        self._size_bytes = size_bytes
        self._asked_bytes = 0
        self._range = memoryview(b"")
        self._fetcher = ThreadPoolExecutor(1, "archive-read")
        self._next: Future[bytes] | None = None
        self._ask()

    def read(self, size_bytes: int) -> bytes:
        if not self._range:
            if self._next is None:
                return b""
            try:
                self._range = memoryview(self._next.result())
            except (BaseError, OSError) as error:
                raise failure(self._name, "read", error) from None
            self._ask()
        piece = bytes(self._range[:size_bytes])
        self._range = self._range[size_bytes:]
        return piece

    def close(self) -> None:
        self._fetcher.shutdown(wait=False, cancel_futures=True)
        self._next = None
        self._range = memoryview(b"")

    def _ask(self) -> None:
        start = self._asked_bytes
        self._asked_bytes = end = min(start + _PART_BYTES, self._size_bytes)
        self._next = self._fetcher.submit(self._fetch, start, end) if start < end else None

    def _fetch(self, start: int, end: int) -> bytes:
        content = obstore.get_range(self._store, self._path, start=start, end=end).to_bytes()
        if len(content) != end - start:
            raise OSError(f"{len(content)} bytes came instead of {end - start}")
        return content
