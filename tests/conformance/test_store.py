"""interfaces.Store on every database: rows, versions, member names, listings."""

from __future__ import annotations

import msgspec
import pytest

from cachefleet.interfaces import Conflict, NameTaken, Store
from cachefleet.model.group import GroupMemory, GroupStatus, NodeMemory, NodeStatus
from cachefleet.model.network import Subnet, SubnetGroupDesired
from cachefleet.model.resource import GROUP_KINDS, Kind, Scope
from cachefleet.model.row import Row
from tests.fixtures.databases import GROUP, SCOPE, changed, delete, found, group, insert, key, scenario, sql_scenario, update


@scenario
async def test_an_empty_store_has_nothing(store: Store) -> None:
    assert await store.get(key()) is None
    assert await store.rows(GROUP, SCOPE) == []
    assert await store.count(GROUP, SCOPE) == 0
    assert await store.owner(SCOPE, "demo-001") is None
    assert await store.members(SCOPE) == []
    assert await store.keys(GROUP_KINDS) == []
    assert await store.events(SCOPE, start=0, end=1e12) == []


@scenario
async def test_every_document_of_a_row_comes_back(store: Store) -> None:
    row = Row(
        key=key(),
        desired=group(description="Zwischenspeicher für 東京 😀 \0 \x1f \" \\ '").desired,
        memory=GroupMemory(nodes={"demo-001": NodeMemory("local-1a", "127.41.0.1", launches=3)}, epoch=7),
        status=GroupStatus("available", {"demo-001": NodeStatus("available", role="primary")}, why="ü"),
        tags={"größe": "XL", "": "empty", "nul": "\0"},
    )
    stored = await insert(store, row)
    assert stored.version == 1
    assert await store.get(key()) == stored == msgspec.structs.replace(row, version=1)


@scenario
async def test_a_subnet_group_is_decoded_by_its_kind(store: Store) -> None:
    desired = SubnetGroupDesired("d", "vpc-1", (Subnet("subnet-1", "local-1a"),))
    await insert(store, Row(key=key("net", Kind.SUBNET_GROUP), desired=desired))
    assert (await found(store, key("net", Kind.SUBNET_GROUP))).desired == desired


@scenario
async def test_kinds_accounts_and_regions_are_apart(store: Store) -> None:
    scopes = [SCOPE, Scope("111111111111", "local-1"), Scope("000000000000", "eu-west-1")]
    for scope in scopes:
        for kind in GROUP_KINDS:
            await insert(store, group("same", scope=scope, kind=kind), ["node"] if kind is GROUP else [])
    for scope in scopes:
        assert [row.key for row in await store.rows(GROUP, scope)] == [scope.key(GROUP, "same")]
        assert await store.count(GROUP, scope) == 1
        owner = await store.owner(scope, "node")
        assert owner is not None and owner.key == scope.key(GROUP, "same")
        assert [(member, row.key.scope) for member, row in await store.members(scope)] == [("node", scope)]
    assert await store.keys(GROUP_KINDS) == sorted(scope.key(kind, "same") for scope in scopes for kind in GROUP_KINDS)
    assert await store.keys([Kind.CACHE_CLUSTER]) == sorted(scope.key(Kind.CACHE_CLUSTER, "same") for scope in scopes)
    assert await store.keys([]) == []
    assert await store.every([]) == []
    every = await store.every(GROUP_KINDS)
    assert [row.key for row in every] == await store.keys(GROUP_KINDS)
    assert every == [await store.get(row.key) for row in every]
    assert [row.key.kind for row in await store.every([Kind.CACHE_CLUSTER])] == [Kind.CACHE_CLUSTER] * 3
    versions = await store.versions(Kind.CACHE_CLUSTER)
    assert versions == [(scope.key(Kind.CACHE_CLUSTER, "same"), 1) for scope in sorted(scopes)]
    assert await store.versions(Kind.CACHE_CLUSTER, versions[0][0], 1) == versions[1:2]
    assert await store.versions(Kind.CACHE_CLUSTER, versions[-1][0]) == []


