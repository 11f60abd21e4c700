"""One data folder: its key, its lock, and what others learn from them."""

from __future__ import annotations

import asyncio
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cachefleet.app.installation import AlreadyRunning, CredentialsDamaged, Installation, NotInstalled, ServiceLock
from cachefleet.app.key_check import KeyUnfit
from cachefleet.app.services import ServiceInfo


def test_the_first_users_key_is_made_once_and_is_nobody_elses_to_read(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "data")
    with pytest.raises(NotInstalled):
        installation.credentials()
    made = installation.prepare()
    assert installation.prepare() == made == installation.credentials()
    assert stat.S_IMODE((tmp_path / "data" / "credentials.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


@pytest.mark.parametrize("content", [b"", b'{"access', b"[]", b'{"access_key_id": 1}', b"\xff"])
def test_a_damaged_key_file_is_named_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "credentials.json"
    path.write_bytes(content)
    with pytest.raises(CredentialsDamaged, match=rf"{path} is damaged .* delete it"):
        Installation(tmp_path).prepare()
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"\n", b"00" * 31, b"0G" * 32, b"00" * 33, b"\xff" * 64])
def test_a_damaged_installation_key_is_named_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "installation.key"
    path.write_bytes(content)
    with pytest.raises(KeyUnfit, match=rf"{path} is damaged: put it back from a backup, or end the engines.* delete the file"):
        Installation(tmp_path).prepare()
    assert path.read_bytes() == content


def test_the_installations_key_is_made_once_and_is_nobody_elses_to_read(tmp_path: Path) -> None:
    installation, path = Installation(tmp_path), tmp_path / "installation.key"
    installation.prepare()
    made = path.read_bytes()
    installation.prepare()
    assert path.read_bytes() == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_several_make_a_folder_at_once_and_have_the_same_key_and_identity(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "data")
    with ThreadPoolExecutor(8) as crowd:
        keys = set(crowd.map(lambda _: Installation(tmp_path / "data").prepare(), range(16)))
    assert len(keys) == 1
    assert len(installation.identity) == 32
    before = installation.identity
    installation.prepare()
    assert installation.identity == before


def test_a_lock_remembers_the_last_service(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    assert installation.last_service() is None
    for port in (1, 23456):
        with ServiceLock(installation) as lock:
            lock.tell(ServiceInfo(1, f"http://127.0.0.1:{port}", "local-1"))
        assert installation.last_service() == ServiceInfo(1, f"http://127.0.0.1:{port}", "local-1")


def test_a_held_lock_refuses_a_second_service_and_the_end_of_its_caches(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    for held, refused in ((False, False), (False, True), (True, False)):
        with ServiceLock(installation, shared=held):
            with (
                pytest.raises(AlreadyRunning, match="already runs on the data folder"),
                ServiceLock(installation, shared=refused),
            ):
                pass
            with pytest.raises(AlreadyRunning):
                asyncio.run(installation.stop_caches())
    with ServiceLock(installation, shared=True), ServiceLock(installation, shared=True):
        pass


def test_no_service_is_stopped_where_none_runs(tmp_path: Path) -> None:
    assert Installation(tmp_path).stop_services() == 0
