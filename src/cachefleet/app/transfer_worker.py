"""A process that moves one snapshot's data: between an engine, an archive and the pipe of an engine that starts.

Run by app.transfers as `python -m cachefleet.app.transfer_worker`: one job on standard input, reports on standard output. It
ends when its standard input does, which is when whoever started it ends. Memory is bounded whatever the size.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import valkey

from cachefleet.app.memcached_transfers import feed_items, store_items
from cachefleet.app.transfer_jobs import (
    Copied,
    CopyJob,
    Exported,
    ExportJob,
    Failed,
    Fed,
    FeedJob,
    Job,
    Place,
    Progress,
    Report,
    Result,
    Stored,
    StoredFile,
    StoreJob,
)
from cachefleet.archive.places import Archive
from cachefleet.archive.sealing import Damaged, Figures, SealedWriter, WrongKey, open_sealed
from cachefleet.archive.streams import ArchiveError, ArchiveReader, ArchiveWriter
from cachefleet.clock import SystemClock
from cachefleet.engines.memcached_items import ItemsFault
from cachefleet.engines.memcached_stream import Refused
from cachefleet.engines.rdb import Header, HeaderReader, RdbFault, begun, checked, counts, select
from cachefleet.engines.replica_stream import StreamBroken, open_stream
from cachefleet.model.observed import Address
from cachefleet.snapshot_interfaces import Taken

CHUNK_BYTES = 256 << 10
TELL_S = 0.25  # between two reports
OPEN_S = 60.0  # an engine opens its pipe within milliseconds of its start
OPEN_AGAIN_S = 0.005


class Trouble(Exception):
    """See Failed."""

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class Teller:
    """Reports on standard output."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._told_at = self._clock.monotonic()
        self._bytes = 0

    def tell(self, report: Report) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        sys.stdout.buffer.flush()

    def passed(self, count_bytes: int) -> None:
        """So many bytes more of an RDB. Told by the clock: few bytes in a long time are a sign of life, too."""
        self._bytes += count_bytes
        self.alive()

    def alive(self) -> None:
        """There is something to do before any byte passes."""
        now = self._clock.monotonic()
        if now - self._told_at >= TELL_S:
            self._told_at = now
            self.tell(Progress(self._bytes))


def main() -> int:
    job: Job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    teller = Teller()
    try:
        teller.tell(run(job, teller))
    except Trouble as error:
        teller.tell(Failed(str(error), error.lasting))
    except ArchiveError as error:
        teller.tell(Failed(str(error), error.permanent))
    except (Damaged, WrongKey, ItemsFault, Refused) as error:
        teller.tell(Failed(str(error), lasting=True))
    except RdbFault as error:
        teller.tell(Failed(f"the file {error}", lasting=True))
    except StreamBroken as error:
        teller.tell(Failed(str(error), lasting=False))
    else:
        return 0
    return 1


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(2)


def run(job: Job, teller: Teller) -> Result:
    """Raises Trouble, ArchiveError, Damaged, WrongKey, RdbFault, ItemsFault, Refused, StreamBroken."""
    if isinstance(job, StoreJob):
        return Stored(store_items(job, teller.passed, teller.alive) if job.memcached else _store(job, teller))
    if isinstance(job, FeedJob):
        return Fed(_feed(job, teller) if job.to is None else _feed_items(job, job.to, teller))
    if isinstance(job, CopyJob):
        return _copy(job, teller)
    _export(job, teller)
    return Exported()


# --- from an engine into the archive -------------------------------------------------------------------------------


class Engine:
    """What an engine says of itself."""

    def __init__(self, job: StoreJob) -> None:
        at, timeout_s = job.at, job.timeout_s
        name, password = job.login or (None, None)
        encrypted: dict[str, Any] = (
            {"ssl": True, "ssl_ca_data": job.authorities, "ssl_check_hostname": True} if job.authorities else {}
        )
        client = valkey.Valkey(
            at.host,
            at.own_port,
            **encrypted,
            username=name,
            password=password,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
        )
        try:
            with closing(client):
                sections: list[Any] = [client.info(name) for name in ("server", "memory", "keyspace")]
        except valkey.exceptions.ValkeyError as error:
            raise StreamBroken(f"{at} does not answer: {error}") from None
        info = {name: value for section in sections for name, value in section.items()}
        self.version = str(info.get("valkey_version", info.get("redis_version", "")))
        self.used_bytes = int(info.get("used_memory", 0))
        names = [name for name in info if name.startswith("db") and name[2:].isdecimal()]
        self.databases = tuple(sorted(int(name[2:]) for name in names))


def _store(job: StoreJob, teller: Teller) -> Taken:
    engine = Engine(job)
    raw = Archive.open(job.to.archive, job.to.options).writer(job.to.path, engine.used_bytes)
    with SealedWriter(raw, job.recipient or None) as sealed:
        stream = open_stream(
            job.at,
            version=engine.version,
            timeout_s=job.timeout_s,
            alive=teller.alive,
            login=job.login,
            authorities=job.authorities,
        )
        with stream as chunks:
            keys, databases = _written(chunks, sealed, engine, job, teller)
        sealed.close()
        figures = sealed.figures()
    return Taken(
        keys=keys,
        databases=databases,
        used_bytes=engine.used_bytes,
        rdb_bytes=figures.plain_bytes,
        rdb_sha256=figures.plain_sha256,
        stored_bytes=figures.stored_bytes,
        stored_sha256=figures.stored_sha256,
    )


