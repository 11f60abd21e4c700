"""Asks a command for a key: the way to plug in a real key management service. Bounded in time and size, and never logged.

The command prints an age identity file: one AGE-SECRET-KEY-1... per line, the oldest first, # before comments. Called by
keyring.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Sequence

from cachefleet.archive.key_errors import KeyUnavailable

_LIMIT_BYTES = 64 << 10


def ask(name: str, argv: Sequence[str], timeout_s: float) -> str:
    """What the command said. Raises KeyUnavailable, with none of its words."""
    said = f"the command for key {name} ({argv[0]})"
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        raise KeyUnavailable(f"{said} cannot be started: {error.strerror}; correct the setting or install it") from None
    answer: list[bytes] = []
    stdout = process.stdout
    assert stdout is not None
    reader = threading.Thread(target=lambda: answer.append(stdout.read(_LIMIT_BYTES + 1)), name="key-command", daemon=True)
    reader.start()
    reader.join(timeout_s)
    try:
        if not answer:
            raise KeyUnavailable(f"{said} did not answer within {timeout_s:g} s; is what it asks reachable?")
        if len(answer[0]) > _LIMIT_BYTES:
            raise KeyUnavailable(f"{said} said more than {_LIMIT_BYTES} bytes; it must print nothing but the key")
        status = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise KeyUnavailable(f"{said} did not end within {timeout_s:g} s") from None
    finally:
        _end(process, reader)
    if status:
        raise KeyUnavailable(f"{said} failed with status {status}; run it by hand to see why")
    return answer[0].decode(errors="replace")


def _end(process: subprocess.Popen[bytes], reader: threading.Thread) -> None:
    """With what it started, which may hold the pipe."""
    if process.returncode is None:  # not waited for, so its number is still its own
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    reader.join()
    if process.stdout is not None:
        process.stdout.close()
