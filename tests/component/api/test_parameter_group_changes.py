"""Parameter groups of one's own: created, changed, reset, deleted; what their values and names may be."""

from __future__ import annotations

from typing import Any

import pytest

import cachefleet.api.parameters.parameter_group_changes
import cachefleet.api.parameters.parameter_groups
import cachefleet.api.tags  # noqa: F401
from cachefleet.model.parameter_group import ParameterGroupDesired
from cachefleet.model.resource import Kind
from cachefleet.reference.parameters import FAMILIES
from cachefleet.settings import ApiSettings, Settings
from tests.component.api.stage import Stage, on_each_store

CREATE, MODIFY, RESET, DELETE = (f"{verb}CacheParameterGroup" for verb in ("Create", "Modify", "Reset", "Delete"))
VALUE, COMBINATION, STATE = "InvalidParameterValue", "InvalidParameterCombination", "InvalidCacheParameterGroupState"


async def create(stage: Stage, name: str = "mine", family: str = "valkey9", **request: Any) -> dict[str, Any]:
    created = await stage.call(
        CREATE, CacheParameterGroupName=name, CacheParameterGroupFamily=family, Description="for tests", **request
    )
    return dict(created["CacheParameterGroup"])


def listed(**values: str) -> list[dict[str, str]]:
    """For names of parameters with _ in place of -."""
    return [{"ParameterName": name.replace("_", "-"), "ParameterValue": value} for name, value in values.items()]


async def modify(stage: Stage, name: str = "mine", **values: str) -> None:
    reply = await stage.call(MODIFY, CacheParameterGroupName=name, ParameterNameValues=listed(**values))
    assert reply == {"CacheParameterGroupName": name.lower()}


async def desired(stage: Stage, name: str = "mine") -> ParameterGroupDesired:
    row = await stage.store.get(stage.context.scope.key(Kind.PARAMETER_GROUP, name))
    assert row is not None
    found: ParameterGroupDesired = row.desired
    return found


async def shown(stage: Stage, name: str = "mine", **request: Any) -> dict[str, dict[str, Any]]:
    """Parameters by name, of all pages; those by node type, too."""
    found: dict[str, dict[str, Any]] = {}
    marker: dict[str, str] = {}
    while True:
        page = await stage.call("DescribeCacheParameters", CacheParameterGroupName=name, **request, **marker)
        for member in ("Parameters", "CacheNodeTypeSpecificParameters"):
            found |= {parameter["ParameterName"]: parameter for parameter in page[member]}
        if "Marker" not in page:
            return found
        marker = {"Marker": page["Marker"]}


@on_each_store
async def test_create_and_read_back(stage: Stage) -> None:
    created = await create(stage, "My-Group", "Valkey9", Tags=[{"Key": "team", "Value": "x"}])
    assert created == {
        "CacheParameterGroupName": "my-group",
        "CacheParameterGroupFamily": "valkey9",
        "Description": "for tests",
        "IsGlobal": False,
        "ARN": "arn:aws:elasticache:local-1:000000000000:parametergroup:my-group",
    }
    found = await stage.call("DescribeCacheParameterGroups", CacheParameterGroupName="MY-GROUP")
    assert found == {"CacheParameterGroups": [created]}
    assert await stage.events() == ["cache-parameter-group my-group: Cache parameter group created"]
    plain = await shown(stage, "my-group")
    assert plain == await shown(stage, "default.valkey9")


@on_each_store
async def test_refused_creations_leave_nothing(stage: Stage) -> None:
    await create(stage)
    good = {"CacheParameterGroupName": "other", "CacheParameterGroupFamily": "redis7", "Description": ""}
    for code, rule, change in (
        (VALUE, "CacheParameterGroupName is not a valid identifier", {"CacheParameterGroupName": "a_b"}),
        (VALUE, "not a valid identifier", {"CacheParameterGroupName": "a" * 256}),
        (VALUE, "not a valid identifier", {"CacheParameterGroupName": ""}),
        (VALUE, "begin with default", {"CacheParameterGroupName": "Default.mine"}),
        (VALUE, "begin with default", {"CacheParameterGroupName": "default.valkey9"}),
        (VALUE, "'redis5.0' is not valid; it must be one of memcached1.6", {"CacheParameterGroupFamily": "redis5.0"}),
        (VALUE, "Description has 256 characters", {"Description": "x" * 256}),
        (VALUE, "begins with aws:", {"Tags": [{"Key": "aws:x", "Value": ""}]}),
        ("TagQuotaPerResourceExceeded", "51", {"Tags": [{"Key": str(at), "Value": ""} for at in range(51)]}),
        ("CacheParameterGroupAlreadyExists", "mine already exists", {"CacheParameterGroupName": "MINE"}),
    ):
        await stage.refused(code, rule, CREATE, **{**good, **change})
    stage.use(Settings(api=ApiSettings(parameter_groups=1)))
    await stage.refused("CacheParameterGroupQuotaExceeded", "There are 1 parameter groups", CREATE, **good)
    assert await stage.store.count(Kind.PARAMETER_GROUP, stage.context.scope) == 1
    assert len(await stage.events()) == 1


