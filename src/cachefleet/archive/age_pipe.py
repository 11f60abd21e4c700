"""Age decryption (age-encryption.org/v1, X25519) of a stream that is pulled; and keys. Encryption: age_seal.py.

The library pulls from a file and pushes into another, so it works in a thread of its own at the other end of a pipe: no more
than the pipe's buffer is in memory. Called by sealing.py.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable
from io import BufferedReader, FileIO, IOBase
from typing import BinaryIO, Protocol, cast

import pyrage

_PIPE_BYTES = 1 << 20
_BUFFER_BYTES = 256 << 10
_CHUNK_BYTES = 64 << 10


class Source(Protocol):
    """Where sealed bytes come from; b"" at their end."""

    def read(self, size_bytes: int) -> bytes: ...


class AgeError(Exception):
    """The stream cannot be opened with this identity. not_for_it: its header names other keys only."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.not_for_it = message.startswith("No matching keys")  # the library has one class for all


class Decryptor:
    """A file to read plaintext from. What comes from it counts only once check has returned."""

    def __init__(self, source: Source, identity: str) -> None:
        """Raises ValueError for an identity that is none."""
        key = _identity(identity)
        self._end = _FarEnd(source)
        reading, writing = _pipe()
        self._pipe = BufferedReader(reading, _BUFFER_BYTES)
        # No buffer of ours before the pipe: the thread's last bytes would be written when it closes, and that may fail.
        self._thread = _serve(
            "archive-decrypt", writing, lambda: pyrage.decrypt_io(_file(self._end), _file(_Whole(writing)), [key]), self._end
        )

    def read(self, size_bytes: int) -> bytes:
        """b"" at the end, also at one that came too early: see check."""
        return self._pipe.read(size_bytes)

    def check(self) -> None:
        """Raises what the source raised, or AgeError. After the last byte was read."""
        self._thread.join()
        if self._end.error is not None:
            raise self._end.error

    def close(self) -> None:
        """At any time, any number of times. Raises nothing."""
        self._end.over = True
        self._pipe.close()
        self._thread.join()


def recipient_of(identity: str) -> str:
    """The public half. Raises ValueError, which does not hold the identity."""
    return str(_identity(identity).to_public())


def new_identity() -> str:
    """A secret key: AGE-SECRET-KEY-1..."""
    return str(pyrage.x25519.Identity.generate())


class _Given(Exception):
    """Ends the library's work when nobody wants it any more."""


class _FarEnd:
    """What the thread reads from, and why it ended."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.over = False
        self.error: BaseException | None = None

    def read(self, size_bytes: int = -1) -> bytes:
        if self.over:
            raise _Given
        try:
            return self._source.read(size_bytes if size_bytes > 0 else _CHUNK_BYTES)
        except BaseException as error:
            self.error = error  # the library would make text of it
            raise


class _Whole:
    """A raw file whose write takes everything."""

    def __init__(self, raw: FileIO) -> None:
        self._raw = raw

    def write(self, data: bytes) -> int:
        _write_all(self._raw, data)
        return len(data)

    def flush(self) -> None:
        """A raw file holds nothing back."""


def _serve(name: str, near: IOBase, work: Callable[[], None], end: _FarEnd) -> threading.Thread:
    """Closes near when the work has ended: the other side of the pipe sees that."""

    def run() -> None:
        try:
            work()
        except BaseException as error:
            if end.error is None and not end.over:
                end.error = AgeError(str(error)) if isinstance(error, pyrage.DecryptError | OSError) else error
        finally:
            near.close()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def _pipe() -> tuple[FileIO, FileIO]:
    reading, writing = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # the user's limit: a smaller one does, too
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return FileIO(reading, "r"), FileIO(writing, "w")


def _write_all(raw: FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[raw.write(left) :]


def _file(stream: object) -> BinaryIO:
    """The library asks for nothing but read, or write and flush."""
    return cast(BinaryIO, stream)


def _identity(identity: str) -> pyrage.x25519.Identity:
    try:
        return pyrage.x25519.Identity.from_str(identity)
    except pyrage.IdentityError:
        raise ValueError("this is no age identity (AGE-SECRET-KEY-1...)") from None
