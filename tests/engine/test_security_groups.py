"""Attackers at loopback addresses: whoever a cache's security groups do not let in cannot connect, whatever the endpoint."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError

from cachefleet.model.group import Engine
from tests.engine.engine_processes import build_of
from tests.engine.groups import (
    address,
    await_available,
    await_healthy,
    cache_cluster,
    describe,
    primary_member,
    replication_group,
)
from tests.fixtures.doors import ALLOWED, DEFAULT, FORBIDDEN, Place, await_door, enters, need_guards, permission, security_group
from tests.fixtures.service import Service, wait_for


@pytest.fixture(autouse=True)
def guarded(service: Service) -> None:
    need_guards(service)


def places(group: dict[str, Any]) -> list[Place]:
    """Every address of a replication group that clients are given."""
    found = [address(group["ConfigurationEndpoint"])] if "ConfigurationEndpoint" in group else []
    for shard in group["NodeGroups"]:
        found += [address(shard[name]) for name in ("PrimaryEndpoint", "ReaderEndpoint") if name in shard]
        found += [address(member["ReadEndpoint"]) for member in shard["NodeGroupMembers"] if "ReadEndpoint" in member]
    return found


def node_places(service: Service, group: dict[str, Any]) -> list[Place]:
    client = service.client()
    clusters = [
        client.describe_cache_clusters(CacheClusterId=name, ShowCacheNodeInfo=True)["CacheClusters"][0]
        for name in group["MemberClusters"]
    ]
    return [address(node["Endpoint"]) for cluster in clusters for node in cluster["CacheNodes"]]


def speaks(where: Place, source: str) -> bytes:
    """What an engine answers a PING from there."""
    with socket.create_connection(where, timeout=5, source_address=(source, 0)) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(100)


@pytest.mark.parametrize(("engine", "version"), [("valkey", "9.1"), ("redis", "7.0")], ids=["valkey", "redis"])
def test_only_whom_the_rules_name_connects(service: Service, elasticache: Any, engine: str, version: str) -> None:
    build_of(Engine(engine), version)
    with (
        security_group(service, permission(f"{ALLOWED}/32")) as group,
        replication_group(
            elasticache,
            f"doors-{engine}",
            Engine=engine,
            EngineVersion=version,
            NumCacheClusters=3,
            SecurityGroupIds=[group],
        ) as shown,
    ):
        found = await_healthy(elasticache, f"doors-{engine}")
        for where in (*places(found), *node_places(service, shown)):
            assert enters(where, ALLOWED), where
            assert speaks(where, ALLOWED) == b"+PONG\r\n"
            assert not enters(where, FORBIDDEN), where
            assert not enters(where, DEFAULT), where


def test_cluster_mode_is_closed_with_its_bus(service: Service, elasticache: Any) -> None:
    with (
        security_group(service, {"IpProtocol": "-1", "IpRanges": [{"CidrIp": f"{ALLOWED}/32"}]}) as group,
        replication_group(
            elasticache,
            "doors-cluster",
            NumNodeGroups=2,
            ReplicasPerNodeGroup=1,
            AutomaticFailoverEnabled=True,
            SecurityGroupIds=[group],
        ) as shown,
    ):
        nodes = node_places(service, shown)
        for where in (*places(shown), *nodes):
            assert enters(where, ALLOWED), where
            assert not enters(where, FORBIDDEN), where
        with closing(redis.Redis(*nodes[0])) as client, pytest.raises(redis.ConnectionError):
            client.ping()
        bus = _bus_port(nodes[0][0])
        assert not enters((nodes[0][0], bus), ALLOWED)  # not even whom all ports are open to
        assert not enters((nodes[0][0], bus), DEFAULT)


def _bus_port(host: str) -> int:
    """On which an engine listens besides its client port, from the kernel's table."""
    wanted = "".join(f"{int(part):02X}" for part in reversed(host.split(".")))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ports = {int(row[1].partition(":")[2], 16) for row in rows if row[1].startswith(wanted) and row[3] == "0A"}
    (bus,) = ports - {6379}
    return bus


