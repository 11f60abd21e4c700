"""What engine versions can do."""

from __future__ import annotations

from itertools import pairwise

import pytest

from cachefleet.engines.capabilities import capabilities, version_numbers
from cachefleet.model.group import Engine


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("9.1.2", (9, 1, 2)), ("7.0", (7, 0)), ("8.1.0-rc2", (8, 1, 0)), ("2rc1.4", (2, 4)), ("", ()), ("x.1", ())],
)
def test_version_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert version_numbers(text) == numbers


@pytest.mark.parametrize(
    ("engine", "version", "has", "lacks"),
    [
        (Engine.REDIS, "6.2.14", "set-proc-title", "addslotsrange"),
        (Engine.REDIS, "7.0.15", "addslotsrange", "dual-channel"),
        (Engine.REDIS, "8.2.1", "config-many", "availability-zone"),
        (Engine.VALKEY, "7.2.14", "config-many", "dual-channel"),
        (Engine.VALKEY, "8.0.10", "dual-channel", "commandlog"),
        (Engine.VALKEY, "8.1.8", "commandlog", "atomic-slot-migration"),
        (Engine.VALKEY, "9.0.5", "atomic-slot-migration", "config-save-behavior"),
        (Engine.VALKEY, "9.10.0", "config-save-behavior", ""),
        (Engine.MEMCACHED, "1.6.18", "meta-commands", "config-many"),
        (Engine.MEMCACHED, "1.5.22", "", "meta-commands"),
    ],
)
def test_capabilities_by_version(engine: Engine, version: str, has: str, lacks: str) -> None:
    found = capabilities(engine, version)
    assert not has or has in found
    assert lacks not in found


@pytest.mark.parametrize(
    ("engine", "versions"),
    [(Engine.REDIS, ("6.2", "7.0", "7.2", "8.0")), (Engine.VALKEY, ("7.2", "8.0", "8.1", "9.0", "9.1"))],
)
def test_a_newer_version_of_an_engine_can_all_that_an_older_can(engine: Engine, versions: tuple[str, ...]) -> None:
    for older, newer in pairwise(versions):
        assert capabilities(engine, older) <= capabilities(engine, newer)
