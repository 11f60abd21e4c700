"""The folders of incarnations below <data>/nodes: made, written, read at their end, removed.

Everything here is for the owner's eyes only (0700, 0600). Where a process becomes another user and reads its files again, they
are that user's (0600) and the folder can be passed by whoever stands in it (0711): to others the root is closed (0700).
Blocking: but for the short tail of a log, called in threads. Used by Launches.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from cachefleet.hosts.files import replace_file
from cachefleet.interfaces import HostRefused

OUTPUT = "output.log"  # what the process prints
ENGINE_LOG = "engine.log"  # what an engine logs when it was told to log to a file
_KEPT_LOGS = "ended-logs"  # beside the root
_TAIL_LINES = 10
_TAIL_BYTES = 2048


def is_ours(name: str) -> bool:
    """Whether a folder of this name can be an incarnation's, and is not a file system's (`lost+found`, `.snapshots`)."""
    return "." in name and not name.startswith(".")


class Folders:
    """<root>/<incarnation>/ for each incarnation."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def make_root(self) -> None:
        """And the data folder around it, when there is none. Raises OSError."""
        self.root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.mkdir(mode=0o700, exist_ok=True)
        self.root.chmod(0o700)

    def path(self, incarnation: str) -> Path:
        """Raises ValueError for a name that is not one folder's name."""
        if not incarnation or "/" in incarnation or "\0" in incarnation or incarnation.startswith("."):
            raise ValueError(f"{incarnation!r} is not the id of an incarnation")
        return self.root / incarnation

    def names(self) -> list[str]:
        """Incarnations that have a folder."""
        return [entry.name for entry in os.scandir(self.root) if is_ours(entry.name) and entry.is_dir(follow_symlinks=False)]

    def create(self, incarnation: str, files: Mapping[str, bytes], pipes: Sequence[str] = (), owner: str = "") -> Path:
        """Make the folder with these files and named pipes. owner: see Rendering. Raises OSError, KeyError for an owner that
        the machine does not know; FileExistsError when there is a folder."""
        folder = self.path(incarnation)
        user = pwd.getpwnam(owner).pw_uid if owner else -1
        folder.mkdir(mode=0o700)
        if owner:
            folder.chmod(0o711)
        for name, content in files.items():
            self._write(incarnation, name, content, user)
        for name in pipes:
            os.mkfifo(folder / name, mode=0o600)
        return folder

    def write(self, incarnation: str, name: str, content: bytes) -> None:
        """Replace one file in one step; it stays whose it was. Raises OSError; ValueError for a file that is not below the
        folder."""
        try:
            owner = (self.path(incarnation) / name).lstat().st_uid
        except FileNotFoundError:
            owner = -1
        self._write(incarnation, name, content, -1 if owner == os.geteuid() else owner)

    def _write(self, incarnation: str, name: str, content: bytes, owner: int) -> None:
        folder = self.path(incarnation)
        target = folder / name
        if not target.is_relative_to(folder) or ".." in target.parts or target == folder:
            raise ValueError(f"{name!r} is not a file below the incarnation's folder")
        if target.parent != folder:
            folder.stat()  # the folder itself is made by create only
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(target, content, durable=False, owner=owner)  # the process dies with the machine, too

    def erase(self, incarnation: str) -> None:
        """Remove the folder, but for its log; none is no error. Raises HostRefused."""
        try:
            self._keep_log(incarnation)
            shutil.rmtree(self.path(incarnation))
        except FileNotFoundError:
            return
        except OSError as error:
            raise HostRefused(f"the folder of {incarnation} cannot be removed: {error}") from error

    def _keep_log(self, incarnation: str) -> None:
        """Raises OSError."""
        for name in (ENGINE_LOG, f"{ENGINE_LOG}.1"):
            log = self.path(incarnation) / name
            if log.is_file():
                kept = self.kept_path(incarnation)
                for folder in (kept.parent, kept):
                    folder.mkdir(mode=0o700, exist_ok=True)
                log.replace(kept / name)

    def kept_path(self, incarnation: str) -> Path:
        """Where the log of a launch is when its folder is gone."""
        return self.root.with_name(_KEPT_LOGS) / self.path(incarnation).name

    def kept_logs(self) -> list[str]:
        """Launches that have such a log."""
        try:
            return sorted(entry.name for entry in os.scandir(self.root.with_name(_KEPT_LOGS)) if is_ours(entry.name))
        except FileNotFoundError:
            return []

    def log_tail(self, incarnation: str) -> str:
        """The last lines that the engine logged, or printed when it has no log of its own; "" when there are none."""
        for name in (ENGINE_LOG, OUTPUT):
            tail = _tail(self.path(incarnation) / name)
            if tail:
                return tail
        return ""


def _tail(file: Path) -> str:
    try:
        with file.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - _TAIL_BYTES))
            text = log.read(_TAIL_BYTES).decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.strip().splitlines()[-_TAIL_LINES:])
