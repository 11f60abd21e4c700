"""Access strings are read by throw-away engines of every installed version, which leave nothing behind."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from cachefleet.access_interfaces import AccessReading, AccessRefused, AccessUnread
from cachefleet.app.access_reader import EngineAccessStrings
from cachefleet.clock import SystemClock
from cachefleet.engine_interfaces import Build
from cachefleet.engines.access_strings import AccessWords
from cachefleet.engines.catalogue import InstalledEngines
from cachefleet.model.group import Engine
from cachefleet.settings import EngineSettings
from tests.component.api_groups.access_stage import admit, create_user
from tests.component.api_groups.stage import GroupStage
from tests.fakes.catalogue import StaticCatalogue
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore

BUILDS = [build for build in InstalledEngines(EngineSettings()).builds() if build.engine is not Engine.MEMCACHED]
IDS = [f"{build.engine}-{build.version}" for build in BUILDS]


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Throw-away folders are made in the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def read(text: str, *builds: Build) -> str:
    """Raises AccessRefused for what is not taken."""
    (found,) = asyncio.run(EngineAccessStrings(SystemClock()).read([text], builds))
    assert bool(found.text) is not bool(found.refusal)
    if found.refusal:
        raise AccessRefused(found.refusal)
    return found.text


def remains(folder: Path) -> list[str]:
    """Folders, and processes that work in one."""
    working = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            working.append(str((process / "cwd").readlink()))
        except OSError:
            continue
    return [str(path) for path in folder.iterdir()] + [path for path in working if path.startswith(str(folder))]


@pytest.mark.parametrize("build", BUILDS, ids=IDS)
def test_every_version_reads(build: Build, tmp_path: Path) -> None:
    assert read("on ~app::* &news +@read -get", build) == "on ~app::* &news -@all +@read -get"
    for text, why in (("on ~a +nosuch", r"\+nosuch"), ("on ~* ~b +get", "~b"), ("on ~a b", "'b'"), ("on +@nosuch", "nosuch")):
        with pytest.raises(AccessRefused, match=why) as refused:
            read(text, build)
        assert build.version in str(refused.value)
    assert remains(tmp_path) == []


def test_what_one_version_takes_another_may_not(tmp_path: Path) -> None:
    old = [build for build in BUILDS if build.version.startswith("6.2")]
    if not old or len(BUILDS) < 2:
        pytest.skip("needs an engine of 6.2 and a newer one")
    assert read("on ~a (~b +get)", BUILDS[0]) == "on ~a -@all (~b -@all +get)"
    with pytest.raises(AccessRefused, match=r"6\.2"):
        read("on ~a (~b +get)", BUILDS[0], *old)
    assert remains(tmp_path) == []


def test_an_upgrade_asks_the_parser_of_the_new_engine(tmp_path: Path) -> None:
    """The operations over real engines' parsers. Nothing is launched; of TLS nobody is asked."""
    able = [replace(build, capabilities=build.capabilities | {"tls"}) for build in BUILDS]
    old = [build for build in able if build.engine is Engine.REDIS and build.version.startswith("6.2")]
    newer = [build for build in able if build not in old]
    if not old or not newer:
        pytest.skip("needs an engine of 6.2 and a newer one")

    async def upgrade() -> None:
        stage = GroupStage(MemoryStore(), ManualClock())
        reader = EngineAccessStrings(SystemClock())
        stage.context = replace(stage.context, catalogue=StaticCatalogue(old), read_access=reader.read)
        await create_user(stage, "app", AccessString="on ~app:* +get +stralgo")  # when there was no newer one
        await stage.call("CreateUserGroup", UserGroupId="team", Engine="redis", UserIds=["default", "app"])
        request = {"Engine": "redis", "EngineVersion": "6.2", "TransitEncryptionEnabled": True, "UserGroupIds": ["team"]}
        await stage.create_group(**request)
        await stage.settle()
        await admit(stage)
        stage.context = replace(stage.context, catalogue=StaticCatalogue(able))
        for build in newer:
            asked = {"Engine": build.engine.value, "EngineVersion": build.version.rpartition(".")[0]}
            rule = rf"user app: {build.engine} {build.version} does not take it: '\+stralgo'"
            await stage.refused("InvalidParameterValue", rule, "ModifyReplicationGroup", ReplicationGroupId="demo", **asked)
        await stage.call("ModifyUser", UserId="app", AccessString="on ~app:* +get")
        await admit(stage)
        await stage.call("ModifyReplicationGroup", ReplicationGroupId="demo", **asked)

    asyncio.run(upgrade())
    assert remains(tmp_path) == []


def test_what_nobody_may_write_needs_no_engine(tmp_path: Path) -> None:
    gone = Build(Engine.VALKEY, "9.9.9", "/nowhere/valkey-server", "settings")
    with pytest.raises(AccessRefused, match="passwords"):
        read("on ~* >a-password", gone)
    assert remains(tmp_path) == []


def test_an_engine_that_does_not_start_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachefleet.app.access_reader.DEADLINE_S", 0.3)
    gone = Build(Engine.VALKEY, "9.9.9", "/nowhere/valkey-server", "settings")
    with pytest.raises(AccessUnread, match="did not answer"):
        read("on ~* +get", gone)
    assert remains(tmp_path) == []


def test_many_calls_at_once(tmp_path: Path) -> None:
    async def ask() -> list[list[AccessReading]]:
        reader = EngineAccessStrings(SystemClock())
        return await asyncio.gather(*(reader.read([f"on ~a{number % 4} +get"], BUILDS[:1]) for number in range(20)))

    assert len({found.text for (found,) in asyncio.run(ask())}) == 4
    assert remains(tmp_path) == []


def test_one_engine_reads_all_strings_of_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is answered for itself, in order; of those that it took none is asked again."""
    started: list[str] = []
    ask = EngineAccessStrings._ask

    async def counted(reader: EngineAccessStrings, strings: Sequence[AccessWords], build: Build) -> dict[str, str]:
        started.append(f"{build.version}: {len(strings)}")
        return await ask(reader, strings, build)

    monkeypatch.setattr(EngineAccessStrings, "_ask", counted)
    strings = [f"on ~a{number} +get" if number % 10 else f"on ~a{number} +nosuch{number}" for number in range(100)]
    build = BUILDS[0]

    async def read_twice() -> tuple[list[AccessReading], list[AccessReading]]:
        reader = EngineAccessStrings(SystemClock())
        return await reader.read([*strings, "on >a-password-of-16"], BUILDS), await reader.read(strings, BUILDS[:1])

    first, second = asyncio.run(read_twice())
    for number, found in enumerate(first[:100]):
        if number % 10:
            assert found == AccessReading(f"on ~a{number} -@all +get")
        else:
            assert f"{build.version} does not take it: '+nosuch{number}'" in found.refusal
    assert "passwords" in first[100].refusal
    assert second == first[:100]
    assert sorted(started) == sorted([f"{one.version}: 100" for one in BUILDS] + [f"{build.version}: 10"])
    assert remains(tmp_path) == []
