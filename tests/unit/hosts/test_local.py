"""Two installations on one machine, and what one of them remembers."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cachefleet.clock import SystemClock
from cachefleet.hosts import LocalHost
from cachefleet.hosts.network import Registry
from cachefleet.interfaces import HostRefused
from cachefleet.settings import HostSettings
from tests.fakes.host import FakeHost

Installation = Callable[..., LocalHost]


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    def installation(name: str, network: int = 0) -> LocalHost:
        settings = HostSettings(network=network, spread="never")
        return LocalHost(tmp_path / name, settings, SystemClock(), registry_places=[tmp_path / "run"])

    return installation


def test_two_installations_share_no_address(installation: Installation, tmp_path: Path) -> None:
    async def life() -> None:
        one, two = installation("one"), installation("two")
        await asyncio.gather(one.adopt(), two.adopt())
        assert one.network != two.network
        assert one.offer("u", {"a": 1})["a"] == (f"127.{one.network}.64.1",)
        assert two.offer("u", {"a": 1})["a"] == (f"127.{two.network}.64.1",)
        late = installation("late", one.network)
        with pytest.raises(HostRefused, match=f"belongs to the installation in {tmp_path}/one"):
            await late.adopt()
        await late.close()
        await one.close()
        with pytest.raises(HostRefused, match="belongs to"):
            await installation("late", one.network).adopt()
        Registry(tmp_path / "one", [tmp_path / "run"]).release()
        await late.adopt()
        assert late.network == one.network
        for host in (two, late):
            await host.close()

    asyncio.run(life())


def test_an_unreadable_or_unwritable_cursor_file_is_no_obstacle(installation: Installation, tmp_path: Path) -> None:
    async def life() -> None:
        file = tmp_path / "one" / "addresses.json"
        file.parent.mkdir()
        file.write_text("{broken")
        host = installation("one")
        await host.adopt()
        kept = host.offer("u", {"a": 1})["a"]
        shutil.rmtree(tmp_path / "one")
        host.keep("u", kept)
        assert host.offer("v", {"a": 1})["a"] != kept
        await host.close()

    asyncio.run(life())


def test_an_address_that_another_group_committed_stays_there(installation: Installation) -> None:
    """Over both hosts: the pool is the same."""

    async def life() -> None:
        local, fake = installation("one"), FakeHost()
        await local.adopt()
        for host in (local, fake):
            (address,) = host.offer("old", {"a": 1})["a"]
            host.keep("old", [address])
            host.keep("new", [address])
            host.keep("new", [])
            assert address not in host.offer("third", {"a": 16_255})["a"]
        await local.close()

    asyncio.run(life())
