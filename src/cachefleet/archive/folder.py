"""Snapshots in a folder of this machine: a file per object, readable by its owner only, durable when it can be seen.

Blocking. Checks no paths (Archive has). Unfinished files keep their place's name with .part, so that they are found again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from io import BufferedReader, BufferedWriter, FileIO
from pathlib import Path

from cachefleet.archive.streams import ArchiveError, Data

UNFINISHED = ".part"
_BUFFER_BYTES = 1 << 20
# Small: a kernel that is not preemptible lets nobody else run on this processor until a system call has ended.
_WRITE_BYTES = 256 << 10
_WRITE_BACK_BYTES = 2 << 20
_ATTEMPTS = 100  # to put a file into a folder that others take away while it is empty, where locks are not known
_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up", errno.EFBIG: "files may not be that big"}
_LASTING = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP}
)


class FolderPlace:
    """Place over a folder, which is made when it is first written to."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def writer(self, path: str, size_hint_bytes: int) -> _FileWriter:
        return _FileWriter(self._root, self._root / path)

    def reader(self, path: str) -> _FileReader:
        return _FileReader(self._root / path)

    def put(self, path: str, content: bytes) -> None:
        writer = self.writer(path, len(content))
        try:
            writer.write(content)
            writer.close()
        except BaseException:
            writer.abort()
            raise

    def names(self, prefix: str) -> Iterator[tuple[str, int]]:
        top = self._root / prefix

        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):  # nobody has written yet, or somebody removes meanwhile
                raise _failure("be listed", top, error)

        for folder, _, files in os.walk(top, onerror=refuse):
            for name in files:
                file = Path(folder, name)
                try:
                    size_bytes = file.stat().st_size
                except FileNotFoundError:
                    continue
                except OSError as error:
                    raise _failure("be listed", file, error) from error
                yield file.relative_to(self._root).as_posix(), size_bytes

    def remove(self, paths: Sequence[str]) -> None:
        folders = set()
        for path in paths:
            file = self._root / path
            try:
                _unfinished(file).unlink(missing_ok=True)
                file.unlink(missing_ok=True)
            except NotADirectoryError:
                continue
            except OSError as error:
                raise _failure("be removed", file, error) from error
            folders.add(file.parent)
        for folder in folders:
            _prune(self._root, folder)

    def size(self, path: str) -> int:
        file = self._root / path
        try:
            status = file.stat()
        except OSError as error:
            raise _failure("be read", file, error) from error
        if not stat.S_ISREG(status.st_mode):
            raise _missing(file)
        return status.st_size


class _FileWriter:
    def __init__(self, root: Path, file: Path) -> None:
        self._root = root
        self._file = file
        self._fresh = _unfinished(file)
        self._stream: BufferedWriter | None = None
        self._since_bytes = 0  # the kernel was told to begin
        try:
            self._stream = _create(root, self._fresh)
        except OSError as error:
            raise _failure("be written", file, error) from error

    def write(self, data: Data) -> None:
        if self._stream is None:
            raise ArchiveError(f"{self._file} was closed already", permanent=True)
        try:
            self._stream.write(data)
            self._since_bytes += len(data)
            if self._since_bytes >= _WRITE_BACK_BYTES:
                self._since_bytes = 0
                _write_back(self._stream.fileno())
        except OSError as error:
            raise _failure("be written", self._file, error) from error

    def close(self) -> None:
        if self._stream is None:
            raise ArchiveError(f"{self._file} was closed already", permanent=True)
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            self._stream = None
            self._fresh.replace(self._file)
            for folder in self._file.parents:
                sync_folder(folder)
                if folder == self._root:
                    break
        except OSError as error:
            self.abort()
            raise _failure("be written", self._file, error) from error

    def abort(self) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            _drop(stream)
        try:
            self._fresh.unlink(missing_ok=True)
        except OSError:  # it stays where names() shows it
            return
        _prune(self._root, self._file.parent)


class _FileReader:
    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._stream = BufferedReader(FileIO(file), _BUFFER_BYTES)
        except OSError as error:
            raise _failure("be read", file, error) from error

    def read(self, size_bytes: int) -> bytes:
        try:
            return self._stream.read(size_bytes)
        except OSError as error:
            raise _failure("be read", self._file, error) from error

    def close(self) -> None:
        self._stream.close()


def make_folder(folder: Path) -> None:
    """With its parents, durably; for the owner only. Raises OSError."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """What was made, renamed or removed in it outlasts a crash of the machine. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_back(descriptor: int) -> None:
    """Begin to bring to the disk what was written, without waiting, and forget what is there already. Else the kernel would
    begin when there are gigabytes of it, most of them would be left for the end, and memory that others use for files would
    fill with what nobody reads soon. In a virtual machine, memory that was not in use lately may be slow to get, too: a MiB
    took 2.6 ms, in which a processor did nothing else, and takes 0.2 ms where the same memory is used again. Raises OSError."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _prune(root: Path, folder: Path) -> None:
    """Empty folders up to the root, which stays."""
    with contextlib.suppress(OSError), _locked(root, fcntl.LOCK_EX):  # in use, or gone already
        while folder != root and root in folder.parents:
            folder.rmdir()
            folder = folder.parent


def _create(root: Path, fresh: Path) -> BufferedWriter:
    """Raises OSError. The folders below the root are made durable by the writer's close: no wait for the disk may come between
    making one and putting a file into it, since who removes the last object of a folder takes the folder away, too."""
    make_folder(root)
    below = [folder for folder in reversed(fresh.parents) if root in folder.parents]
    with _locked(root, fcntl.LOCK_SH):
        for attempt in range(1, _ATTEMPTS + 1):
            for folder in below:
                with contextlib.suppress(FileExistsError, FileNotFoundError):
                    folder.mkdir(mode=0o700)
            try:
                fresh.unlink(missing_ok=True)  # of a crash
                descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
                break
            except FileNotFoundError:
                if attempt == _ATTEMPTS:
                    raise
    return BufferedWriter(FileIO(descriptor, "w"), _WRITE_BYTES)


@contextlib.contextmanager
def _locked(root: Path, how: int) -> Iterator[None]:
    """Who makes folders shares them with other makers, but not with who takes empty ones away. Raises OSError."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no folders
            fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _drop(stream: BufferedWriter) -> None:
    """Close without what is still in the buffer: a full disk would refuse it again, each time that it is tried."""
    raw = stream.raw
    try:
        raw.close()
        stream.close()
    except (OSError, ValueError):
        return


def _unfinished(file: Path) -> Path:
    return file if file.name.endswith(UNFINISHED) else file.with_name(file.name + UNFINISHED)


def _failure(what: str, file: Path, error: OSError) -> ArchiveError:
    if isinstance(error, FileNotFoundError) or (
        what == "be read" and isinstance(error, NotADirectoryError | IsADirectoryError)
    ):
        return _missing(file)
    number = error.errno or 0
    if number in _FULL:
        return ArchiveError(f"{file} cannot {what}: {_FULL[number]}; make room, or keep snapshots elsewhere", permanent=True)
    why = os.strerror(number) if number else type(error).__name__
    return ArchiveError(f"{file} cannot {what}: {why}", permanent=number in _LASTING)


def _missing(file: Path) -> ArchiveError:
    return ArchiveError(f"{file} does not exist", permanent=True, missing=True)
