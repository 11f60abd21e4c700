"""Places for snapshots that fail: full disks, dead processes, stores that refuse, fail, or never answer."""

from __future__ import annotations

import http.server
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cachefleet.archive.places import Archive
from cachefleet.archive.sealing import SealedWriter
from cachefleet.archive.streams import ArchiveError
from tests.fixtures.object_store import Bucket

may_mount = pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="only root may mount a small disk")
OPTIONS = {"access_key_id": "AKID", "secret_access_key": "top-secret", "allow_http": "true", "timeout_s": "0.5", "retries": "0"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def fill(archive: Archive, path: str, size_bytes: int) -> None:
    with SealedWriter(archive.writer(path)) as writer:
        for _ in range(size_bytes // 100_000):
            writer.write(os.urandom(100_000))


def test_an_aborted_write_leaves_no_folder_either(tmp_path: Path) -> None:
    archive = Archive.open(str(tmp_path / "archive"))
    first, second = archive.writer("group/snapshot/1/object"), archive.writer("group/other/1/object")
    first.abort()
    assert [file.name for file in (tmp_path / "archive" / "group").iterdir()] == ["other"]
    second.abort()
    assert list((tmp_path / "archive").iterdir()) == []


@may_mount
def test_a_full_disk_is_said_and_left_as_it_was(small_disk: Path) -> None:
    archive = Archive.open(str(small_disk / "archive"))
    fill(archive, "a/1", 1_000_000)
    for size_bytes in (3_000_000, 2_400_000, 40_000_000):
        with pytest.raises(ArchiveError, match="the disk is full; make room, or keep snapshots elsewhere") as caught:
            fill(archive, "b/2", size_bytes)
        assert caught.value.permanent
        assert [path for path, _ in archive.names()] == ["a/1"]
    (small_disk / "ballast").write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4096))
    with pytest.raises(ArchiveError, match="the disk is full"):
        archive.put("c/manifest.json", b"x" * 100)
    assert [path for path, _ in archive.names()] == ["a/1"]
    (small_disk / "ballast").unlink()
    fill(archive, "b/2", 1_500_000)
    assert archive.size("b/2") > 1_500_000


