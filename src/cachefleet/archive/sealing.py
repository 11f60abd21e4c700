"""Seals a stream for the archive and opens it again: zstd, then age for a recipient, with checksums of both ends of the way.

The stored object is in public formats: `age -d | zstd -d` opens it. Memory is bounded whatever the size. Knows no paths and no
key names. Called by the transfer worker.

Writing, a thread compresses while another computes checksums, encrypts and stores: about half of the work each.
"""

from __future__ import annotations

import hashlib
from types import TracebackType
from typing import BinaryIO, Self, cast

import msgspec
import zstandard

from cachefleet.archive.age_pipe import AgeError, Decryptor, recipient_of
from cachefleet.archive.age_seal import Encryptor
from cachefleet.archive.behind import Behind
from cachefleet.archive.streams import ArchiveReader, ArchiveWriter, Data

# Measured on redis-like text: level 1 takes 600 MB/s per core and makes a third of it; level 3 takes 230 MB/s for no gain;
# -1 takes 830 MB/s and leaves two thirds, which then have to be encrypted and stored.
LEVEL = 1
_MAX_WINDOW_BYTES = 8 << 20  # more is never written here, and an object from elsewhere must not cost more memory
_READ_BYTES = 256 << 10


class Damaged(Exception):
    """The object is not what was written: cut, altered, or another one. Nothing that was read from it counts."""


class WrongKey(Exception):
    """The object was sealed for another key than the one that was given."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What must be known to open an object and to prove that it is whole. Belongs into the manifest; holds no secret."""

    plain_bytes: int
    plain_sha256: str  # lower-case hexadecimal
    stored_bytes: int
    stored_sha256: str
    recipient: str = ""  # age1...; "" when it is not encrypted, or that is not known any more


class SealedWriter:
    """Writes one object. close makes it visible, and abort leaves nothing; leaving `with` by an exception aborts."""

    def __init__(self, raw: ArchiveWriter, recipient: str | None = None, level: int = LEVEL) -> None:
        """recipient: age1..., or None for plain zstd. Raises ValueError for one that is none, and ArchiveError; raw is aborted
        then."""
        self._raw = raw
        self._stored = _Stored(raw)
        try:
            self._encryptor = Encryptor(self._stored, recipient) if recipient else None
        except BaseException:
            raw.abort()
            raise
        self._sink: _Stored | Encryptor = self._encryptor or self._stored
        self._recipient = recipient or ""
        self._compressor = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj()
        self._hash = hashlib.sha256()
        self._plain_bytes = 0
        self._figures: Figures | None = None
        self._behind = Behind("archive-seal")

    def write(self, data: Data) -> None:
        """Raises ArchiveError, perhaps for what was written before."""
        kept = bytes(data)  # its owner may change it afterwards
        self._behind.call(self._hash.update, kept)
        self._plain_bytes += len(kept)
        if compressed := self._compressor.compress(kept):
            self._behind.call(self._sink.write, compressed)

    def close(self) -> None:
        """Raises ArchiveError: then there is no object, once abort was called."""
        self._behind.call(self._sink.write, self._compressor.flush())
        self._behind.finish()
        if self._encryptor is not None:
            self._encryptor.close()
        self._raw.close()
        self._figures = Figures(
            plain_bytes=self._plain_bytes,
            plain_sha256=self._hash.hexdigest(),
            stored_bytes=self._stored.size_bytes,
            stored_sha256=self._stored.hash.hexdigest(),
            recipient=self._recipient,
        )

    def abort(self) -> None:
        """Does nothing after close. Raises nothing."""
        if self._figures is None:
            self._behind.abort()
            self._raw.abort()

    @property
    def plain_bytes(self) -> int:
        """So far."""
        return self._plain_bytes

    @property
    def stored_bytes(self) -> int:
        """So far."""
        return self._stored.size_bytes

    def figures(self) -> Figures:
        """After close."""
        if self._figures is None:
            raise RuntimeError("the object is not closed yet")
        return self._figures

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None and self._figures is None:
                self.close()
        finally:
            self.abort()