@on_each_store
async def test_pages_run_over_rows_and_built_in_groups(stage: Stage) -> None:
    names = [f"{letter}{number:02}" for letter in "ae" for number in range(21)]
    for name in names:
        await create(stage, name)
    seen: list[str] = []
    marker: dict[str, str] = {}
    for _ in range(3):
        page = await stage.call("DescribeCacheParameterGroups", MaxRecords=20, **marker)
        seen += [group["CacheParameterGroupName"] for group in page["CacheParameterGroups"]]
        marker = {"Marker": page.get("Marker", "")}
    assert marker == {"Marker": ""}
    assert len(seen) == 42 + 11
    assert seen == sorted(seen) and set(names) < set(seen)


@on_each_store
async def test_modify_and_read_back(stage: Stage) -> None:
    await create(stage)
    await modify(stage, "Mine", timeout="60", maxmemory_policy="allkeys-lru", notify_keyspace_events="")
    own = await shown(stage, Source="user")
    assert {name: one["ParameterValue"] for name, one in own.items()} == {
        "timeout": "60",
        "maxmemory-policy": "allkeys-lru",
        "notify-keyspace-events": "",
    }
    assert {one["Source"] for one in own.values()} == {"user"}
    others = await shown(stage, Source="system")
    assert others.keys() | own.keys() == FAMILIES["valkey9"].parameters.keys() and not others.keys() & own.keys()
    assert await shown(stage, Source="engine-default") == {}
    assert (await shown(stage))["timeout"] == own["timeout"]
    await modify(stage, timeout="90")
    assert (await desired(stage)).values == {"maxmemory-policy": "allkeys-lru", "notify-keyspace-events": "", "timeout": "90"}
    assert (await stage.events())[:2] == [
        "cache-parameter-group mine: Updated parameter timeout to 90",
        "cache-parameter-group mine: Updated parameter notify-keyspace-events to ",
    ]


@on_each_store
async def test_a_default_that_is_set_is_of_the_user(stage: Stage) -> None:
    await create(stage)
    await modify(stage, timeout="0")
    assert list(await shown(stage, Source="user")) == ["timeout"]


@on_each_store
async def test_an_equal_change_changes_nothing(stage: Stage) -> None:
    await create(stage)
    await modify(stage, timeout="60")
    before = await stage.store.get(stage.context.scope.key(Kind.PARAMETER_GROUP, "mine"))
    events = await stage.events()
    await modify(stage, timeout="60")
    await stage.call(RESET, CacheParameterGroupName="mine", ParameterNameValues=listed(databases=""))
    assert await stage.store.get(stage.context.scope.key(Kind.PARAMETER_GROUP, "mine")) == before
    assert await stage.events() == events


@on_each_store
async def test_a_value_that_depends_on_the_node_type(stage: Stage) -> None:
    await create(stage, family="memcached1.6")
    value = {"ParameterName": "memcached_connections_overhead", "ParameterValue": "50"}
    await stage.call(MODIFY, CacheParameterGroupName="mine", ParameterNameValues=[value])
    (own,) = (await shown(stage, Source="user")).values()
    assert {one["Value"] for one in own["CacheNodeTypeSpecificValues"]} == {"50"}


@on_each_store
async def test_values_that_are_refused(stage: Stage) -> None:
    await create(stage)
    many = [{"ParameterName": f"p{at}", "ParameterValue": "1"} for at in range(21)]
    for code, rule, values in (
        (VALUE, "has 0 parameters; it must have 1 to 20", []),
        (VALUE, "has 21 parameters", many),
        (VALUE, "'nope' is no parameter of the family valkey9", listed(nope="1")),
        (VALUE, "'Timeout' is no parameter", listed(Timeout="60")),
        (VALUE, "'' is no parameter", [{"ParameterValue": "1"}]),
        (VALUE, "maxmemory is not modifiable", listed(maxmemory="1")),
        (VALUE, "names timeout twice", listed(timeout="60") * 2),
        (VALUE, "the value '19' of timeout is not valid: it must be an integer: 0 or 20 to", listed(timeout="19")),
        (VALUE, "the value '' of timeout", [{"ParameterName": "timeout"}]),
        (VALUE, "the value 'config x' of rename-commands is not valid: 'config' is no", listed(rename_commands="config x")),
        (COMBINATION, "reserved-memory and .*percent cannot be", listed(reserved_memory="1", reserved_memory_percent="1")),
    ):
        await stage.refused(code, rule, MODIFY, CacheParameterGroupName="mine", ParameterNameValues=values)
    assert (await desired(stage)).values == {}
    await stage.refused(
        "CacheParameterGroupNotFound", "'x' not found", MODIFY, CacheParameterGroupName="x", ParameterNameValues=[]
    )


