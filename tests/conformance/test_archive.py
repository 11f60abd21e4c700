"""What every place for snapshots must do, over a folder, memory, and real servers of S3, of Azure and of Google's XML API."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachefleet.archive.age_pipe import new_identity, recipient_of
from cachefleet.archive.places import Archive
from cachefleet.archive.sealing import Damaged, SealedWriter, open_sealed
from cachefleet.archive.streams import ArchiveError
from tests.fixtures.cloud_stores import CloudPlace
from tests.fixtures.object_store import Bucket

IDENTITY = new_identity()
SEVERAL_PARTS = (8 << 20) * 2 + 12_345  # parts have 8 MiB


@pytest.fixture(params=["folder", "memory", "s3", "azure", "google"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Archive]:
    if request.param == "folder":
        yield Archive.open(str(tmp_path / "archive"))
    elif request.param == "memory":
        yield Archive.open("memory://")
    elif request.param == "azure":
        place: CloudPlace = request.getfixturevalue("azure")
        yield Archive.open(place.url, place.options)
    else:
        name = "google_bucket" if request.param == "google" else "bucket"
        bucket: Bucket = request.getfixturevalue(name)
        place = request.getfixturevalue("google") if request.param == "google" else CloudPlace(bucket.url, bucket.options)
        yield Archive.open(place.url, place.options)
        assert bucket.unfinished() == []


def write(archive: Archive, path: str, content: bytes, piece_bytes: int = 200_000) -> None:
    writer = archive.writer(path)
    for first in range(0, len(content), piece_bytes):
        writer.write(memoryview(content)[first : first + piece_bytes])
    writer.close()


def read(archive: Archive, path: str, piece_bytes: int = 300_000) -> bytes:
    reader = archive.reader(path)
    try:
        content = bytearray()
        while piece := reader.read(piece_bytes):
            assert len(piece) <= piece_bytes
            content += piece
        assert reader.read(1) == b""
        return bytes(content)
    finally:
        reader.close()


@pytest.mark.parametrize("size_bytes", [0, 1, 300_000, 8 << 20, SEVERAL_PARTS])
def test_what_was_written_is_read_again(archive: Archive, size_bytes: int) -> None:
    content = random.Random(size_bytes).randbytes(size_bytes)
    write(archive, "group/snapshot/0001.rdb", content)
    assert archive.size("group/snapshot/0001.rdb") == size_bytes
    assert hashlib.sha256(read(archive, "group/snapshot/0001.rdb")).digest() == hashlib.sha256(content).digest()
    assert list(archive.names()) == [("group/snapshot/0001.rdb", size_bytes)]


def test_nobody_sees_an_object_before_it_is_closed(archive: Archive) -> None:
    writer = archive.writer("a/b")
    writer.write(bytes(SEVERAL_PARTS))
    with pytest.raises(ArchiveError) as caught:
        archive.size("a/b")
    assert caught.value.missing
    writer.close()
    assert archive.size("a/b") == SEVERAL_PARTS


@pytest.mark.parametrize("size_bytes", [0, 10, SEVERAL_PARTS])
def test_abort_leaves_nothing(archive: Archive, size_bytes: int) -> None:
    writer = archive.writer("a/b")
    writer.write(bytes(size_bytes))
    writer.abort()
    writer.abort()
    assert list(archive.names()) == []
    with pytest.raises(ArchiveError, match="closed already"):
        writer.close()
    assert list(archive.names()) == []


def test_abort_after_close_changes_nothing(archive: Archive) -> None:
    writer = archive.writer("a/b")
    writer.write(b"content")
    writer.close()
    writer.abort()
    assert archive.get("a/b", 100) == b"content"
    with pytest.raises(ArchiveError, match="closed already"):
        writer.close()


def test_an_aborted_rewrite_leaves_the_old_object(archive: Archive) -> None:
    archive.put("a/b", b"old")
    writer = archive.writer("a/b")
    writer.write(bytes(SEVERAL_PARTS))
    writer.abort()
    assert archive.get("a/b", 100) == b"old"


def test_put_replaces(archive: Archive) -> None:
    archive.put("a/manifest.json", b"old, and longer")
    archive.put("a/manifest.json", b"new")
    assert archive.get("a/manifest.json", 3) == b"new"


def test_what_is_longer_than_the_limit_is_refused(archive: Archive) -> None:
    archive.put("a", b"0123456789")
    assert archive.get("a", 10) == b"0123456789"
    with pytest.raises(ArchiveError, match="more than 9 bytes"):
        archive.get("a", 9)


def test_missing_objects_are_told_from_other_failures(archive: Archive) -> None:
    archive.put("there/one", b"1")
    for path in ("there/two", "elsewhere/one", "there", "there/one/below"):
        for use in (archive.reader, archive.size):
            with pytest.raises(ArchiveError, match="does not exist") as caught:
                use(path)
            assert caught.value.missing


def test_names_are_those_of_a_folder_and_below(archive: Archive) -> None:
    for path in ("a/1", "a/b/2", "ab/3", "c"):
        archive.put(path, path.encode())
    assert sorted(archive.names()) == [("a/1", 3), ("a/b/2", 5), ("ab/3", 4), ("c", 1)]
    assert sorted(archive.names("a")) == [("a/1", 3), ("a/b/2", 5)]
    assert sorted(archive.names("a/b")) == [("a/b/2", 5)]
    assert list(archive.names("nothing")) == []


def test_odd_characters_stay_what_they_are(archive: Archive) -> None:
    for path in ("a b/c+d%20e", "größe/ß", "x/y=z&a?b#c"):
        archive.put(path, path.encode())
        assert archive.get(path, 100) == path.encode()
    assert {path for path, _ in archive.names()} == {"a b/c+d%20e", "größe/ß", "x/y=z&a?b#c"}


def test_removing_what_is_not_there_is_no_error(archive: Archive) -> None:
    for number in range(5):
        archive.put(f"a/{number}", b"x")
    archive.remove(["no/such", "a/1", "a/7", "a/3"])
    archive.remove(["a/1"])
    archive.remove([])
    assert sorted(path for path, _ in archive.names()) == ["a/0", "a/2", "a/4"]
    archive.remove_below("a")
    archive.remove_below("a")
    assert list(archive.names()) == []


def test_a_reader_may_be_left_at_any_time(archive: Archive) -> None:
    archive.put("a", b"x" * 1000)
    reader = archive.reader("a")
    assert reader.read(10) == b"x" * 10
    reader.close()
    reader.close()


def test_a_sealed_object_of_several_parts_comes_out_again(archive: Archive) -> None:
    content = random.Random(1).randbytes(SEVERAL_PARTS)
    with SealedWriter(archive.writer("a/1.rdb.zst.age", len(content)), recipient_of(IDENTITY)) as writer:
        for first in range(0, len(content), 256 << 10):
            writer.write(content[first : first + (256 << 10)])
    figures = writer.figures()
    assert archive.size("a/1.rdb.zst.age") == figures.stored_bytes
    with open_sealed(archive.reader("a/1.rdb.zst.age"), IDENTITY, figures) as reader:
        assert reader.read(len(content)) == content
        reader.finish()


def test_a_sealed_object_that_was_changed_in_its_place_is_found_out(archive: Archive) -> None:
    with SealedWriter(archive.writer("a/1"), recipient_of(IDENTITY)) as writer:
        writer.write(random.Random(2).randbytes(500_000))
    stored = archive.get("a/1", 1 << 20)
    chance = random.Random(3)
    for _ in range(10):
        altered = bytearray(stored)
        altered[chance.randrange(len(stored))] ^= 1 << chance.randrange(8)
        archive.put("a/1", bytes(altered))
        with pytest.raises(Damaged), open_sealed(archive.reader("a/1"), IDENTITY, writer.figures()) as reader:
            reader.finish()
    archive.put("a/1", stored[:-1])
    with pytest.raises(Damaged), open_sealed(archive.reader("a/1"), IDENTITY, writer.figures()) as reader:
        reader.finish()


def test_an_exception_in_the_middle_leaves_nothing(archive: Archive) -> None:
    with pytest.raises(KeyboardInterrupt), SealedWriter(archive.writer("a/1"), recipient_of(IDENTITY)) as writer:
        writer.write(random.Random(2).randbytes(SEVERAL_PARTS))
        raise KeyboardInterrupt
    assert list(archive.names()) == []
