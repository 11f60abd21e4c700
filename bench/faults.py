"""What is done to a primary: killed, frozen and resumed later, or asked to hand over. Knows nothing of what comes of it.

Processes are struck through a pidfd, so that a number that the kernel gave to another one is never met.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from bench.caches import Cache
from bench.clients import Where
from tests.fixtures.service import wait_for

RESUME_AFTER_S = 3.0
HELD = 4
_REPLY_S = 1.0


class Fault(Protocol):
    def strike(self) -> None: ...

    def end(self) -> int:
        """When writes are acknowledged again: what is to follow. Returns how many writes the struck node acknowledged
        after it."""

    def close(self) -> None: ...


Aim = Callable[[Cache, Where], Fault]  # where: the primary's own address


class Kill:
    def __init__(self, cache: Cache, primary: Where) -> None:
        self._process = os.pidfd_open(cache.pid_at(primary))

    def strike(self) -> None:
        signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def end(self) -> int:
        return 0

    def close(self) -> None:
        os.close(self._process)


class Freeze:
    """SIGSTOP; SIGCONT some seconds later, or as soon as it turns out that the process was ended meanwhile. Connections from
    before bring writes that wait for the process while it is frozen; whether it acknowledges them is read when it goes on."""

    def __init__(self, cache: Cache, primary: Where) -> None:
        self._pid = cache.pid_at(primary)
        self._process = os.pidfd_open(self._pid)
        self._key = cache.held_key
        self._held = [socket.create_connection(cache.way_to(primary), timeout=_REPLY_S) for _ in range(HELD)]

    def strike(self) -> None:
        signal.pidfd_send_signal(self._process, signal.SIGSTOP)
        wait_for("the process has stopped", self._has_stopped, every_s=0.0005)
        self._send("while-frozen")

    def end(self) -> int:
        self._send("while-replaced")
        ended = select.poll()
        ended.register(self._process, select.POLLIN)
        ended.poll(1000 * RESUME_AFTER_S)
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, signal.SIGCONT)
        return sum(_acknowledgements(connection) for connection in self._held)

    def close(self) -> None:
        with suppress(ProcessLookupError):  # when the bench fails in between
            signal.pidfd_send_signal(self._process, signal.SIGCONT)
        os.close(self._process)
        for connection in self._held:
            connection.close()

    def _has_stopped(self) -> bool:
        return Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def _send(self, value: str) -> None:
        for connection in self._held:
            with suppress(OSError):
                connection.sendall(f"RPUSH {self._key} {value}\r\n".encode())


class HandOver:
    """TestFailover of the first shard, wherever its primary is."""

    def __init__(self, api: Any, group: str, *_: object) -> None:
        self._api, self._group = api, group

    def strike(self) -> None:
        self._api.test_failover(ReplicationGroupId=self._group, NodeGroupId="0001")

    def end(self) -> int:
        return 0

    def close(self) -> None:
        pass


def _acknowledgements(connection: socket.socket) -> int:
    """Until the node closes it, or is silent for a while. An acknowledgement of RPUSH is a number."""
    received = b""
    with suppress(OSError):
        while more := connection.recv(4096):
            received += more
    return sum(line.startswith(b":") for line in received.splitlines())
