"""log_interfaces.LogFiles on this machine: what engines have logged is read in order, through rotation and after the end.

Engines open their log file anew for every line, so a file that is renamed is complete a moment later and another one begins.
The logs of a launch whose folder is removed are kept beside the folders until somebody has read them. Made by LocalHost.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from cachefleet.hosts.folders import ENGINE_LOG, OUTPUT, Folders
from cachefleet.interfaces import Permit
from cachefleet.model.log import LogChunk

MARK_BYTES = 32  # less than any line has


class LocalLogFiles:
    def __init__(self, folders: Folders, running: Callable[[], Sequence[str]], permit: Permit) -> None:
        """running: launches that have a process. permit: asked before a file is touched."""
        self._folders = folders
        self.running = running
        self._permit = permit
        self._turn = threading.Lock()  # nothing is renamed under who reads

    async def read(self, incarnation: str, mark: str, offset: int, most_bytes: int) -> LogChunk:
        return await asyncio.to_thread(self._read, incarnation, mark, offset, most_bytes)

    async def rotate(self, incarnation: str, most_bytes: int) -> None:
        await asyncio.to_thread(self._rotate, incarnation, most_bytes)

    async def known(self) -> tuple[Sequence[str], Sequence[str]]:
        return await asyncio.to_thread(self._known)

    def _known(self) -> tuple[list[str], list[str]]:
        names = self._folders.names()  # first: a log goes from there to the others
        return names, self._folders.kept_logs()

    async def discard(self, incarnation: str) -> None:
        """Raises OSError."""
        self._permit()
        with suppress(FileNotFoundError):
            await asyncio.to_thread(shutil.rmtree, self._folders.kept_path(incarnation))

    def _read(self, incarnation: str, mark: str, offset: int, most_bytes: int) -> LogChunk:
        try:
            with self._turn:
                return self._read_in_turn(incarnation, mark, offset, most_bytes)
        except FileNotFoundError:  # it goes to where logs are kept just now: by the next look
            return LogChunk(mark, offset, b"", False)

    def _read_in_turn(self, incarnation: str, mark: str, offset: int, most_bytes: int) -> LogChunk:
        ended = incarnation not in self.running()  # before its files are looked at: what it wrote last is in them
        files = _files(self._folders.path(incarnation), self._folders.kept_path(incarnation))
        marks = [head for head, _ in files]
        missed = bool(mark) and bool(files) and mark not in marks
        number = marks.index(mark) if mark in marks else 0
        begin = offset if mark in marks else 0
        for place in range(number, len(files)):
            head, path = files[place]
            last = place == len(files) - 1
            data, more = _whole_lines(path, begin, most_bytes, partly=ended or not last)
            if data:
                return LogChunk(head, begin + len(data), data, missed, more or not last)
            begin = 0
        return LogChunk(mark, offset, b"", missed)

    def _rotate(self, incarnation: str, most_bytes: int) -> None:
        folder = self._folders.path(incarnation)
        log, output = folder / ENGINE_LOG, folder / OUTPUT
        self._permit()
        with self._turn, suppress(FileNotFoundError):
            if log.stat().st_size > most_bytes:
                log.replace(folder / f"{ENGINE_LOG}.1")
        with suppress(FileNotFoundError):
            if output.stat().st_size > most_bytes:
                os.truncate(output, 0)  # the process has it open, and appends


def _files(now: Path, kept: Path) -> list[tuple[str, Path]]:
    """(mark, path) of those that have something in them, the oldest first. One after the other they go from one folder to the
    other when the launch is erased."""
    found = []
    for name in (f"{ENGINE_LOG}.1", ENGINE_LOG):
        folder = now if (now / name).exists() else kept
        with suppress(OSError), (folder / name).open("rb") as opened:
            head = opened.read(MARK_BYTES)
            if len(head) == MARK_BYTES:
                # Inodes are used again, and two files may begin alike: not both at once.
                found.append((f"{os.fstat(opened.fileno()).st_ino:x}-{head.hex()}", folder / name))
    return found


def _whole_lines(path: Path, begin: int, most_bytes: int, *, partly: bool) -> tuple[bytes, bool]:
    """From there on, and whether there is more. partly: the last line may be without its end, nobody will write it any more."""
    with path.open("rb") as opened:
        opened.seek(begin)
        data = opened.read(most_bytes)
    full = len(data) == most_bytes
    end = data.rfind(b"\n") + 1
    if (partly and not full) or (full and not end):
        return data, full
    return data[:end], full
