from __future__ import annotations

import msgspec

from cachefleet.interfaces import AnyRow
from cachefleet.model.network import SubnetGroupDesired
from cachefleet.model.resource import Kind, Scope
from cachefleet.model.row import Row
from cachefleet.store.row_cache import RowCache


def row(name: str, version: int = 1) -> AnyRow:
    key = Scope("000000000000", "local-1").key(Kind.SUBNET_GROUP, name)
    return Row(key=key, desired=SubnetGroupDesired("", "vpc", ()), version=version)


def test_only_the_version_asked_for_is_found() -> None:
    cache, held = RowCache(), row("a", 2)
    cache.put(held)
    assert cache.find(held.key, 2) is held
    assert cache.find(held.key, 1) is None
    assert cache.find(held.key, 3) is None
    cache.drop(held.key)
    cache.drop(held.key)
    assert cache.find(held.key, 2) is None


def test_an_older_version_does_not_replace_a_newer_one() -> None:
    cache, newer = RowCache(), row("a", 5)
    cache.put(newer)
    cache.put(msgspec.structs.replace(newer, version=4))
    assert cache.find(newer.key, 5) is newer


def test_the_least_recently_used_row_goes_first() -> None:
    cache, rows = RowCache(capacity=3), [row(name) for name in "abcd"]
    for one in rows[:3]:
        cache.put(one)
    cache.find(rows[0].key, 1)
    cache.put(rows[3])
    assert len(cache) == 3
    assert [cache.find(one.key, 1) is one for one in rows] == [True, False, True, True]
