"""CreateReplicationGroup, DescribeReplicationGroups, DeleteReplicationGroup."""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.group import Shape
from cachefleet.model.network import default_subnets
from cachefleet.settings import ApiSettings, Settings
from tests.component.api_groups.stage import NODE_TYPE, BusyStore, GroupStage, on_groups


async def refused_creation(stage: GroupStage, code: str, rule: str, name: str = "other", **request: object) -> None:
    request = {"ReplicationGroupDescription": "text", "CacheNodeType": NODE_TYPE, **request}
    await stage.refused(code, rule, "CreateReplicationGroup", ReplicationGroupId=name, **request)
    assert await stage.store.get(stage.key(name)) is None
    assert await stage.store.members(stage.context.scope) == []
    assert stage.woken == []


# --- create --------------------------------------------------------------------------------------------------------


@on_groups
async def test_a_group_is_stored_shown_and_given_to_the_controller(stage: GroupStage) -> None:
    created = await stage.create_group("Demo", Tags=[{"Key": "team", "Value": "a"}], AutomaticFailoverEnabled=True)
    assert (created["ReplicationGroupId"], created["Status"]) == ("demo", "creating")
    assert created == await stage.group("DEMO")
    assert stage.woken == [stage.key("demo")]
    row = await stage.row(stage.key("demo"))
    assert (row.desired.shape, row.desired.engine_version, row.desired.port) == (Shape.REPLICATED, "9.1.2", 6379)
    assert (row.desired.parameter_group, row.desired.subnet_group) == ("default.valkey9", "default")
    assert row.desired.at_rest_encryption and row.desired.automatic_failover and len(row.desired.uid) == 16
    assert (row.tags, [node.tags for node in row.desired.nodes]) == ({"team": "a"}, [{"team": "a"}] * 2)
    assert [name for name, _ in await stage.store.members(stage.context.scope)] == ["demo-001", "demo-002"]


@on_groups
async def test_a_group_with_cluster_mode(stage: GroupStage) -> None:
    created = await stage.create_group(NumNodeGroups=3, ReplicasPerNodeGroup=1, Engine="redis", EngineVersion="7.0", Port=7000)
    assert (created["ClusterEnabled"], created["AutomaticFailover"], len(created["MemberClusters"])) == (True, "enabled", 6)
    row = await stage.settle()
    assert (row.desired.engine_version, row.desired.parameter_group) == ("7.0.15", "default.redis7.cluster.on")
    shown = await stage.group()
    assert [shard["Slots"] for shard in shown["NodeGroups"]] == ["0-5461", "5462-10922", "10923-16383"]
    assert shown["ConfigurationEndpoint"]["Port"] == 7000
    assert not row.desired.at_rest_encryption


@on_groups
async def test_what_is_asked_for_reads_back(stage: GroupStage) -> None:
    await stage.make_security_groups("sg-1", "sg-2")
    topic = "arn:aws:sns:local-1:000000000000:news"
    await stage.make_topics("news")
    await stage.create_group(
        NodeGroupConfiguration=[
            {
                "NodeGroupId": "0003",
                "Slots": "0-9999",
                "ReplicaCount": 1,
                "PrimaryAvailabilityZone": "local-1c",
                "ReplicaAvailabilityZones": ["local-1a"],
            },
            {"NodeGroupId": "0004", "Slots": "10000-16383", "ReplicaCount": 0},
        ],
        CacheParameterGroupName="default.valkey9.cluster.on",
        ReplicationGroupDescription="mine",
        PreferredMaintenanceWindow="mon:01:00-mon:02:30",
        SnapshotWindow="05:00-06:00",
        SnapshotRetentionLimit=3,
        NotificationTopicArn=topic,
        SecurityGroupIds=["sg-1", "sg-2"],
        AutoMinorVersionUpgrade=False,
        AtRestEncryptionEnabled=False,
        NetworkType="ipv4",
        IpDiscovery="ipv4",
        TransitEncryptionEnabled=False,
    )
    await stage.settle()
    shown = await stage.group()
    assert [(shard["NodeGroupId"], shard["Slots"]) for shard in shown["NodeGroups"]] == [
        ("0003", "0-9999"),
        ("0004", "10000-16383"),
    ]
    zones = [member["PreferredAvailabilityZone"] for member in shown["NodeGroups"][0]["NodeGroupMembers"]]
    assert zones == ["local-1c", "local-1a"]
    assert (shown["Description"], shown["SnapshotRetentionLimit"], shown["SnapshotWindow"]) == ("mine", 3, "05:00-06:00")
    assert (shown["AutoMinorVersionUpgrade"], shown["AtRestEncryptionEnabled"]) == (False, False)
    member = await stage.cluster("demo-0003-001")
    assert member["PreferredMaintenanceWindow"] == "mon:01:00-mon:02:30"
    assert member["NotificationConfiguration"] == {"TopicArn": topic, "TopicStatus": "active"}
    assert [group["SecurityGroupId"] for group in member["SecurityGroups"]] == ["sg-1", "sg-2"]
    assert member["CacheParameterGroup"]["CacheParameterGroupName"] == "default.valkey9.cluster.on"


