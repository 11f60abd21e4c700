"""access_interfaces.AccessStrings by throw-away engines: a process on a socket in a folder of its own, for one question.

It is nobody's cache, is reached by nobody else and holds nothing. A shell stands between us and it, and ends it and takes its
folder away when our end of a pipe is closed: when the question is answered, and when we die.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from cachefleet.access_interfaces import AccessRefused, AccessUnread
from cachefleet.clock import Clock
from cachefleet.engine_interfaces import Build
from cachefleet.engines.access_strings import AccessWords, questions, read_words, refusal
from cachefleet.engines.connection import Connection, ErrorReply
from cachefleet.engines.conversation import ConnectionEnded

log = structlog.get_logger()
DEADLINE_S = 10.0
LOOK_S = 0.005
REMEMBERED = 1024  # answers
SOCKET, CONFIG = "socket", "engine.conf"
_GUARD = '"$1" "$2/engine.conf" >/dev/null 2>&1 & cat >/dev/null; kill -9 "$!"; wait; rm -rf "$2"'
_VARIABLES = ("PATH", "LANG", "TMPDIR")


class EngineAccessStrings:
    """access_interfaces.AccessStrings. One engine at a time; what an engine took once it is not asked again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turn = asyncio.Lock()
        self._taken: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def read(self, access_string: str, builds: Sequence[Build]) -> str:
        words = read_words(access_string)
        for build in builds:
            await self._require(words, build)
        return words.text

    async def _require(self, words: AccessWords, build: Build) -> None:
        """The engine takes it. Raises AccessRefused, AccessUnread."""
        place = build.binary, words.text
        async with self._turn:
            if place in self._taken:
                return
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await self._ask(words, build)
            except TimeoutError:
                raise AccessUnread(f"{build.binary} did not answer within {DEADLINE_S:g} s") from None
            self._taken[place] = None
            if len(self._taken) > REMEMBERED:
                self._taken.popitem(last=False)

    async def _ask(self, words: AccessWords, build: Build) -> None:
        """Raises AccessRefused, AccessUnread."""
        folder = Path(tempfile.mkdtemp(prefix="cachefleet-access-"))
        (folder / CONFIG).write_text(_configuration(folder))
        guard = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            _GUARD,
            "sh",
            build.binary,
            str(folder),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name in _VARIABLES},
        )
        try:
            connection = await self._connected(folder / SOCKET)
            try:
                replies: list[Any] = await connection.batch(*questions(words, build.capabilities))
            finally:
                connection.abort("is not needed any more")
        except ConnectionEnded as error:
            raise AccessUnread(f"{build.binary} did not answer: {error}") from error
        finally:
            assert guard.stdin is not None
            guard.stdin.close()
            await asyncio.shield(guard.wait())
        errors = [str(reply) for reply in replies if isinstance(reply, ErrorReply)]
        if errors:
            raise AccessRefused(f"{build.engine} {build.version} does not take it: {refusal(errors)}")

    async def _connected(self, path: Path) -> Connection:
        """Within the caller's time."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                _, connection = await loop.create_unix_connection(Connection, str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                await self._clock.sleep(LOOK_S)
            else:
                return connection


def _configuration(folder: Path) -> str:
    lines = (
        "port 0",
        f"unixsocket {folder / SOCKET}",
        "unixsocketperm 700",
        f"dir {folder}",
        'save ""',
        "appendonly no",
        "daemonize no",
        "maxmemory 16mb",
    )
    return "".join(f"{line}\n" for line in lines)