@scenario
async def test_update_counts_versions(store: Store) -> None:
    row = await insert(store, group())
    for version in (2, 3, 4):
        row = await update(store, changed(row, port=7000 + version))
        assert row.version == version
        assert await store.get(key()) == row
        assert row.desired.port == 7000 + version


@scenario
async def test_a_stale_version_is_refused(store: Store) -> None:
    first = await insert(store, group())
    second = await update(store, changed(first, port=7000))
    with pytest.raises(Conflict):
        await update(store, changed(first, port=8000))
    with pytest.raises(Conflict):
        await delete(store, first)
    assert await store.get(key()) == second
    await delete(store, second)
    for late in (update, delete):
        with pytest.raises(Conflict):
            await late(store, second)
    with pytest.raises(Conflict):
        await update(store, group("never-stored"))


@scenario
async def test_a_name_that_comes_again_never_has_an_old_version(store: Store) -> None:
    """Whoever holds the old row must not be able to change the new one, or take it for the old one."""
    old = await update(store, await insert(store, group(description="old")))
    await delete(store, old)
    new = await insert(store, group(description="new"))
    assert new.version > old.version
    assert (await found(store)).desired.description == "new"
    for stale in range(1, old.version + 1):
        with pytest.raises(Conflict):
            await update(store, msgspec.structs.replace(new, version=stale))


@scenario
async def test_a_taken_key_is_named(store: Store) -> None:
    row = await insert(store, group())
    with pytest.raises(NameTaken) as refusal:
        await insert(store, group(description="other"))
    assert refusal.value.name == "demo"
    assert await store.get(key()) == row


@scenario
async def test_a_taken_member_is_named_and_nothing_is_left(store: Store) -> None:
    await insert(store, group("a"), ["a-001", "a-002"])
    await insert(store, group("alone", kind=Kind.CACHE_CLUSTER), ["alone"])
    with pytest.raises(NameTaken) as refusal:
        await insert(store, group("b"), ["b-001", "a-002"])
    assert refusal.value.name == "a-002"
    with pytest.raises(NameTaken) as refusal:
        await insert(store, group("c"), ["alone"])
    assert refusal.value.name == "alone"
    assert [row.key.name for row in await store.rows(GROUP, SCOPE)] == ["a"]
    assert [member for member, _ in await store.members(SCOPE)] == ["a-001", "a-002", "alone"]


@scenario
async def test_members_are_replaced_as_a_set(store: Store) -> None:
    other = await insert(store, group("other"), ["other-001"])
    row = await insert(store, group(), ["demo-001", "demo-002"])
    row = await update(store, row, ["demo-002", "demo-003", "demo-003"])
    assert [member for member, _ in await store.members(SCOPE)] == ["demo-002", "demo-003", "other-001"]
    with pytest.raises(NameTaken) as refusal:
        await update(store, row, ["demo-004", "other-001"])
    assert refusal.value.name == "other-001"
    row = await update(store, row)
    assert [member for member, _ in await store.members(SCOPE)] == ["demo-002", "demo-003", "other-001"]
    row = await update(store, row, [])
    assert await store.members(SCOPE) == [("other-001", other)]
    await update(store, row, ["demo-001"])
    assert await store.owner(SCOPE, "demo-002") is None


@scenario
async def test_a_deleted_row_gives_its_members_back(store: Store) -> None:
    row = await insert(store, group(), ["demo-001"])
    await delete(store, row)
    assert await store.get(key()) is None
    assert await store.owner(SCOPE, "demo-001") is None
    again = await insert(store, group("heir"), ["demo-001"])
    assert await store.owner(SCOPE, "demo-001") == again


@scenario
async def test_owners_and_members_show_the_current_row(store: Store) -> None:
    row = await insert(store, group(), ["demo-001", "demo-002"])
    for port in (7001, 7002):
        row = await update(store, changed(row, port=port))
        assert await store.owner(SCOPE, "demo-002") == row
        assert await store.members(SCOPE) == [("demo-001", row), ("demo-002", row)]


