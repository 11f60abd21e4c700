"""Engine versions: families, listed forms, order; zones."""

from __future__ import annotations

import pytest

from cachefleet.reference.engines import family_of, listed_version, version_description, version_numbers
from cachefleet.reference.zones import zone_letter, zones


@pytest.mark.parametrize(
    ("engine", "version", "family"),
    [
        ("valkey", "9.1.2", "valkey9"),
        ("valkey", "8.0.1", "valkey8"),
        ("valkey", "7.2", "valkey7"),
        ("redis", "7.0.15", "redis7"),
        ("redis", "7.2.4", "redis7"),
        ("redis", "6.2.14", "redis6.x"),
        ("redis", "6.x", "redis6.x"),
        ("redis", "5.0.6", None),
        ("redis", "8.0.0", None),
        ("memcached", "1.6.18", "memcached1.6"),
        ("memcached", "1.5.16", None),
        ("valkey", "", None),
        ("valkey", "unstable", None),
        ("keydb", "9.0.0", None),
    ],
)
def test_families(engine: str, version: str, family: str | None) -> None:
    assert family_of(engine, version) == family


def test_listed_versions() -> None:
    assert listed_version("valkey", "9.1.2") == "9.1"
    assert listed_version("redis", "7.0.15") == "7.0"
    assert listed_version("redis", "5.0.6") == "5.0.6"
    assert listed_version("memcached", "1.6.18") == "1.6.18"


def test_versions_in_their_order() -> None:
    assert version_numbers("9.10.0") > version_numbers("9.9.9")
    assert version_numbers("9.1.0-rc1") == (9, 1)
    assert version_numbers("6.x") == (6,)
    assert version_numbers("") == ()


def test_description_names_the_build() -> None:
    assert version_description("valkey", "9.1.2", "PATH") == "Valkey 9.1.2 (PATH)"


def test_zones() -> None:
    assert zones("local-1") == ("local-1a", "local-1b", "local-1c")
    assert [zone_letter(zone) for zone in (*zones("eu-west-1"), "")] == ["a", "b", "c", ""]
