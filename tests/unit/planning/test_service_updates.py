"""Which installed builds are updates of which versions, since when, how urgent, and which of them a group may have."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from cachefleet.engine_interfaces import Build
from cachefleet.model.group import Engine
from cachefleet.model.service_update import EngineBuildDesired
from cachefleet.planning.service_updates import DAY_S, ServiceUpdate, available_at, due_at, offered, service_updates, unfit
from cachefleet.settings import UpdateSettings
from tests.unit.planning.groups import memcached, replicated

T = 1_700_000_000.0
RULES = UpdateSettings()


def build(version: str, engine: Engine = Engine.VALKEY, *can: str) -> Build:
    return Build(engine, version, "/nowhere", "PATH", frozenset(can))


def seen(*versions: str, engine: Engine = Engine.VALKEY, at: float = T) -> list[EngineBuildDesired]:
    return [EngineBuildDesired(engine=engine.value, version=version, first_seen_at=at) for version in versions]


def updates(known: list[EngineBuildDesired], *installed: Build, rules: UpdateSettings = RULES) -> dict[str, ServiceUpdate]:
    found = service_updates(known, installed, rules)
    assert len({update.name for update in found}) == len(found)
    return {update.name: update for update in found}


@pytest.mark.parametrize(
    ("versions", "names"),
    [
        (("9.1.2",), []),
        (("8.1.4", "9.1.2"), []),  # another major version is for users to ask for
        (("8.0.1", "8.1.4"), ["valkey-8-1-4-minor"]),
        (("8.1.3", "8.1.4"), ["valkey-8-1-4-patch"]),
        (("8.0.1", "8.1.3", "8.1.4"), ["valkey-8-1-3-minor", "valkey-8-1-4-patch", "valkey-8-1-4-minor"]),
        (("8.1.9", "8.1.10"), ["valkey-8-1-10-patch"]),  # by number, not by text
    ],
)
def test_newer_versions_of_a_line_are_updates(versions: tuple[str, ...], names: list[str]) -> None:
    assert list(updates(seen(*versions), *map(build, versions))) == names


def test_other_engines_have_lines_of_their_own() -> None:
    known = seen("6.2.14", "7.0.15", "7.2.4", engine=Engine.REDIS) + seen("1.6.18", "1.6.40", engine=Engine.MEMCACHED)
    found = updates(known, *(build(one.version, Engine(one.engine)) for one in known))
    assert list(found) == ["redis-7-2-4-minor", "memcached-1-6-40-patch"]
    assert not found["memcached-1-6-40-patch"].automatic, "its data would be gone"
    assert found["redis-7-2-4-minor"].automatic


def test_redis_beyond_the_last_that_valkey_reads_never_comes_by_itself() -> None:
    known = seen("7.0.15", "7.4.1", engine=Engine.REDIS)
    (update,) = updates(known, *(build(one.version, Engine.REDIS) for one in known)).values()
    assert not update.automatic


def test_severity_gives_the_dates() -> None:
    rules = UpdateSettings(severities={"valkey-8-1-4-minor": "critical"}, minor_severity="medium")
    known = seen("8.0.1", at=T - 5) + seen("8.0.2", "8.1.4")
    found = updates(known, build("8.0.1"), build("8.0.2"), build("8.1.4"), rules=rules)
    patch, minor = found["valkey-8-0-2-patch"], found["valkey-8-1-4-minor"]
    assert (patch.severity, patch.released_at, patch.apply_by) == ("important", T, T + 30 * DAY_S)
    assert (minor.severity, minor.apply_by) == ("critical", T + 14 * DAY_S)


def test_only_the_newest_patch_that_is_installed_is_available() -> None:
    known = seen("8.1.1", at=T) + seen("8.1.2", at=T + 1) + seen("8.1.3", at=T + 2) + seen("8.1.4", at=T + 3)
    found = updates(known, build("8.1.2"), build("8.1.3"))
    assert {name: (update.status, update.ended_at) for name, update in found.items()} == {
        "valkey-8-1-2-patch": ("expired", T + 2),
        "valkey-8-1-3-patch": ("available", 0.0),
        "valkey-8-1-4-patch": ("cancelled", 0.0),
    }


@pytest.mark.parametrize(
    ("rules", "days"),
    [
        (UpdateSettings(), 90),
        (UpdateSettings(automatic_after_days=0), 0),
        (UpdateSettings(automatic_after_days=3.5), 3.5),
        (UpdateSettings(automatic="patch"), math.inf),
        (UpdateSettings(automatic="never"), math.inf),
    ],
)
def test_when_it_comes_by_itself(rules: UpdateSettings, days: float) -> None:
    (update,) = updates(seen("8.0.1", "8.1.4"), build("8.1.4"), rules=rules).values()
    group = replace(replicated(1), engine_version="8.0.1", maintenance_window="sun:05:00-sun:06:00", created_at=T - 100)
    assert due_at(update, group, rules) == (update.released_at + days * DAY_S)
    made_later = replace(group, created_at=T + 50)
    assert available_at(update, made_later) == T + 50
    assert due_at(update, made_later, rules) == T + 50 + days * DAY_S
    assert due_at(update, replace(group, auto_minor_version_upgrade=False), rules) == math.inf


def test_a_group_is_offered_what_leads_on_from_its_version() -> None:
    known = seen("8.0.1", "8.0.2", "8.1.3", "8.1.4", "9.1.2")
    builds = [build(one.version) for one in known]
    found = service_updates(known, builds, RULES)
    names = {
        version: [offer.name for offer in offered(found, replace(replicated(1), engine_version=version), builds, RULES)]
        for version in ("8.0.1", "8.0.2", "8.1.0", "8.1.4", "9.1.2", "7.2.0")
    }
    assert names == {
        "8.0.1": ["valkey-8-0-2-patch", "valkey-8-1-4-minor"],
        "8.0.2": ["valkey-8-1-4-minor"],
        "8.1.0": ["valkey-8-1-4-patch"],
        "8.1.4": [],
        "9.1.2": [],
        "7.2.0": [],
    }
    assert offered(found, replace(memcached(1), engine_version="1.6.18"), builds, RULES) == ()


def test_a_build_that_cannot_do_what_the_group_needs_is_not_offered() -> None:
    known = seen("8.0.1", "8.1.4")
    (update,) = updates(known, build("8.1.4")).values()
    plain = replace(replicated(1), engine_version="8.0.1")
    poor, rich = [build("8.1.4")], [build("8.1.4", Engine.VALKEY, "tls", "auth-callback", "command-filters")]
    assert unfit(update, plain, poor) == ""
    for needs, why in (
        ({"transit": "required"}, "without TLS"),
        ({"user_group": "people"}, "IAM tokens"),
        ({"config": "read"}, "CONFIG"),
    ):
        group = replace(plain, **needs)
        assert why in unfit(update, group, poor)
        assert unfit(update, group, rich) == ""
        assert offered([update], group, poor, RULES) == ()
    assert "not installed any more" in unfit(update, plain, [build("8.0.1")])