def test_a_limit_on_the_size_of_files_is_said(tmp_path: Path) -> None:
    archive = Archive.open(str(tmp_path / "archive"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    try:
        with pytest.raises(ArchiveError, match="files may not be that big") as caught:
            fill(archive, "a/1", 4_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.permanent
    assert list(archive.names()) == []


def test_a_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(b"")
    archive = Archive.open(str(tmp_path / "archive"))
    with pytest.raises(ArchiveError, match=r"archive/a cannot be written: (File exists|Not a directory)") as caught:
        archive.put("a", b"")
    assert caught.value.permanent


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    archive = Archive.open(str(tmp_path / "new" / "archive"))
    before = os.umask(0)
    try:
        archive.put("a/b/1", b"1")
        writer = archive.writer("a/b/2")
        assert {entry.stat().st_mode & 0o777 for entry in (tmp_path / "new/archive/a/b").iterdir()} == {0o600}
        writer.close()
    finally:
        os.umask(before)
    modes = {entry.stat().st_mode & 0o777 for entry in (tmp_path / "new").rglob("*") if entry.is_dir()}
    assert modes == {0o700}
    assert {entry.stat().st_mode & 0o777 for entry in (tmp_path / "new").rglob("*") if entry.is_file()} == {0o600}


def test_empty_folders_go_with_their_last_object(tmp_path: Path) -> None:
    archive = Archive.open(str(tmp_path / "archive"))
    for path in ("a/b/1", "a/2", "c/3"):
        archive.put(path, b"")
    archive.remove(["a/b/1", "c/3"])
    assert sorted(entry.name for entry in (tmp_path / "archive").rglob("*")) == ["2", "a"]
    archive.remove(["a/2"])
    assert list((tmp_path / "archive").iterdir()) == []


SWEEP = """
import sys, threading
from cachefleet.archive.places import Archive
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
archive = Archive.open(sys.argv[1])
print("sweeping", flush=True)
while not stop.is_set():
    archive.remove(["a/b/old"])
"""


def test_writing_wins_over_the_removal_of_its_empty_folder(tmp_path: Path) -> None:
    """One process makes objects where another one takes away what was there, and the folder with it."""
    archive = Archive.open(str(tmp_path / "archive"))
    sweeper = subprocess.Popen(
        [sys.executable, "-c", SWEEP, str(tmp_path / "archive")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert sweeper.stdin and sweeper.stdout
    try:
        assert sweeper.stdout.readline() == b"sweeping\n"
        for number in range(200):
            archive.put(f"a/b/{number}", b"x")
            archive.remove([f"a/b/{number}"])
        assert sweeper.poll() is None
    finally:
        sweeper.stdin.close()
        status = sweeper.wait(30)
        sweeper.stdout.close()
    assert status == 0
    archive.put("a/b/last", b"x")
    assert [path for path, _ in archive.names()] == ["a/b/last"]


WRITE_AND_WAIT = """
import sys
from cachefleet.archive.places import Archive
writer = Archive.open(sys.argv[1]).writer("a/1.rdb")
writer.write(bytes(3 << 20))
print("written", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_left_is_found_and_removed(tmp_path: Path) -> None:
    archive = Archive.open(str(tmp_path / "archive"))
    for _ in range(2):  # the second one meets what the first one left
        child = subprocess.Popen(
            [sys.executable, "-c", WRITE_AND_WAIT, str(tmp_path / "archive")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdin and child.stdout
        try:
            assert child.stdout.readline() == b"written\n"
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
            child.stdin.close()
            child.stdout.close()
        assert [path for path, _ in archive.names("a")] == ["a/1.rdb.part"]
        with pytest.raises(ArchiveError) as caught:
            archive.reader("a/1.rdb")
        assert caught.value.missing
    archive.put("a/1.rdb", b"whole")
    assert list(archive.names()) == [("a/1.rdb", 5)]
    (tmp_path / "archive/b").mkdir()
    (tmp_path / "archive/b/2.rdb.part").write_bytes(b"left")
    archive.remove(["b/2.rdb"])
    assert list(archive.names()) == [("a/1.rdb", 5)]
    (tmp_path / "archive/a/3.rdb.part").write_bytes(b"left")
    archive.remove_below("a")
    assert list(archive.names()) == []


def test_the_prefix_of_the_url_is_part_of_the_keys(bucket: Bucket) -> None:
    archive = Archive.open(bucket.url, bucket.options)
    archive.put("a/1", b"123")
    fill(archive, "a/2", 9_000_000)
    assert set(bucket.objects()) == {"team/snapshots/a/1", "team/snapshots/a/2"}
    assert Archive.open(f"s3://{bucket.name}", bucket.options).get("team/snapshots/a/1", 3) == b"123"


def test_large_objects_have_fewer_than_ten_thousand_parts(bucket: Bucket) -> None:
    """S3's limit. A hint of 90 GB makes parts of 10 MB out of 8 MiB."""
    archive = Archive.open(bucket.url, bucket.options)
    for hint_bytes, parts in ((0, 3), (90_000_000_000, 2)):
        writer = archive.writer("a/1", hint_bytes)
        writer.write(bytes(19_000_000))
        writer.close()
        etag = bucket.owner.head_object(Bucket=bucket.name, Key="team/snapshots/a/1")["ETag"]
        assert etag.strip('"').endswith(f"-{parts}")


def test_a_bucket_that_is_not_there_is_no_missing_object(bucket: Bucket) -> None:
    archive = Archive.open("s3://no-such-bucket/prefix", bucket.options)
    with pytest.raises(ArchiveError, match="there is no such bucket") as caught:
        archive.put("a", b"")
    assert (caught.value.permanent, caught.value.missing) == (True, False)
    for use in (lambda: list(archive.names()), lambda: archive.get("a", 1), lambda: fill(archive, "a", 9_000_000)):
        with pytest.raises(ArchiveError, match="there is no such bucket") as caught:
            use()
        assert (caught.value.permanent, caught.value.missing) == (True, False)


class Store(http.server.BaseHTTPRequestHandler):
    """Says the same to everybody, and remembers what it was asked."""

    status = 500
    body = b""
    headers_seen: list[dict[str, str]]

    def answer(self) -> None:
        self.headers_seen.append({name.lower(): value for name, value in self.headers.items()})
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """It is quiet."""


class VanishingStore(Store):
    """Has an object of 20 MiB, and loses it after the first range."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(20 << 20))
        self.send_header("Last-Modified", "Sun, 22 Nov 2026 20:00:00 GMT")
        self.send_header("ETag", '"1"')
        self.end_headers()

    def do_GET(self) -> None:
        if self.headers["Range"] != "bytes=0-8388607":
            return self.answer()
        self.send_response(206)
        self.send_header("Content-Length", str(8 << 20))
        self.send_header("Content-Range", f"bytes 0-8388607/{20 << 20}")
        self.send_header("Last-Modified", "Sun, 22 Nov 2026 20:00:00 GMT")
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(bytes(8 << 20))
        return None


@contextmanager
def store(status: int, code: str, base: type[Store] = Store) -> Iterator[tuple[Archive, type[Store]]]:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>".encode() if code else b""
    kind = type("Kind", (base,), {"status": status, "body": body, "headers_seen": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield Archive.open("s3://bucket/prefix", {**OPTIONS, "endpoint": f"http://127.0.0.1:{server.server_port}"}), kind
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "words", "permanent"),
    [
        (403, "AccessDenied", "access denied .AccessDenied.; the archive's credentials must allow listing", True),
        (403, "InvalidAccessKeyId", "access denied", True),
        (403, "SignatureDoesNotMatch", "access denied", True),
        (403, "RequestTimeTooSkewed", "set this machine's clock", True),
        (401, "", "access denied", True),
        (404, "NoSuchBucket", "there is no such bucket", True),
        (400, "ExpiredToken", "renew the session token", True),
        (507, "XMinioStorageFull", "the store is full", True),
        (500, "InternalError", "InternalError", False),
        (503, "SlowDown", "SlowDown", False),
    ],
)
def test_what_a_store_refuses_is_said_in_words(status: int, code: str, words: str, permanent: bool) -> None:
    with store(status, code) as (archive, _):
        uses = (
            lambda: archive.put("a/1", b"x"),
            lambda: fill(archive, "a/1", 9_000_000),
            lambda: list(archive.names()),
            lambda: archive.remove(["a/1"]),
        )
        for use in uses:
            with pytest.raises(ArchiveError, match=words) as caught:
                use()
            assert (caught.value.permanent, caught.value.missing) == (permanent, False)
            assert "top-secret" not in str(caught.value)
            assert "\n" not in str(caught.value)


def test_nothing_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FROMENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "FROMENVIRONMENT")
    monkeypatch.setenv("AWS_REGION", "FROMENVIRONMENT")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    with store(200, "") as (archive, kind):
        archive.put("a", b"x")
    (headers,) = kind.headers_seen
    assert "Credential=AKID/" in headers["authorization"]
    assert "/us-east-1/s3/" in headers["authorization"]
    assert "x-amz-security-token" not in headers
    assert "FROMENVIRONMENT" not in str(headers)


def test_a_store_that_is_not_there_or_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(ArchiveError, match="cannot be reached") as caught:
            Archive.open("s3://bucket", {**OPTIONS, "endpoint": f"http://127.0.0.1:{port}"}).put("a", b"x")
        assert not caught.value.permanent
    for use in ("put", "writer", "names"):
        archive = Archive.open("s3://bucket", {**OPTIONS, "endpoint": f"http://127.0.0.1:{port}"})
        with pytest.raises(ArchiveError, match="the store cannot be reached; is its endpoint right"):
            if use == "put":
                archive.put("a", b"x")
            elif use == "writer":
                fill(archive, "a", 30_000_000)
            else:
                list(archive.names())


def test_a_store_that_goes_away_while_it_is_read_is_no_end_of_the_object() -> None:
    with store(500, "InternalError", VanishingStore) as (archive, _):
        reader = archive.reader("a/1")
        read_bytes = 0
        with pytest.raises(ArchiveError, match="cannot be read: InternalError") as caught:
            while piece := reader.read(1 << 20):
                read_bytes += len(piece)
        reader.close()
    assert read_bytes == 8 << 20
    assert not caught.value.permanent
