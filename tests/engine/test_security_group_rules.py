"""What rules of security groups mean for connections: members, several groups, ports, and what is connected already."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from tests.engine.groups import address, replication_group
from tests.fixtures.doors import ALLOWED, DEFAULT, FORBIDDEN, Place, await_door, enters, need_guards, permission, security_group
from tests.fixtures.service import Service, wait_for


@pytest.fixture(autouse=True)
def guarded(service: Service) -> None:
    need_guards(service)


def primary(group: dict[str, Any]) -> Place:
    return address(group["NodeGroups"][0]["PrimaryEndpoint"])


def node_of(elasticache: Any, group: dict[str, Any]) -> str:
    """The address of its only node."""
    (name,) = group["MemberClusters"]
    (cluster,) = elasticache.describe_cache_clusters(CacheClusterId=name, ShowCacheNodeInfo=True)["CacheClusters"]
    return address(cluster["CacheNodes"][0]["Endpoint"])[0]


@contextmanager
def cache(elasticache: Any, name: str, **more: Any) -> Iterator[dict[str, Any]]:
    with replication_group(elasticache, name, NumCacheClusters=1, **more) as shown:
        yield shown


@contextmanager
def own_network(service: Service, elasticache: Any, name: str) -> Iterator[str]:
    """A VPC with a subnet in a cache subnet group of that name; the id of the VPC."""
    ec2 = service.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.30.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.30.1.0/24")["Subnet"]["SubnetId"]
    elasticache.create_cache_subnet_group(CacheSubnetGroupName=name, CacheSubnetGroupDescription="d", SubnetIds=[subnet])
    try:
        yield str(vpc)
    finally:
        elasticache.delete_cache_subnet_group(CacheSubnetGroupName=name)
        ec2.delete_subnet(SubnetId=subnet)
        ec2.delete_vpc(VpcId=vpc)


def answers(connection: socket.socket) -> bool:
    connection.sendall(b"PING\r\n")
    return connection.recv(100) == b"+PONG\r\n"


def test_what_is_connected_stays_when_its_rule_goes(service: Service, elasticache: Any) -> None:
    ec2, rule = service.client("ec2"), permission(f"{ALLOWED}/32")
    with security_group(service, rule) as group, cache(elasticache, "rules-stay", SecurityGroupIds=[group]) as shown:
        where = primary(shown)
        with socket.create_connection(where, timeout=5, source_address=(ALLOWED, 0)) as connection:
            assert answers(connection)
            ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])
            await_door(where, ALLOWED, is_open=False)
            for _ in range(20):
                assert answers(connection)
        assert not enters(where, ALLOWED)


def test_rules_act_soon(service: Service, elasticache: Any) -> None:
    """Within what await_door waits for; docs/networks.md has what was measured."""
    ec2, rule = service.client("ec2"), permission(f"{ALLOWED}/32")
    with security_group(service) as group, cache(elasticache, "rules-soon", SecurityGroupIds=[group]) as shown:
        where = primary(shown)
        for _ in range(5):
            for change, is_open in ((ec2.authorize_security_group_ingress, True), (ec2.revoke_security_group_ingress, False)):
                change(GroupId=group, IpPermissions=[rule])
                await_door(where, ALLOWED, is_open=is_open)


def test_the_default_group_of_ones_own_vpc_lets_in_its_members_alone(service: Service, elasticache: Any) -> None:
    ec2 = service.client("ec2")
    with own_network(service, elasticache, "rules-own") as vpc, ExitStack() as stack:
        own = {"CacheSubnetGroupName": "rules-own"}
        first = stack.enter_context(cache(elasticache, "rules-one", **own))
        second = stack.enter_context(cache(elasticache, "rules-two", **own))
        other = stack.enter_context(security_group(service, permission("127.0.0.0/8"), VpcId=vpc))
        third = stack.enter_context(cache(elasticache, "rules-three", **own, SecurityGroupIds=[other]))
        for where, member in ((primary(first), second), (primary(second), first)):
            await_door(where, node_of(elasticache, member), is_open=True)
            for stranger in (DEFAULT, ALLOWED, node_of(elasticache, third)):
                assert not enters(where, stranger), (where, stranger)
        assert enters(primary(third), DEFAULT)
        filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]
        (default,) = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        ec2.revoke_security_group_ingress(GroupId=default["GroupId"], IpPermissions=default["IpPermissions"])
        await_door(primary(first), node_of(elasticache, second), is_open=False)


def test_members_of_members_may_not_connect(service: Service, elasticache: Any) -> None:
    """As in AWS: web may connect to app and app to the cache, so web may not connect to the cache."""
    ec2 = service.client("ec2")
    with (
        security_group(service) as web,
        security_group(service, permission(groups=[web])) as app,
        security_group(service, permission(groups=[app])) as group,
        cache(elasticache, "rules-far", SecurityGroupIds=[group]) as shown,
    ):
        where = primary(shown)
        for name, member in ((web, FORBIDDEN), (app, ALLOWED)):
            ec2.create_tags(Resources=[name], Tags=[{"Key": "cachefleet:members", "Value": member}])
        await_door(where, ALLOWED, is_open=True)
        assert not enters(where, FORBIDDEN)


def test_a_new_member_of_a_named_group_may_connect_at_once(service: Service, elasticache: Any) -> None:
    with (
        security_group(service) as app,
        security_group(service, permission(groups=[app])) as group,
        cache(elasticache, "rules-data", SecurityGroupIds=[group]) as shown,
    ):
        where = primary(shown)
        with cache(elasticache, "rules-new", SecurityGroupIds=[app]) as member:
            node = node_of(elasticache, member)
            assert enters(where, node)
            elasticache.modify_replication_group(
                ReplicationGroupId="rules-new", SecurityGroupIds=[group], ApplyImmediately=True
            )
            await_door(where, node, is_open=False)
            elasticache.modify_replication_group(
                ReplicationGroupId="rules-new", SecurityGroupIds=[app, group], ApplyImmediately=True
            )
            await_door(where, node, is_open=True)
        await_door(where, node, is_open=False)


def test_rules_of_several_groups_add_up_and_ports_count(service: Service, elasticache: Any) -> None:
    beside = permission("127.0.0.11/32", port=6380)
    wide = {**permission("127.0.0.12/32"), "FromPort": 6000, "ToPort": 7000}
    nobody = [
        {"IpProtocol": "udp", "FromPort": 6379, "ToPort": 6379, "IpRanges": [{"CidrIp": "127.0.0.13/32"}]},
        {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": [{"CidrIp": "127.0.0.13/32"}]},
        {"IpProtocol": "tcp", "FromPort": 6379, "ToPort": 6379, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
    ]
    with (
        security_group(service, permission("127.0.0.10/32"), beside) as first,
        security_group(service, wide, *nobody) as second,
        cache(elasticache, "rules-both", SecurityGroupIds=[first, second]) as shown,
    ):
        where = primary(shown)
        entering = [number for number in range(9, 15) if enters(where, f"127.0.0.{number}")]
        assert entering == [10, 12]
        elasticache.modify_replication_group(ReplicationGroupId="rules-both", SecurityGroupIds=[second], ApplyImmediately=True)
        await_door(where, "127.0.0.10", is_open=False)
        assert enters(where, "127.0.0.12")


ROUNDS = 25
SOURCES = [f"127.{second}.0.{last}" for second in (0, 7, 8) for last in (1, 9, 10, 200)]
NETWORKS = [
    *("127.0.0.0/8", "127.0.0.0/16", "127.8.0.0/15", "127.0.0.8/30"),
    *("127.7.0.200/32", "127.0.0.9/32", "10.0.0.0/8", "0.0.0.0/1"),
]
PORTS = [(6379, 6379), (0, 65535), (6000, 6378), (6380, 7000), (6379, 6400)]


def drawn_rule(chance: random.Random, groups: list[str]) -> dict[str, Any]:
    protocol = chance.choice(["tcp", "tcp", "tcp", "udp", "-1"])
    first, last = chance.choice(PORTS)
    ports = {} if protocol == "-1" else {"FromPort": first, "ToPort": last}
    if chance.random() < 0.3:
        return {"IpProtocol": protocol, **ports, "UserIdGroupPairs": [{"GroupId": chance.choice(groups)}]}
    return {"IpProtocol": protocol, **ports, "IpRanges": [{"CidrIp": chance.choice(NETWORKS)}]}


def may_enter(rules: list[dict[str, Any]], members: dict[str, str], source: str) -> bool:
    """Read from what DescribeSecurityGroupRules shows, one rule after the other."""
    for rule in rules:
        if rule["IsEgress"] or rule["IpProtocol"] not in ("tcp", "-1"):
            continue
        if rule["IpProtocol"] == "tcp" and not rule["FromPort"] <= 6379 <= rule["ToPort"]:
            continue
        named = members.get(rule.get("ReferencedGroupInfo", {}).get("GroupId", ""), "")
        networks = [rule["CidrIpv4"]] if "CidrIpv4" in rule else named.split()
        if any(ip_address(source) in ip_network(network) for network in networks):
            return True
    return False


def test_the_kernel_agrees_with_another_reading_of_the_rules(service: Service, elasticache: Any) -> None:
    ec2, seed = service.client("ec2"), 20261123
    chance = random.Random(seed)
    with ExitStack() as stack:
        near, far = (stack.enter_context(security_group(service)) for _ in range(2))
        members = {near: "127.0.0.10 127.8.0.0/24", far: "127.7.0.1/32"}
        for name, addresses in members.items():
            ec2.create_tags(Resources=[name], Tags=[{"Key": "cachefleet:members", "Value": addresses}])
        groups = [stack.enter_context(security_group(service)) for _ in range(2)]
        where = primary(stack.enter_context(cache(elasticache, "rules-drawn", SecurityGroupIds=groups)))
        seen = set()
        for number in range(ROUNDS):
            group = chance.choice(groups)
            filters = [{"Name": "group-id", "Values": [group]}, {"Name": "is-egress", "Values": ["false"]}]
            there = ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
            if there and chance.random() < 0.6:
                ids = [rule["SecurityGroupRuleId"] for rule in chance.sample(there, chance.randint(1, len(there)))]
                ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=ids)
            with suppress(ec2.exceptions.ClientError):  # it has such a rule already
                ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[drawn_rule(chance, [near, far])])
            filters = [{"Name": "group-id", "Values": groups}]
            rules = ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
            expected = [source for source in SOURCES if may_enter(rules, members, source)]

            def agrees(expected: list[str] = expected) -> bool:
                return [source for source in SOURCES if enters(where, source)] == expected

            wait_for(f"seed {seed}, round {number}: {expected} enter by {rules}", agrees, 10)
            seen.add(len(expected))
        assert len(seen) > 3, seen
        for group in (*groups, near, far):  # so that they can be deleted in any order
            shown = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
            if shown:
                ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=shown)
