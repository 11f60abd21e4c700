"""Folders and HTTP collectors get every entry, in order; one that takes none is an error, and recovers."""

from __future__ import annotations

import asyncio
import http.server
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cachefleet.model.log import Parcel
from cachefleet.settings import LogSettings
from cachefleet.telemetry import log_sending
from cachefleet.telemetry.log_dispatch import LogDispatch
from tests.component.logs.world import NOW, World, in_world, to
from tests.component.notifications.listening import Answering, listening


def test_a_folder_takes_lines_day_by_day_within_its_bound(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        collector = await world.begin()
        dispatch = LogDispatch(world.sources())
        (tmp_path / "out").mkdir()
        other = tmp_path / "out" / "out-2-2026-01-01.0000.log"  # of the stream out-2
        other.write_text("x" * 1000)
        world.node.slow(2, at_s=int(NOW) - 90_000)
        world.node.slow(3)
        await collector.look()
        await dispatch.look()
        files = sorted({*(tmp_path / "out").iterdir()} - {other})
        assert [file.name for file in files] == ["out-2026-11-23.0000.log"]  # the older one was beyond the bound
        lines = files[0].read_text().splitlines()
        assert [line.split(",")[:3] for line in lines] == [["demo-001", "0001", str(number)] for number in (2, 3, 4)]
        assert files[0].stat().st_mode & 0o777 == 0o600
        assert await world.logs.waiting() == {}
        assert await world.states() == {"slow-log": "active"}

    streams = {"out": f"file://{tmp_path}/out"}
    in_world(World(tmp_path, to("out", since=0.0), streams=streams, folder_bytes=100), body)


def test_a_destination_that_takes_nothing_is_an_error_and_recovers(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        collector = await world.begin()
        dispatch = collector._dispatch
        (tmp_path / "out").write_text("a file in the way")
        world.node.slow(3)
        await collector.look()
        await dispatch.look()
        await collector.look()
        assert await world.states() == {"slow-log": f"error folder {tmp_path}/out: File exists"}
        world.node.slow(3)
        await collector.look()  # as much as may wait is waiting: the rest stays in the engine
        await dispatch.look()
        assert await world.logs.waiting() == {"out": 3}
        (tmp_path / "out").unlink()
        world.clock.pass_time(60)
        await dispatch.look()
        await dispatch.look()
        await collector.look()
        await dispatch.look()
        assert await world.states() == {"slow-log": "active"}
        (file,) = (tmp_path / "out").iterdir()
        assert [int(line.split(",")[2]) for line in file.read_text().splitlines()] == list(range(6))

    in_world(World(tmp_path, to("out"), streams={"out": f"file://{tmp_path}/out"}, waiting_events=3), body)


def test_a_stream_that_the_settings_do_not_know_any_more(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        collector = await world.begin()
        await collector.look()
        assert "the setting logs.streams says what streams are, and has none" in (await world.states())["slow-log"]

    in_world(World(tmp_path, to("out")), body)


class Collector(http.server.BaseHTTPRequestHandler):
    """Refuses the first request."""

    told: list[tuple[str, str, Any]]

    def do_POST(self) -> None:
        body = msgspec.json.decode(self.rfile.read(int(self.headers["Content-Length"])))
        self.told.append((self.path, self.headers.get("Authorization", ""), body))
        self.send_response(503 if len(self.told) == 1 else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.mark.parametrize(("scheme", "path"), [("otlp", "/v1/logs"), ("loki", "/loki/api/v1/push")])
def test_an_http_collector_is_told_until_it_has_understood(tmp_path: Path, scheme: str, path: str) -> None:
    handler: Any = type("Handler", (Collector,), {"told": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    where = f"127.0.0.1:{server.server_port}"

    async def body(world: World) -> None:
        collector = await world.begin()
        dispatch = collector._dispatch
        world.node.slow(2)
        await collector.look()
        await dispatch.look()
        await collector.look()
        assert await world.states() == {"slow-log": f"error {scheme}+http://{where} answered 503 Service Unavailable:"}
        await dispatch.look()
        assert len(handler.told) == 1  # not before its pause is over
        world.clock.pass_time(5)
        await dispatch.look()
        await collector.look()
        assert await world.states() == {"slow-log": "active"}
        (_, (asked, login, told)) = handler.told
        assert (asked, login) == (path, "Basic bWU6dGhlIHNlY3JldA==")
        assert str(told).count("GET ... (1 more arguments)") == 2

    try:
        url = f"{scheme}+http://me:the%20secret@{where}"
        in_world(World(tmp_path, to("out"), streams={"out": url}), body)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def drips_its_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 204 No Content\r\nx: ")
    await drip(writer)


async def drips_its_refusal(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 503 Busy\r\n\r\n")
    await drip(writer, b" ")


async def drip(writer: asyncio.StreamWriter, what: bytes = b"y") -> None:
    while True:
        writer.write(what)
        await writer.drain()
        await asyncio.sleep(0.01)


async def refuses_at_length(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 Bad\r\ncontent-length: 100000\r\n\r\n" + b"z" * 150)
    await writer.drain()
    await drip(writer, b"z" * 10)


async def accepts_at_length(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    await reader.read()


@pytest.mark.parametrize(
    ("answer", "timeout_s", "why"),
    [
        (drips_its_head, 0.2, ": no answer within 0.2 seconds"),
        (drips_its_refusal, 0.2, ": no answer within 0.2 seconds"),
        (refuses_at_length, 30.0, " answered 400 Bad: " + "z" * 200),
        (accepts_at_length, 30.0, ""),
    ],
)
def test_no_collector_is_waited_for_longer_than_it_takes(
    monkeypatch: pytest.MonkeyPatch, answer: Answering, timeout_s: float, why: str
) -> None:
    async def body() -> None:
        async with listening(answer) as port:
            where = f"otlp+http://127.0.0.1:{port}"
            sender = log_sending.SettingsLogSender(LogSettings(streams={"out": where}))
            assert await sender.send("out", [Parcel("out", 1, "m", {}, 1)]) == (where + why if why else "")

    monkeypatch.setattr(log_sending, "TIMEOUT_S", timeout_s)
    asyncio.run(body())