def test_rules_change_under_a_living_cache(service: Service, elasticache: Any) -> None:
    ec2 = service.client("ec2")
    with (
        security_group(service) as first,
        security_group(service, permission(f"{FORBIDDEN}/32")) as second,
        replication_group(elasticache, "doors-change", NumCacheClusters=2, SecurityGroupIds=[first]) as shown,
    ):
        where = address(shown["NodeGroups"][0]["PrimaryEndpoint"])
        assert not enters(where, ALLOWED)
        ec2.authorize_security_group_ingress(GroupId=first, IpPermissions=[permission(f"{ALLOWED}/32")])
        await_door(where, ALLOWED, is_open=True)
        with pytest.raises(ClientError, match="DependencyViolation"):
            ec2.delete_security_group(GroupId=first)
        elasticache.modify_replication_group(
            ReplicationGroupId="doors-change", SecurityGroupIds=[second], ApplyImmediately=True
        )
        await_door(where, FORBIDDEN, is_open=True)
        assert not enters(where, ALLOWED)
        ec2.revoke_security_group_ingress(GroupId=second, IpPermissions=[permission(f"{FORBIDDEN}/32")])
        await_door(where, FORBIDDEN, is_open=False)


def test_members_of_a_named_group_may_connect(service: Service, elasticache: Any) -> None:
    ec2 = service.client("ec2")
    with (
        security_group(service) as app,
        security_group(service, permission(groups=[app])) as group,
        replication_group(elasticache, "doors-app", SecurityGroupIds=[app], NumCacheClusters=1) as member,
        replication_group(elasticache, "doors-data", SecurityGroupIds=[group], NumCacheClusters=1) as shown,
    ):
        where = address(shown["NodeGroups"][0]["PrimaryEndpoint"])
        (node,) = node_places(service, member)
        assert enters(where, node[0])
        assert not enters(where, ALLOWED)
        tag = {"Key": "cachefleet:members", "Value": f"{ALLOWED}/32"}
        ec2.create_tags(Resources=[app], Tags=[tag])
        await_door(where, ALLOWED, is_open=True)
        ec2.delete_tags(Resources=[app], Tags=[{"Key": tag["Key"]}])
        await_door(where, ALLOWED, is_open=False)


def test_a_moved_endpoint_stays_closed(service: Service, elasticache: Any) -> None:
    with (
        security_group(service, permission(f"{ALLOWED}/32")) as group,
        replication_group(
            elasticache, "doors-move", NumCacheClusters=2, AutomaticFailoverEnabled=True, SecurityGroupIds=[group]
        ) as shown,
    ):
        where = address(shown["NodeGroups"][0]["PrimaryEndpoint"])
        before = primary_member(await_healthy(elasticache, "doors-move"))
        os.kill(service.pid_of(before), signal.SIGKILL)

        def moved() -> bool:
            assert not enters(where, FORBIDDEN)
            found = describe(elasticache, "doors-move")
            return found is not None and primary_member(found) != before

        wait_for("another primary", moved)
        await_door(where, ALLOWED, is_open=True)
        for place in node_places(service, await_healthy(elasticache, "doors-move")):
            assert enters(place, ALLOWED)
            assert not enters(place, FORBIDDEN)


def test_keys_move_between_closed_shards(service: Service, elasticache: Any) -> None:
    """Also one by one, which engines do over connections of their own."""
    build_of(Engine.REDIS, "7.0")
    with (
        security_group(service, permission(f"{ALLOWED}/32")) as group,
        replication_group(
            elasticache,
            "doors-shards",
            Engine="redis",
            EngineVersion="7.0",
            NumNodeGroups=1,
            ReplicasPerNodeGroup=1,
            AutomaticFailoverEnabled=True,
            SecurityGroupIds=[group],
            CacheParameterGroupName="default.redis7.cluster.on",
        ) as shown,
    ):
        (where, *_) = node_places(service, shown)
        with socket.create_connection(where, timeout=5, source_address=(ALLOWED, 0)) as connection:
            connection.sendall(b"".join(b"SET key:%d v\r\n" % number for number in range(500)))
            received = b""
            while received.count(b"\r\n") < 500:
                received += connection.recv(65536)
        elasticache.modify_replication_group_shard_configuration(
            ReplicationGroupId="doors-shards", NodeGroupCount=2, ApplyImmediately=True
        )
        after = await_available(elasticache, "doors-shards", 90)
        assert len(after["NodeGroups"]) == 2
        for place in node_places(service, after):
            assert not enters(place, DEFAULT)


