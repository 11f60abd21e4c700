"""interfaces.Transfers by worker processes (app.transfer_worker): starts them, reads what they tell, ends them.

Secrets go to a worker by its standard input only. A worker ends when we do: its input ends. What is small (a manifest, a list,
a removal, a key) is done in a thread, but not in one of the few that the event loop has: engines are started there, and an
archive or a key management that does not answer must not keep them waiting.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog
from msgspec.structs import replace

from cachefleet.access_interfaces import Passwords
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
from cachefleet.archive.key_errors import KeyringError, KeyUnavailable
from cachefleet.archive.keyring import Keyring
from cachefleet.archive.places import Archive
from cachefleet.archive.streams import ArchiveError
from cachefleet.clock import Clock
from cachefleet.engines.access import CONTROLLER
from cachefleet.hosts.yielding import give_way
from cachefleet.model.observed import Address, FeedView
from cachefleet.model.snapshot_file import KeyVersion, SnapshotFile
from cachefleet.settings import ArchiveSettings
from cachefleet.snapshot_interfaces import Seed, Taken, TransferFailed

log = structlog.get_logger()
LINE_BYTES = 1 << 20
LAST_WORDS_BYTES = 2000
DEFAULT_FOLDER = "snapshots"
KEYS_FOLDER = "keys"
ANY_BUCKET = "*"
THREADS = 32  # that wait for keys, and as many for the archive
R = TypeVar("R")


class WorkerTransfers:
    """interfaces.Transfers."""

    def __init__(
        self,
        data_dir: Path,
        settings: ArchiveSettings,
        clock: Clock,
        passwords: Passwords | None = None,
        authorities: Callable[[], str] | None = None,
        children: Callable[[str], Sequence[int]] = lambda _: (),
    ) -> None:
        """passwords: None where engines let anybody do everything. authorities: by whom engines with TLS are known, PEM.
        children: incarnation -> processes that it has forked."""
        self._authorities = authorities
        self._children = children
        self._passwords = passwords
        self._settings = settings
        self._clock = clock
        self._url = settings.url or str(data_dir / DEFAULT_FOLDER)
        self._keyring = Keyring(data_dir / KEYS_FOLDER, settings.key_commands)
        self._feeds: dict[str, tuple[asyncio.Task[None], list[FeedView]]] = {}
        self._for_keys = ThreadPoolExecutor(THREADS, "keys")
        self._for_archive = ThreadPoolExecutor(THREADS, "archive")

    # --- keys ---

    async def newest_key(self, name: str) -> KeyVersion:
        return await _in_thread(self._for_keys, lambda: self._keyring.recipient(name))

    async def _opened(self, file: SnapshotFile) -> StoredFile:
        """With what opens it. Raises TransferFailed."""
        key = file.key
        identity = None
        if key.recipient:
            identity = await _in_thread(self._for_keys, lambda: self._keyring.identity(key.name, key.version))
        return StoredFile(self._place(file.object), file, identity)

    def _place(self, path: str) -> Place:
        """In our archive; or where a URL says."""
        if "://" not in path:
            return Place(self._url, path, self._settings.options)
        scheme, _, rest = path.partition("://")  # names of objects may have ? and #, and are not quoted
        bucket, _, name = rest.partition("/")
        buckets = self._settings.buckets
        return Place(f"{scheme}://{bucket}", name, buckets.get(bucket, buckets.get(ANY_BUCKET, {})))

    # --- transfers ---

    async def store(
        self, at: Address, file: str, key: KeyVersion, told: Callable[[int], None], *, memcached: bool = False
    ) -> Taken:
        known = self._passwords is not None and at.launch and not memcached
        login = (CONTROLLER, self._passwords.controller(at.launch)) if known and self._passwords is not None else None
        job = StoreJob(at, self._place(file), key.recipient, self._settings.stalled_s, memcached, login, self._known_by(at))
        return (await self._run(job, told, Stored)).taken

    def _known_by(self, at: Address | None) -> str:
        return self._authorities() if self._authorities is not None and at is not None and at.tls_port else ""

    async def copy(self, file: SnapshotFile, to: str, key: KeyVersion) -> SnapshotFile:
        job = CopyJob(await self._opened(file), self._place(to), key.recipient)
        copied = await self._run(job, _nobody, Copied)
        return replace(
            file, object=to, key=key, sealed=True, stored_bytes=copied.stored_bytes, stored_sha256=copied.stored_sha256
        )

    async def export(self, file: SnapshotFile, to: str) -> None:
        await self._run(ExportJob(await self._opened(file), self._place(to)), _nobody, Exported)

    def feed(self, incarnation: str, pipe: str, seed: Seed) -> None:
        if incarnation in self._feeds:
            return
        views = [FeedView(total_bytes=sum(file.rdb_bytes for file in seed.files))]
        self._feeds[incarnation] = asyncio.create_task(self._feed(pipe, seed, views)), views

    async def _feed(self, pipe: str, seed: Seed, views: list[FeedView]) -> None:
        def told(fed_bytes: int) -> None:
            views[0] = replace(views[0], fed_bytes=fed_bytes)

        try:
            files = [await self._opened(file) for file in seed.files]
            now_ms = int(self._clock.now() * 1000)
            authorities = self._known_by(seed.to)
            job = FeedJob(tuple(files), seed.slots, pipe, now_ms, seed.to, self._settings.stalled_s, authorities)
            fed = await self._run(job, told, Fed)
            views[0] = replace(views[0], done=True, keys=fed.keys, fed_bytes=views[0].total_bytes)
        except TransferFailed as error:
            views[0] = replace(views[0], failure=str(error), lasting=error.lasting)
        except Exception as error:
            log.exception("a feed broke", pipe=pipe)
            views[0] = replace(views[0], failure=f"{type(error).__name__}; the service's log says more")

    def feeds(self, uid: str) -> Mapping[str, FeedView]:
        return {name: views[0] for name, (_, views) in self._feeds.items() if name.startswith(f"{uid}.")}

    def forget(self, uid: str, current: Sequence[str]) -> None:
        for name in [name for name in self._feeds if name.startswith(f"{uid}.") and name not in current]:
            self._feeds.pop(name)[0].cancel()

    async def _run(self, job: Job, told: Callable[[int], None], expected: type[R]) -> R:
        """Raises TransferFailed."""
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cachefleet.app.transfer_worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=LINE_BYTES,
            env={name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH", "LANG", "TMPDIR")},
        )
        words = asyncio.create_task(_last_words(worker))
        gentle = self._see_that_it_gives_way(job, worker)
        try:
            assert worker.stdin is not None
            with suppress(RuntimeError, OSError):  # it has ended before it was told anything: what follows sees that
                worker.stdin.write(msgspec.json.encode(job) + b"\n")
            result = await self._heard(worker, told)
            if isinstance(result, expected):
                return result
            said = await words
        finally:
            gentle.cancel()
            if worker.returncode is None:
                worker.kill()
            await worker.wait()
            await words
        log.error("a transfer worker ended without a word", exit=worker.returncode, said=said)
        raise TransferFailed(
            f"a transfer worker ended (exit {worker.returncode}) without a result; the service's log says more"
        )

    def _see_that_it_gives_way(self, job: Job, worker: asyncio.subprocess.Process) -> asyncio.Task[None]:
        """To the clients of caches, and the engine's child that sends it the data, too. Not where somebody waits for it: a
        restore."""
        ended = isinstance(job, FeedJob)
        launch = job.at.launch if isinstance(job, StoreJob) else ""
        return asyncio.create_task(
            give_way(
                worker.pid,
                self._clock,
                ended=lambda: ended or worker.returncode is not None,
                helpers=lambda: self._children(launch) if launch else (),
            )
        )

    async def _heard(self, worker: asyncio.subprocess.Process, told: Callable[[int], None]) -> Result | None:
        """None when it ended without one. Raises TransferFailed."""
        assert worker.stdout is not None
        while True:
            try:
                async with asyncio.timeout(self._settings.stalled_s):
                    line = await worker.stdout.readline()
            except TimeoutError:
                raise TransferFailed(f"no data have got through for {self._settings.stalled_s:g} s") from None
            if not line:
                return None
            report: Report = msgspec.json.decode(line, type=Report)
            if isinstance(report, Failed):
                raise TransferFailed(report.message, lasting=report.lasting)
            if not isinstance(report, Progress):
                return report
            told(report.bytes_done)

    # --- small things ---

    async def put(self, path: str, content: bytes) -> None:
        await _in_thread(self._for_archive, lambda: self._archive().put(path, content))

    async def remove(self, folder: str) -> None:
        await _in_thread(self._for_archive, lambda: self._archive().remove_below(folder.rstrip("/")))

    async def folders(self, above: str) -> Sequence[str]:
        def look() -> list[str]:
            paths = [path for path, _ in self._archive().names(above.rstrip("/"))]
            below = [path[len(above) :].partition("/") for path in paths if path.startswith(above)]
            return sorted({f"{above}{name}/" for name, slash, _ in below if slash})

        return await _in_thread(self._for_archive, look)

    def _archive(self) -> Archive:
        return Archive.open(self._url, self._settings.options)

    async def close(self) -> None:
        tasks = [task for task, _ in self._feeds.values()]
        self._feeds.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _in_thread(threads: Executor, work: Callable[[], R]) -> R:
    """Raises TransferFailed."""
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, work)
    except ArchiveError as error:
        raise TransferFailed(str(error), lasting=error.permanent) from None
    except KeyringError as error:
        raise TransferFailed(str(error), lasting=not isinstance(error, KeyUnavailable)) from None


async def _last_words(worker: asyncio.subprocess.Process) -> str:
    """What it wrote to its standard error, the end of it."""
    assert worker.stderr is not None
    said = b""
    while piece := await worker.stderr.read(65536):
        said = (said + piece)[-LAST_WORDS_BYTES:]
    return said.decode(errors="replace")


def _nobody(_: int) -> None:
    pass
