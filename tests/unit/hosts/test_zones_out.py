"""Zones declared lost: what is written, and what a host makes of the file in all its states."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cachefleet.hosts.zones_out import FILE_NAME, ZonesOut, declare, read


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / FILE_NAME


def test_what_is_declared_is_seen(file: Path) -> None:
    zones = ZonesOut(file)
    assert zones.letters() == frozenset()
    assert declare(file, "a", out=True)
    assert file.stat().st_mode & 0o777 == 0o600
    assert zones.letters() == read(file) == {"a"}
    assert declare(file, "c", out=True) and not declare(file, "c", out=True)
    assert zones.letters() == {"a", "c"}
    assert declare(file, "a", out=False) and not declare(file, "a", out=False)
    assert zones.letters() == {"c"}
    file.unlink()
    assert zones.letters() == frozenset()
    assert ZonesOut(file).letters() == frozenset()


@pytest.mark.parametrize("content", [b"", b'["a"', b'{"a": 1}', b"[1]", b"\xff"])
def test_a_damaged_file_is_none_and_said_once(file: Path, content: bytes) -> None:
    declare(file, "a", out=True)
    zones = ZonesOut(file)
    assert zones.letters() == {"a"}
    file.write_bytes(content)
    with capture_logs() as logs:
        assert [zones.letters() for _ in range(3)] == [frozenset()] * 3
    assert [(line["log_level"], line["file"]) for line in logs] == [("warning", str(file))]
    assert read(file) == frozenset()
    assert declare(file, "b", out=True)
    assert zones.letters() == {"b"}


def test_a_file_that_stays_is_not_read_again(file: Path) -> None:
    """Its content is changed behind the back of size and times, which nobody does but this test."""
    declare(file, "a", out=True)
    zones = ZonesOut(file)
    assert zones.letters() == {"a"}
    before = file.stat()
    file.write_bytes(b'["b"]')
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert zones.letters() == {"a"}
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert zones.letters() == {"b"}


def test_declarations_at_once_do_not_undo_each_other(file: Path) -> None:
    letters = [chr(ord("a") + number) for number in range(20)]
    threads = [threading.Thread(target=declare, args=(file, letter), kwargs={"out": True}) for letter in letters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(file) == set(letters)
