"""One data folder: its key, its lock, and what others learn from them."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from cachefleet.app.installation import AlreadyRunning, CredentialsDamaged, Installation, NotInstalled, ServiceInfo, ServiceLock


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


def test_a_lock_tells_who_holds_it_from_the_first_moment(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    assert installation.service() is None
    with ServiceLock(installation) as lock:
        lock.tell(ServiceInfo(1, "http://127.0.0.1:1", "local-1"))
    assert installation.service() is None
    assert installation.last_service() == ServiceInfo(1, "http://127.0.0.1:1", "local-1")
    with ServiceLock(installation):
        assert installation.service() == ServiceInfo(os.getpid(), "http://127.0.0.1:1", "local-1")


def test_a_held_lock_refuses_a_second_service_and_the_end_of_its_caches(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    with ServiceLock(installation):
        with pytest.raises(AlreadyRunning, match="already runs on the data folder"), ServiceLock(installation):
            pass
        with pytest.raises(AlreadyRunning):
            asyncio.run(installation.stop_caches())


def test_no_service_is_stopped_where_none_runs(tmp_path: Path) -> None:
    assert Installation(tmp_path).stop_service() is False