@on_groups
async def test_zones_come_from_the_subnet_group(stage: GroupStage) -> None:
    subnets = [subnet.subnet_id for subnet in default_subnets(stage.context.scope) if not subnet.zone.endswith("a")]
    await stage.call(
        "CreateCacheSubnetGroup", CacheSubnetGroupName="bc", CacheSubnetGroupDescription="b and c", SubnetIds=subnets
    )
    await stage.create_group(CacheSubnetGroupName="BC", NumCacheClusters=3, AutomaticFailoverEnabled=True, MultiAZEnabled=True)
    row = await stage.row(stage.key("demo"))
    assert [node.zone for node in row.desired.nodes] == ["local-1b", "local-1c", "local-1b"]
    assert (await stage.cluster("demo-001"))["CacheSubnetGroupName"] == "bc"


@on_groups
async def test_names_that_are_taken(stage: GroupStage) -> None:
    await stage.create_group()
    request = {"ReplicationGroupDescription": "text", "CacheNodeType": NODE_TYPE}
    await stage.refused(
        "ReplicationGroupAlreadyExists", "demo already exists", "CreateReplicationGroup", ReplicationGroupId="DEMO", **request
    )
    await stage.create_cluster("other-001")
    await stage.refused(
        "CacheClusterAlreadyExists", "other-001", "CreateReplicationGroup", ReplicationGroupId="other", **request
    )
    assert await stage.store.get(stage.key("other")) is None


@on_groups
async def test_creations_that_cannot_be(stage: GroupStage) -> None:
    for code, rule, request in (
        ("InvalidParameterValue", "memcached", {"Engine": "memcached"}),
        ("InvalidParameterValue", "Installed versions", {"EngineVersion": "7.2"}),
        ("InvalidParameterValue", "patch version", {"EngineVersion": "9.1.2"}),
        ("InvalidParameterValue", "CacheNodeType is missing", {"CacheNodeType": ""}),
        ("InvalidParameterValue", "must not be blank", {"ReplicationGroupDescription": ""}),
        ("InvalidParameterValue", "55535", {"Port": 60000, "NumNodeGroups": 2}),
        ("InvalidParameterCombination", "TransitEncryptionEnabled: .*built with TLS", {"TransitEncryptionEnabled": True}),
        ("InvalidParameterCombination", "AuthToken", {"AuthToken": "0123456789abcdef"}),
        ("InvalidParameterCombination", "requires encryption-in-transit", {"UserGroupIds": ["admins"]}),
        ("InvalidParameterValue", "SnapshotName", {"SnapshotName": "yesterday"}),
        ("InvalidParameterValue", "NetworkType: only ipv4", {"NetworkType": "dual_stack"}),
        ("InvalidParameterValue", "CacheSecurityGroupNames", {"CacheSecurityGroupNames": ["default"]}),
        ("InvalidParameterValue", "LogDeliveryConfigurations", {"LogDeliveryConfigurations": [{"LogType": "slow-log"}]}),
        ("InvalidParameterCombination", "DataTieringEnabled", {"DataTieringEnabled": True}),
        ("InvalidParameterValue", "Durability", {"Durability": "sync"}),
        ("InvalidParameterCombination", "cluster mode", {"NumNodeGroups": 2, "ClusterMode": "disabled"}),
        ("InvalidParameterCombination", "cluster mode", {"NumNodeGroups": 2, "CacheParameterGroupName": "default.valkey9"}),
        ("InvalidParameterCombination", "family", {"CacheParameterGroupName": "default.redis7"}),
        ("InvalidParameterCombination", "at least 2 cache clusters", {"AutomaticFailoverEnabled": True}),
        ("InvalidParameterCombination", "Turning off automatic", {"NumNodeGroups": 2, "AutomaticFailoverEnabled": False}),
        ("InvalidParameterCombination", "Multi-AZ", {"NumCacheClusters": 2, "MultiAZEnabled": True}),
        ("CacheParameterGroupNotFound", "mine", {"CacheParameterGroupName": "mine"}),
        ("CacheSubnetGroupNotFoundFault", "mine", {"CacheSubnetGroupName": "mine"}),
        ("TagQuotaPerResourceExceeded", "50", {"Tags": [{"Key": str(number), "Value": ""} for number in range(51)]}),
        ("NodeGroupsPerReplicationGroupQuotaExceeded", "90", {"NumNodeGroups": 91}),
        ("NodeQuotaForClusterExceeded", "90", {"NumNodeGroups": 16, "ReplicasPerNodeGroup": 5}),
    ):
        await refused_creation(stage, code, rule, **request)
    for name in ("1st", "a--b", "a-", "a" * 41, "ä", ""):
        await stage.refused(
            "InvalidParameterValue",
            "ReplicationGroupId",
            "CreateReplicationGroup",
            ReplicationGroupId=name,
            ReplicationGroupDescription="text",
        )