class SealedReader:
    """Reads one object. What read gave out counts only once read has returned b"", or finish has returned: hold the last
    bytes back until then."""

    def __init__(self, raw: ArchiveReader, identity: str | None, expected: Figures) -> None:
        self._raw = raw
        self._expected = expected
        self._incoming = _Incoming(raw, expected.stored_bytes)
        self._decryptor = Decryptor(self._incoming, identity) if identity is not None else None
        self._zstd = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).stream_reader(
            cast(BinaryIO, self._decryptor or self._incoming), read_size=_READ_BYTES, read_across_frames=False, closefd=False
        )
        self._hash = hashlib.sha256()
        self._plain_bytes = 0
        self._whole = False

    def read(self, size_bytes: int) -> bytes:
        """At most that many bytes of plaintext (more than 0); b"" at the end, when everything has proved right.

        Raises Damaged, WrongKey, or ArchiveError when the object cannot be read.
        """
        if self._whole:
            return b""
        try:
            data: bytes = self._zstd.read(size_bytes)
        except zstandard.ZstdError as error:
            self._check_encryption()
            raise Damaged(f"the object is damaged: its compressed data cannot be read ({error})") from None
        self._hash.update(data)
        self._plain_bytes += len(data)
        if self._plain_bytes > self._expected.plain_bytes:
            raise Damaged(f"the object is damaged: it holds more than the {self._expected.plain_bytes} bytes that were written")
        if not data:
            self._verify()
        return data

    def finish(self) -> None:
        """Read what is left, and return only if all of it was right. Raises as read does."""
        while self.read(_READ_BYTES):
            pass

    def close(self) -> None:
        """At any time; closes the raw reader, too. Raises nothing."""
        if self._decryptor is not None:
            self._decryptor.close()
        self._raw.close()

    def _check_encryption(self) -> None:
        """What the decryption met explains all that follows from it. It waits until what is left has been read."""
        if self._decryptor is not None:
            while self._decryptor.read(_READ_BYTES):
                pass
            try:
                self._decryptor.check()
            except AgeError as error:
                if error.not_for_it and not self._expected.recipient:
                    raise WrongKey("the object is encrypted for another key than the one that was given") from None
                raise Damaged(f"the object is damaged: it was cut or altered after it was encrypted ({error})") from None

    def _verify(self) -> None:
        self._check_encryption()
        while self._incoming.read(_READ_BYTES):
            pass
        expected, incoming = self._expected, self._incoming
        _compare("bytes stored", incoming.size_bytes, expected.stored_bytes)
        _compare("SHA-256 of what is stored", incoming.hash.hexdigest(), expected.stored_sha256)
        _compare("bytes of content", self._plain_bytes, expected.plain_bytes)
        _compare("SHA-256 of the content", self._hash.hexdigest(), expected.plain_sha256)
        self._whole = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_sealed(raw: ArchiveReader, identity: str | None, expected: Figures) -> SealedReader:
    """identity: the secret age key, None for an object that is not encrypted. The reader owns raw from then on.

    Raises WrongKey at once where expected names the recipient, otherwise at the first read; raw is closed then.
    """
    try:
        _check_identity(identity, expected.recipient)
        return SealedReader(raw, identity, expected)
    except BaseException:
        raw.close()
        raise


def _check_identity(identity: str | None, recipient: str) -> None:
    if identity is None:
        if recipient:
            raise WrongKey(f"the object is encrypted for {recipient}, and no key was given")
        return
    try:
        given = recipient_of(identity)
    except ValueError as error:
        raise WrongKey(f"the object is encrypted, but {error}") from None
    if recipient and given != recipient:
        raise WrongKey(f"the object is encrypted for {recipient}, but the key that was given belongs to {given}")


class _Stored:
    """Counts what goes into the archive."""

    def __init__(self, raw: ArchiveWriter) -> None:
        self._raw = raw
        self.hash = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> None:
        self.hash.update(data)
        self.size_bytes += len(data)
        self._raw.write(data)


class _Incoming:
    """Counts what comes from the archive."""

    def __init__(self, raw: ArchiveReader, limit_bytes: int) -> None:
        self._raw = raw
        self._limit_bytes = limit_bytes
        self.hash = hashlib.sha256()
        self.size_bytes = 0

    def read(self, size_bytes: int) -> bytes:
        data = self._raw.read(size_bytes)
        self.hash.update(data)
        self.size_bytes += len(data)
        if self.size_bytes > self._limit_bytes:
            raise Damaged(f"the object is damaged: more than the {self._limit_bytes} bytes that were written are stored")
        return data


def _compare(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise Damaged(f"the object is damaged: {what}: {found} instead of {expected}")