def _written(
    chunks: Iterator[bytes], sealed: SealedWriter, engine: Engine, job: StoreJob, teller: Teller
) -> tuple[int, tuple[int, ...]]:
    """(keys, databases that have any). The beginning of an RDB tells the keys of its first database; where there are more, all
    of it has to be read."""

    def passed() -> Iterator[bytes]:
        for chunk in chunks:
            sealed.write(chunk)
            teller.passed(len(chunk))
            yield chunk

    if not set(engine.databases) <= {0}:
        found = counts(passed())
        return sum(found.keys.values()), tuple(found.keys)
    reader = HeaderReader()
    header: Header | None = None
    for chunk in passed():
        header = header or reader.feed(chunk)
    now = Engine(job)
    if header is None or not set(now.databases) <= {0} or header.database not in (None, 0):
        raise StreamBroken(f"{job.at} got keys outside database 0 while its data were read; they have to be counted anew")
    if header.keys is None:
        raise Trouble(f"{job.at} has data of a module, of which nobody can tell how many keys there are", lasting=True)
    return header.keys, (0,) if header.keys else ()


# --- from the archive ----------------------------------------------------------------------------------------------


def _plain(stored: StoredFile, teller: Teller) -> Iterator[bytes]:
    """The RDB. Its end is not reached unless everything was right."""
    raw = Archive.open(stored.place.archive, stored.place.options).reader(stored.place.path)
    if not stored.file.sealed:
        with closing(raw):
            yield from begun(_chunks(raw, teller))
        return
    file = stored.file
    expected = Figures(
        plain_bytes=file.rdb_bytes,
        plain_sha256=file.rdb_sha256,
        stored_bytes=file.stored_bytes,
        stored_sha256=file.stored_sha256,
        recipient=file.key.recipient,
    )
    with open_sealed(raw, stored.identity, expected) as sealed:
        yield from _chunks(sealed, teller)


def _proven(stored: StoredFile, teller: Teller) -> Iterator[bytes]:
    """As _plain, where an engine does not get the whole of it: only that could check the sum which bare files have."""
    return _plain(stored, teller) if stored.file.sealed else checked(_plain(stored, teller))


def _chunks(reader: ArchiveReader, teller: Teller) -> Iterator[bytes]:
    while chunk := reader.read(CHUNK_BYTES):
        teller.passed(len(chunk))
        yield chunk


def _feed(job: FeedJob, teller: Teller) -> int:
    """How many keys it was given, -1 not counted. The last chunk goes only when nothing else is to come: without its end an
    engine refuses all of it."""
    plain = _plain if job.slots is None else _proven
    selection = select([partial(plain, stored, teller) for stored in job.files], job.slots)
    with open(_opened(job.pipe), "wb", buffering=0) as pipe:
        held = b""
        try:
            for chunk in selection:
                _write_all(pipe.write, held)
                held = chunk
            _write_all(pipe.write, held)
        except BrokenPipeError:
            raise Trouble("the engine ended while it was loading its data") from None
    return -1 if selection.keys_passed is None else selection.keys_passed


def _feed_items(job: FeedJob, to: Address, teller: Teller) -> int:
    (stored,) = job.files
    plain, now = _plain(stored, teller), job.now_ms / 1000
    return feed_items(to, plain, timeout_s=job.timeout_s, now=now, authorities=job.authorities)


def _opened(pipe: str) -> int:
    """A descriptor for writing, once somebody reads there; nobody can do so a second time. Raises Trouble."""
    pause = threading.Event()
    for _ in range(int(OPEN_S / OPEN_AGAIN_S)):
        try:
            descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise Trouble(f"{pipe} cannot be opened: {error.strerror}") from None
            pause.wait(OPEN_AGAIN_S)
        else:
            os.set_blocking(descriptor, True)
            Path(pipe).unlink(missing_ok=True)
            return descriptor
    raise Trouble(f"no engine has opened {pipe} within {OPEN_S:g} s")


def _write_all(write: Callable[[memoryview], int | None], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[write(view) or 0 :]


def _copy(job: CopyJob, teller: Teller) -> Copied:
    with SealedWriter(_writer(job.to, job.file), job.recipient or None) as sealed:
        for chunk in _plain(job.file, teller):
            sealed.write(chunk)
        sealed.close()
        figures = sealed.figures()
    return Copied(figures.stored_bytes, figures.stored_sha256)


def _export(job: ExportJob, teller: Teller) -> None:
    writer = _writer(job.to, job.file)
    try:
        for chunk in _plain(job.file, teller):
            writer.write(chunk)
        writer.close()
    except BaseException:
        writer.abort()
        raise


def _writer(to: Place, file: StoredFile) -> ArchiveWriter:
    return Archive.open(to.archive, to.options).writer(to.path, file.file.rdb_bytes)


if __name__ == "__main__":
    sys.exit(main())