def test_memcached_is_closed_too(service: Service, elasticache: Any) -> None:
    build_of(Engine.MEMCACHED, "1.6")
    with (
        security_group(service, permission(f"{ALLOWED}/32", port=11211)) as group,
        cache_cluster(elasticache, "doors-mc", Engine="memcached", NumCacheNodes=2, SecurityGroupIds=[group]) as shown,
    ):
        nodes = [address(node["Endpoint"]) for node in shown["CacheNodes"]]
        for where in (address(shown["ConfigurationEndpoint"]), *nodes):
            assert enters(where, ALLOWED), where
            assert not enters(where, FORBIDDEN), where
            assert not enters(where, DEFAULT), where


def test_without_a_security_group_this_machine_may_connect(service: Service, elasticache: Any) -> None:
    with replication_group(elasticache, "doors-open", NumCacheClusters=2) as shown:
        where = address(shown["NodeGroups"][0]["PrimaryEndpoint"])
        assert enters(where, DEFAULT)
        assert enters(where, FORBIDDEN)
        (cluster, *_) = elasticache.describe_cache_clusters(CacheClusterId=shown["MemberClusters"][0])["CacheClusters"]
        (group,) = service.client("ec2").describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])[
            "SecurityGroups"
        ]
        assert cluster["SecurityGroups"] == [{"SecurityGroupId": group["GroupId"], "Status": "active"}]


def test_a_network_of_ones_own(service: Service, elasticache: Any) -> None:
    """As Terraform makes one: VPC, subnets, security group, cache subnet group, cache."""
    ec2 = service.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    ec2.get_waiter("vpc_available").wait(VpcIds=[vpc])
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.20.{number}.0/24", AvailabilityZone=f"local-1{zone}")["Subnet"]["SubnetId"]
        for number, zone in enumerate("bc")
    ]
    ec2.get_waiter("subnet_available").wait(SubnetIds=subnets)
    elasticache.create_cache_subnet_group(CacheSubnetGroupName="doors-own", CacheSubnetGroupDescription="d", SubnetIds=subnets)
    try:
        with security_group(service, permission("127.0.0.0/8"), VpcId=vpc) as group:
            with pytest.raises(ClientError, match="same VPC"):
                elasticache.create_cache_cluster(
                    CacheClusterId="doors-wrong", CacheNodeType="cache.t4g.micro", Engine="valkey", SecurityGroupIds=[group]
                )
            with replication_group(
                elasticache,
                "doors-own",
                NumCacheClusters=2,
                CacheSubnetGroupName="doors-own",
                SecurityGroupIds=[group],
                MultiAZEnabled=True,
                AutomaticFailoverEnabled=True,
            ) as shown:
                zones = {member["PreferredAvailabilityZone"] for member in shown["NodeGroups"][0]["NodeGroupMembers"]}
                assert zones == {"local-1b", "local-1c"}
                assert enters(address(shown["NodeGroups"][0]["PrimaryEndpoint"]))
                with pytest.raises(ClientError, match="DependencyViolation"):
                    ec2.delete_subnet(SubnetId=subnets[0])
    finally:
        elasticache.delete_cache_subnet_group(CacheSubnetGroupName="doors-own")
        for subnet in subnets:
            ec2.delete_subnet(SubnetId=subnet)
        ec2.delete_vpc(VpcId=vpc)
