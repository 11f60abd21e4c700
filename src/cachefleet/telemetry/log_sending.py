"""log_interfaces.LogSender: names of streams become folders and HTTP collectors, as the settings say.

An event may arrive twice, when we end between its arrival and our knowing of it. Secrets of a URL appear in no message.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from cachefleet.logs.exports import loki_body, otlp_body
from cachefleet.model.log import Parcel
from cachefleet.posting import Unanswered, post
from cachefleet.settings import LogSettings

TIMEOUT_S = 10.0
TEXT_BYTES = 200  # of what a collector says about why it takes nothing
_OTLP_PATH, _LOKI_PATH = "/v1/logs", "/loki/api/v1/push"
_HEADERS = {"content-type": "application/json", "user-agent": "cachefleet"}
_FILE_BYTES = 67_108_864
_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"


class SettingsLogSender:
    def __init__(self, settings: LogSettings) -> None:
        self._streams: Mapping[str, str] = settings.streams
        self._folder_bytes = settings.folder_bytes
        self._trust: ssl.SSLContext | None = None

    def refuses(self, stream: str) -> str:
        if stream in self._streams:
            return ""
        known = ", ".join(sorted(self._streams)) or "none"
        return f"There is no delivery stream {stream}; the setting logs.streams says what streams are, and has {known}."

    async def send(self, stream: str, parcels: Sequence[Parcel]) -> str:
        """Tried once."""
        if why := self.refuses(stream):
            return why
        url = urlsplit(self._streams[stream])
        try:
            if url.scheme != "file":
                return await self._post(url, parcels)
            await asyncio.to_thread(self._append, stream, url, parcels)
        except (OSError, Unanswered, ValueError) as error:
            return f"{_place(url)}: {_reason(error)}"
        return ""

    async def _post(self, url: SplitResult, parcels: Sequence[Parcel]) -> str:
        """Why they were not taken, "" when they were. Raises Unanswered."""
        kind, _, scheme = url.scheme.partition("+")
        body = await asyncio.to_thread(otlp_body if kind == "otlp" else loki_body, parcels)
        path = url.path.rstrip("/") or (_OTLP_PATH if kind == "otlp" else _LOKI_PATH)
        endpoint = url._replace(scheme=scheme, path=path).geturl()
        trust = await self._trusted() if scheme == "https" else None
        answer = await post(endpoint, _HEADERS, body, TIMEOUT_S, trust, TEXT_BYTES)
        return "" if answer.is_good else f"{_place(url)} answered {answer.status} {answer.reason}: {answer.text}"

    async def _trusted(self) -> ssl.SSLContext:
        """Read when it is first needed."""
        if self._trust is None:
            self._trust = await asyncio.to_thread(ssl.create_default_context)
        return self._trust

    def _append(self, stream: str, url: SplitResult, parcels: Sequence[Parcel]) -> None:
        """A file a day, by the times of the events; another one where it is long. Raises OSError."""
        folder = Path(unquote(url.path))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        by_day: dict[str, list[str]] = {}
        for parcel in parcels:
            day = datetime.fromtimestamp(parcel.at_ms / 1000, UTC).strftime("%Y-%m-%d")
            by_day.setdefault(day, []).append(parcel.message)
        for day, messages in by_day.items():
            text = "".join(message.replace("\n", " ") + "\n" for message in messages)
            descriptor = os.open(_file(folder, stream, day), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "ab") as opened:
                opened.write(text.encode(errors="replace"))
                opened.flush()
                os.fsync(opened.fileno())
        self._bound(folder, stream)

    def _bound(self, folder: Path, stream: str) -> None:
        """The oldest files go, but never the youngest."""
        files = sorted(folder.glob(f"{stream}-{_DAY}.[0-9]*.log"))
        sizes = [file.stat().st_size for file in files]
        while len(files) > 1 and sum(sizes) > self._folder_bytes:
            files.pop(0).unlink(missing_ok=True)
            sizes.pop(0)


def _file(folder: Path, stream: str, day: str) -> Path:
    """The first of the day that has room."""
    number = 0
    while True:
        file = folder / f"{stream}-{day}.{number:04d}.log"
        try:
            if file.stat().st_size < _FILE_BYTES:
                return file
        except FileNotFoundError:
            return file
        number += 1


def _place(url: SplitResult) -> str:
    if url.scheme == "file":
        return f"folder {unquote(url.path)}"
    return f"{url.scheme}://{url.hostname}" + (f":{url.port}" if url.port else "")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