@on_groups
async def test_a_host_that_is_full(stage: GroupStage) -> None:
    stage.context = replace(stage.context, refuses=lambda nodes, size_bytes: f"no room for {nodes}")
    await refused_creation(stage, "InsufficientCacheClusterCapacity", "no room for 2", NumCacheClusters=2)


@on_groups
async def test_quotas_are_settings(stage: GroupStage) -> None:
    stage.use(Settings(api=ApiSettings(shards_per_group=2, nodes_per_group=3)))
    await refused_creation(stage, "NodeGroupsPerReplicationGroupQuotaExceeded", "more than the 2", NumNodeGroups=3)
    await refused_creation(stage, "NodeQuotaForClusterExceeded", "more than the 3", NumNodeGroups=2, ReplicasPerNodeGroup=1)


# --- describe ------------------------------------------------------------------------------------------------------


@on_groups
async def test_groups_come_in_pages(stage: GroupStage) -> None:
    for number in range(25):
        await stage.create_group(f"g{number:02}")
    first = await stage.call("DescribeReplicationGroups", MaxRecords=20)
    rest = await stage.call("DescribeReplicationGroups", MaxRecords=20, Marker=first["Marker"])
    names = [group["ReplicationGroupId"] for group in [*first["ReplicationGroups"], *rest["ReplicationGroups"]]]
    assert names == [f"g{number:02}" for number in range(25)] and "Marker" not in rest
    await stage.refused("InvalidParameterValue", "MaxRecords", "DescribeReplicationGroups", MaxRecords=19)
    await stage.refused("InvalidParameterValue", "[Mm]arker", "DescribeReplicationGroups", Marker="nonsense")


@on_groups
async def test_groups_that_are_not_there(stage: GroupStage) -> None:
    for name in ("nothing", "no such id", "x" * 5000):
        await stage.refused("ReplicationGroupNotFoundFault", "not found", "DescribeReplicationGroups", ReplicationGroupId=name)
    await stage.refused("ReplicationGroupNotFoundFault", "nothing", "DeleteReplicationGroup", ReplicationGroupId="nothing")
    assert await stage.call("DescribeReplicationGroups") == {"ReplicationGroups": []}


# --- delete --------------------------------------------------------------------------------------------------------


@on_groups
async def test_deleting_is_asked_of_the_controller(stage: GroupStage) -> None:
    await stage.create_group()
    await stage.settle()
    reply = await stage.call("DeleteReplicationGroup", ReplicationGroupId="Demo")
    assert reply["ReplicationGroup"]["Status"] == "deleting"
    assert (await stage.group())["Status"] == "deleting"
    assert (await stage.row(stage.key("demo"))).desired.deleting
    assert stage.woken == [stage.key("demo")] * 2
    await stage.refused("InvalidReplicationGroupState", "deleting", "DeleteReplicationGroup", ReplicationGroupId="demo")


@on_groups
async def test_a_group_that_is_not_available_can_be_deleted(stage: GroupStage) -> None:
    for state in ("creating", "create-failed", "modifying", "rebooting"):
        await stage.create_group(state)
        await stage.put_state(state, state)
        reply = await stage.call("DeleteReplicationGroup", ReplicationGroupId=state)
        assert reply["ReplicationGroup"]["Status"] == "deleting"


@on_groups
async def test_the_controller_may_write_at_the_same_time(stage: GroupStage) -> None:
    """A lost compare-and-swap is decided again on the newer row."""
    await stage.create_group()
    row = await stage.settle()
    stage.context = replace(stage.context, store=BusyStore(stage.store, turns=3))
    await stage.call("DeleteReplicationGroup", ReplicationGroupId="demo")
    after = await stage.row(row.key)
    assert after.desired.deleting and after.memory.epoch == row.memory.epoch + 3


@on_groups
async def test_a_row_that_never_stands_still(stage: GroupStage) -> None:
    await stage.create_group()
    await stage.settle()
    stage.context = replace(stage.context, store=BusyStore(stage.store, turns=1000))
    await stage.refused("ServiceUnavailable", "try again", "DeleteReplicationGroup", ReplicationGroupId="demo")
    assert not (await stage.row(stage.key("demo"))).desired.deleting
