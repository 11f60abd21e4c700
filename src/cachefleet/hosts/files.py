"""Writes small files in one step: a reader sees the old or the new content, and a crash leaves one of both.

Blocking. Used by the other modules of this package, and by app for the files of the data folder.
"""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(file: Path, content: bytes, mode: int = 0o600, *, durable: bool = True, owner: int = -1) -> None:
    """mode counts as it stands, whatever the umask says. durable: it must outlast a crash of the machine, too, which takes a
    wait for the disk. owner: a user id; -1 is ours. Raises OSError."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)  # of a crash
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(descriptor, mode)
        if owner != -1:
            os.fchown(descriptor, owner, -1)
        stream.write(content)
        if durable:
            stream.flush()
            os.fsync(descriptor)
    fresh.replace(file)
