"""Folders: private, written in one step, never left by a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from cachefleet.hosts.folders import Folders
from cachefleet.interfaces import HostRefused


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    made = Folders(tmp_path / "data" / "nodes")
    made.make_root()
    return made


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_everything_is_for_the_owner_only(folders: Folders) -> None:
    folder = folders.create("u.n.1", {"engine.conf": b"secret", "tls/key.pem": b"key"})
    assert [mode(path) for path in (folders.root.parent, folders.root, folder, folder / "tls")] == [0o700] * 4
    assert [mode(folder / name) for name in ("engine.conf", "tls/key.pem")] == [0o600] * 2
    assert sorted(path.name for path in folder.iterdir()) == ["engine.conf", "tls"]
    assert folders.names() == ["u.n.1"]


@pytest.mark.parametrize("incarnation", ["", ".", "..", "a/b", "/etc", "a\0b", ".hidden"])
def test_an_incarnation_is_one_folder_below_ours(folders: Folders, incarnation: str) -> None:
    with pytest.raises(ValueError, match="not the id of an incarnation"):
        folders.path(incarnation)


@pytest.mark.parametrize("name", ["", ".", "../other/file", "/etc/passwd", "a/../../b"])
def test_a_file_stays_in_its_folder(folders: Folders, name: str) -> None:
    folders.create("u.n.1", {})
    with pytest.raises(ValueError, match="not a file below"):
        folders.write("u.n.1", name, b"")


def test_a_write_of_a_crashed_control_plane_is_no_obstacle(folders: Folders) -> None:
    folder = folders.create("u.n.1", {"nodes": b"old"})
    (folder / ".nodes.new").write_bytes(b"half")
    folders.write("u.n.1", "nodes", b"new")
    assert (folder / "nodes").read_bytes() == b"new"
    assert [path.name for path in folder.iterdir()] == ["nodes"]


def test_the_tail_is_the_end_of_the_engines_log_or_else_of_its_output(folders: Folders) -> None:
    assert folders.log_tail("u.n.1") == ""
    folder = folders.create("u.n.1", {"output.log": b"bind: address in use\n"})
    assert folders.log_tail("u.n.1") == "bind: address in use"
    (folder / "engine.log").write_bytes(b"".join(b"line %d\n" % number for number in range(10_000)))
    assert folders.log_tail("u.n.1").splitlines() == [f"line {number}" for number in range(9990, 10_000)]
    (folder / "engine.log").write_bytes(b"\xff" * 100_000)
    assert len(folders.log_tail("u.n.1")) == 2048


def test_erasing_the_unknown_is_no_error_and_what_fails_says_why(folders: Folders) -> None:
    folders.erase("u.n.1")
    (folders.root / "u.n.2").write_bytes(b"a file where a folder should be")
    with pytest.raises(HostRefused, match=r"u\.n\.2 cannot be removed"):
        folders.erase("u.n.2")
