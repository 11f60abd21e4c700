"""access_interfaces.AccessStrings by throw-away engines: a process on a socket in a folder of its own, for what one call asks.

It is nobody's cache, is reached by nobody else and holds nothing. A shell stands between us and it, and ends it and takes its
folder away when our end of a pipe is closed: when the question is answered, and when we die.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import structlog

from cachefleet.access_interfaces import AccessReading, AccessRefused, AccessUnread
from cachefleet.clock import Clock
from cachefleet.engine_interfaces import Build
from cachefleet.engines.access_strings import AccessWords, questions, read_words, refusal
from cachefleet.engines.connection import Connection, ErrorReply
from cachefleet.engines.conversation import ConnectionEnded

log = structlog.get_logger()
DEADLINE_S = 10.0
LOOK_S = 0.005
ENGINES_AT_ONCE = 2  # throw-away ones
STRINGS_AT_ONCE = 256  # in one conversation: 16 kB each at most
REMEMBERED = 4096  # strings that an engine has taken
SOCKET, CONFIG = "socket", "engine.conf"
_GUARD = '"$1" "$2/engine.conf" >/dev/null 2>&1 & cat >/dev/null; kill -9 "$!"; wait; rm -rf "$2"'
_VARIABLES = ("PATH", "LANG", "TMPDIR")


class EngineAccessStrings:
    """access_interfaces.AccessStrings. One engine per build reads all strings of a call; few run at a time. What an engine took
    once it is not asked again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turns = asyncio.Semaphore(ENGINES_AT_ONCE)
        self._taken: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def read(self, access_strings: Sequence[str], builds: Sequence[Build]) -> list[AccessReading]:
        found = [_written(text) for text in access_strings]
        asked = list({words.text: words for words in found if isinstance(words, AccessWords)}.values())
        answers = await asyncio.gather(*(self._refusals(asked, build) for build in builds), return_exceptions=True)
        refused: dict[str, str] = {}
        for answer in reversed(answers):  # of several engines that refuse it, the first that was named tells why
            if isinstance(answer, BaseException):
                raise answer
            refused.update(answer)
        return [words if isinstance(words, AccessReading) else _reading(words, refused.get(words.text, "")) for words in found]

    async def _refusals(self, strings: Sequence[AccessWords], build: Build) -> dict[str, str]:
        """By the text of those that the engine does not take, why. Raises AccessUnread."""
        found: dict[str, str] = {}
        async with self._turns:
            left = [words for words in strings if (build.binary, words.text) not in self._taken]
            for start in range(0, len(left), STRINGS_AT_ONCE):
                found |= await self._asked(left[start : start + STRINGS_AT_ONCE], build)
        return found

    async def _asked(self, strings: Sequence[AccessWords], build: Build) -> dict[str, str]:
        """As _refusals, in one conversation; what is taken is remembered."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                refused = await self._ask(strings, build)
        except TimeoutError:
            raise AccessUnread(f"{build.binary} did not answer within {DEADLINE_S:g} s") from None
        for words in strings:
            if words.text not in refused:
                self._taken[build.binary, words.text] = None
        while len(self._taken) > REMEMBERED:
            self._taken.popitem(last=False)
        return refused

    async def _ask(self, strings: Sequence[AccessWords], build: Build) -> dict[str, str]:
        """As _refusals. Raises AccessUnread."""
        asked = [questions(words, build.capabilities) for words in strings]
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
                replies: list[Any] = await connection.batch(*chain.from_iterable(asked))
            finally:
                connection.abort("is not needed any more")
        except ConnectionEnded as error:
            raise AccessUnread(f"{build.binary} did not answer: {error}") from error
        finally:
            assert guard.stdin is not None
            guard.stdin.close()
            await asyncio.shield(guard.wait())
        answers = iter(replies)
        errors = {
            words.text: [str(reply) for reply in islice(answers, len(each)) if isinstance(reply, ErrorReply)]
            for words, each in zip(strings, asked, strict=True)
        }
        what = f"{build.engine} {build.version} does not take it"
        return {text: f"{what}: {refusal(said)}" for text, said in errors.items() if said}

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


def _written(access_string: str) -> AccessWords | AccessReading:
    """The reading already when nobody may write it."""
    try:
        return read_words(access_string)
    except AccessRefused as error:
        return AccessReading(refusal=str(error))


def _reading(words: AccessWords, refused: str) -> AccessReading:
    return AccessReading(refusal=refused) if refused else AccessReading(words.text)


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