@scenario
async def test_listings_have_one_order_everywhere(store: Store) -> None:
    """By code point, whatever language the database sorts by."""
    names = ["a", "B", "b", "a-1", "a1", "a_1", "Z", "ä", "z", "ﬀ", "😀", "A", "0", "-"]
    for name in names:
        await insert(store, group(name), [f"{name}m"])
    assert [row.key.name for row in await store.rows(GROUP, SCOPE)] == sorted(names)
    assert [member for member, _ in await store.members(SCOPE)] == sorted(f"{name}m" for name in names)
    for position, name in enumerate(sorted(names)):
        after = await store.rows(GROUP, SCOPE, after=name)
        assert [row.key.name for row in after] == sorted(names)[position + 1 :]


@scenario
async def test_listings_in_pages(store: Store) -> None:
    names = [f"group-{number:02}" for number in range(25)]
    for name in reversed(names):
        await insert(store, group(name), [f"{name}-002", f"{name}-001"])
    rows, after = [], ""
    while page := await store.rows(GROUP, SCOPE, after=after, limit=10):
        assert len(page) <= 10
        rows += page
        after = page[-1].key.name
    assert [row.key.name for row in rows] == names
    seen, after = [], ""
    while part := await store.members(SCOPE, after=after, limit=7):
        seen += part
        after = part[-1][0]
    assert [member for member, _ in seen] == [f"{name}-00{number}" for name in names for number in (1, 2)]
    assert all(member.startswith(row.key.name) for member, row in seen)
    assert await store.rows(GROUP, SCOPE, limit=0) == []
    assert await store.count(GROUP, SCOPE) == 25


@sql_scenario
async def test_names_that_cannot_be_stored_are_not_found(store: Store) -> None:
    await insert(store, group("a"), ["a-001"])
    for odd in ("\0", "a\0", "a-001\0", "\ud800", "a\udfff", "", "x" * 100_000, "'; --"):
        assert await store.get(key(odd)) is None
        assert await store.owner(SCOPE, odd) is None
        assert await store.events(SCOPE, start=0, end=1e12, source_id=odd, source_type=odd) == []
    assert [row.key.name for row in await store.rows(GROUP, SCOPE, after="\0zzz")] == ["a"]
    assert await store.rows(GROUP, SCOPE, after="a\0") == []
    assert await store.members(SCOPE, after="b\ud800") == []
    for odd in ("", "\0", "\ud800"):
        with pytest.raises(ValueError, match="cannot be a name"):
            await insert(store, group(odd))
        with pytest.raises(ValueError, match="cannot be a name"):
            await insert(store, group("b"), [odd])
    assert await store.count(GROUP, SCOPE) == 1


@scenario
async def test_large_documents(store: Store) -> None:
    text = "ü😀\n" * 200_000
    row = await insert(store, group(description=text))
    assert row.desired.description == text
    row = await update(store, changed(row, description=text + "!"))
    assert (await found(store)).desired.description == text + "!"


@sql_scenario
async def test_unchanged_rows_are_not_decoded_again(store: Store) -> None:
    for name in "abc":
        await insert(store, group(name), [f"{name}-001"])
    first = await store.rows(GROUP, SCOPE)
    await update(store, first[1])
    second = await store.rows(GROUP, SCOPE)
    assert [old is new for old, new in zip(first, second, strict=True)] == [True, False, True]
    assert [row is new for (_, row), new in zip(await store.members(SCOPE), second, strict=True)] == [True] * 3
    assert await store.get(key("b")) is second[1] is await store.owner(SCOPE, "b-001")
    assert [one is row for one, row in zip(await store.every([GROUP]), second, strict=True)] == [True] * 3


@scenario
async def test_many_members_of_one_row(store: Store) -> None:
    names = [f"demo-{number:04}" for number in range(1500)]
    row = await insert(store, group(), names)
    assert [member for member, _ in await store.members(SCOPE)] == names
    await update(store, row, names[::2])
    assert [member for member, _ in await store.members(SCOPE)] == names[::2]
