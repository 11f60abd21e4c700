"""Messages for files of this machine: each is a line at the end. Blocking; the courier calls it in a thread."""

from __future__ import annotations

import os
from pathlib import Path

from cachefleet.courier.failure import Undelivered

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def append_line(folder: Path, name: str, line: bytes) -> None:
    """The folder (0700) and the file (0600) are made when they are not there. A line that a crash has cut off is ended first.
    Raises Undelivered."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / name, _FLAGS, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            cut_off = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            content = (b"\n" if cut_off else b"") + line + b"\n"
            while content:
                content = content[os.write(descriptor, content) :]
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Undelivered(f"the file cannot be written: {error.strerror}") from None