@on_each_store
async def test_item_sizes_of_memcached_go_together(stage: Stage) -> None:
    await create(stage, family="memcached1.6")
    item = {"ParameterName": "max_item_size", "ParameterValue": "1000000"}
    await stage.refused(
        VALUE, "a multiple of slab_chunk_max", MODIFY, CacheParameterGroupName="mine", ParameterNameValues=[item]
    )
    await stage.call(
        MODIFY,
        CacheParameterGroupName="mine",
        ParameterNameValues=[
            {**item, "ParameterValue": "65536"},
            {"ParameterName": "slab_chunk_max", "ParameterValue": "65536"},
        ],
    )
    await stage.refused(
        VALUE,
        "slab_chunk_max .* must not be larger",
        RESET,
        CacheParameterGroupName="mine",
        ParameterNameValues=[{"ParameterName": "slab_chunk_max"}],
    )


@on_each_store
async def test_reset_some_and_all(stage: Stage) -> None:
    await create(stage)
    await modify(stage, timeout="60", databases="8", lfu_decay_time="3")
    reply = await stage.call(
        RESET, CacheParameterGroupName="MINE", ResetAllParameters=False, ParameterNameValues=listed(timeout="whatever")
    )
    assert reply == {"CacheParameterGroupName": "mine"}
    assert (await desired(stage)).values == {"databases": "8", "lfu-decay-time": "3"}
    assert (await shown(stage))["timeout"]["Source"] == "system"
    assert (await stage.events())[0] == "cache-parameter-group mine: Reset parameter timeout to its default"
    await stage.call(RESET, CacheParameterGroupName="mine", ResetAllParameters=True)
    assert (await desired(stage)).values == {}
    assert await shown(stage) == await shown(stage, "default.valkey9")


@on_each_store
async def test_resets_that_are_refused(stage: Stage) -> None:
    await create(stage)
    for code, rule, request in (
        (COMBINATION, "Give either ResetAllParameters=true", {}),
        (COMBINATION, "Give either", {"ResetAllParameters": False}),
        (COMBINATION, "Give either", {"ParameterNameValues": []}),
        (COMBINATION, "Give either", {"ResetAllParameters": True, "ParameterNameValues": listed(timeout="")}),
        (VALUE, "'nope' is no parameter", {"ParameterNameValues": listed(nope="")}),
        (VALUE, "maxmemory is not modifiable", {"ParameterNameValues": listed(maxmemory="")}),
    ):
        await stage.refused(code, rule, RESET, CacheParameterGroupName="mine", **request)
    await stage.refused("CacheParameterGroupNotFound", "'x'", RESET, CacheParameterGroupName="x", ResetAllParameters=True)


@pytest.mark.parametrize("name", ["default.valkey9", "Default.Redis7.cluster.on"])
def test_built_in_groups_stay_as_they_are(name: str) -> None:
    @on_each_store
    async def scenario(stage: Stage) -> None:
        group = {"CacheParameterGroupName": name}
        await stage.refused(STATE, "built in", MODIFY, **group, ParameterNameValues=listed(timeout="60"))
        await stage.refused(STATE, "built in", RESET, **group, ResetAllParameters=True)
        await stage.refused(STATE, "built in", DELETE, **group)

    scenario(kind="memory", tmp_path=None)


@on_each_store
async def test_delete(stage: Stage) -> None:
    await create(stage)
    assert await stage.call(DELETE, CacheParameterGroupName="MINE") == {}
    assert (await stage.events())[0] == "cache-parameter-group mine: Cache parameter group deleted"
    for name in (DELETE, "DescribeCacheParameters", "DescribeCacheParameterGroups"):
        await stage.refused("CacheParameterGroupNotFound", "'mine' not found", name, CacheParameterGroupName="mine")
    await create(stage, family="redis7")
    assert (await desired(stage)).family == "redis7"


@on_each_store
async def test_tags(stage: Stage) -> None:
    created = await create(stage, Tags=[{"Key": "team", "Value": "x"}])
    arn = {"ResourceName": created["ARN"].replace("mine", "Mine")}
    await stage.call("AddTagsToResource", **arn, Tags=[{"Key": "stage", "Value": "test"}])
    tags = (await stage.call("ListTagsForResource", **arn))["TagList"]
    assert tags == [{"Key": "stage", "Value": "test"}, {"Key": "team", "Value": "x"}]
    tags = (await stage.call("RemoveTagsFromResource", **arn, TagKeys=["team"]))["TagList"]
    assert tags == [{"Key": "stage", "Value": "test"}]
    await modify(stage, timeout="60")
    assert (await stage.call("ListTagsForResource", **arn))["TagList"] == tags
    await stage.call(DELETE, CacheParameterGroupName="mine")
    await stage.refused("CacheParameterGroupNotFound", "'mine'", "ListTagsForResource", **arn)
