"""EC2's operations and those of caches that refer to networks, in random orders with random contents: never a 500, and whatever
stands in the store afterwards refers to nothing that is gone.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from cachefleet.api.context import Context
from cachefleet.api.networks import networks
from cachefleet.api.registry import OPERATIONS
from cachefleet.gateway.gateway import Gateway
from cachefleet.model.resource import Kind
from cachefleet.protocol.service import service
from cachefleet.store import open_store
from tests.fakes.api import make_context
from tests.fakes.clock import ManualClock
from tests.faults.drawn_requests import Chooser, make_real_gateway, send
from tests.fixtures.gateway import NOW

STEPS = 3000
WORDS = """
    vpc-1 subnet-local-1a sg- sgr-x default 10.0.0.0/16 10.0.1.0/24 10.0.2.0/24 0.0.0.0/0 ::/0 fe80::1%lo/64 127.0.0.9/32
    1.2.3.4 10.0.0.0/33 300.0.0.0/8 10.0.0.0/-1 \u0663.0.0.0/8 tcp udp icmp -1 all 6 255 256 tcp; group-id vpc-id tag:Name
    tag-key ip-permission.cidr * ?[a-z] [ \\ local-1a local-1z euw1-az1 000000000000 cachefleet:members aws:x \u00e9
    security-group vpc subnet security-group-rule instance true enableDnsSupport mine app \U0001f600
"""
TEXTS = [*WORDS.split(), "", " ", "a" * 300, "10.0.0.0/8 } accept", "\x85"]
TCP = {"IpProtocol": "tcp", "FromPort": 6379, "ToPort": 6379}
FROM = [{"CidrIp": "10.0.0.0/8", "Description": "office"}, {"CidrIp": "127.0.0.9/32"}]
VPC_TAGS = [{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "mine"}]}]
CACHE = {"ReplicationGroupDescription": "d", "CacheNodeType": "cache.t4g.micro", "Engine": "valkey"}
GOOD: dict[str, list[dict[str, Any]]] = {
    "CreateVpc": [{"CidrBlock": "10.0.0.0/16"}, {"CidrBlock": "10.0.0.0/16", "TagSpecifications": VPC_TAGS}],
    "CreateSubnet": [{"CidrBlock": f"10.0.{number}.0/24", "AvailabilityZone": "local-1a"} for number in range(3)],
    "CreateSecurityGroup": [{"GroupName": name, "Description": "d"} for name in ("app", "mine", "more")],
    "AuthorizeSecurityGroupIngress": [
        {"IpPermissions": [{**TCP, "IpRanges": FROM}]},
        {"IpPermissions": [{"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}]},
        {"CidrIp": "10.0.0.0/8", **TCP},
    ],
    "AuthorizeSecurityGroupEgress": [{"IpPermissions": [{**TCP, "IpRanges": FROM}]}],
    "RevokeSecurityGroupIngress": [{"IpPermissions": [{**TCP, "IpRanges": FROM[:1]}]}, {"CidrIp": "10.0.0.0/8", **TCP}],
    "RevokeSecurityGroupEgress": [{"IpPermissions": [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]}],
    "ModifyVpcAttribute": [{"EnableDnsSupport": {"Value": False}}, {"EnableDnsHostnames": {"Value": True}}],
    "DescribeVpcAttribute": [{"Attribute": "enableDnsSupport"}],
    "ModifySubnetAttribute": [{"MapPublicIpOnLaunch": {"Value": True}}],
    "ModifySecurityGroupRules": [{"SecurityGroupRules": [{"SecurityGroupRule": {**TCP, "CidrIpv4": "10.9.0.0/16"}}]}],
    **{
        f"UpdateSecurityGroupRuleDescriptions{way}": [
            {"SecurityGroupRuleDescriptions": [{"Description": "x"}]},
            {"IpPermissions": [{**TCP, "IpRanges": FROM[:1]}]},
        ]
        for way in ("Ingress", "Egress")
    },
    "CreateTags": [{"Tags": [{"Key": "team", "Value": "x"}]}],
    "DeleteTags": [{"Tags": [{"Key": "team"}]}],
    "CreateReplicationGroup": [{**CACHE, "ReplicationGroupId": "demo"}],
    "ModifyReplicationGroup": [{"ReplicationGroupId": "demo", "ApplyImmediately": True}],
    "DeleteReplicationGroup": [{"ReplicationGroupId": "demo"}],
    "CreateCacheSubnetGroup": [{"CacheSubnetGroupName": "mine", "CacheSubnetGroupDescription": "d"}],
    "ModifyCacheSubnetGroup": [{"CacheSubnetGroupName": "mine"}],
    "DeleteCacheSubnetGroup": [{"CacheSubnetGroupName": "mine"}],
}
# The member that names another resource, by operation: such requests name one of the right kind, most of the time.
NAMES = {"VpcId": "vpc-", "SubnetId": "subnet-", "GroupId": "sg-"}
LISTS = {"SubnetIds": "subnet-", "SecurityGroupIds": "sg-", "SecurityGroupRuleIds": "sgr-", "Resources": ""}
_RULE = re.compile(r"<securityGroupRuleId>(sgr-[0-9a-f]+)</securityGroupRuleId>.*?<groupId>(sg-[0-9a-f]+)</groupId>")
DELETING: dict[str, list[dict[str, Any]]] = {name: [{}] for name in ("DeleteVpc", "DeleteSubnet", "DeleteSecurityGroup")}
PAIR = {"IpPermissions": [{**TCP, "UserIdGroupPairs": [{}]}]}  # is given a group by `refer`
RACING = {
    **{name: GOOD[name] for name in GOOD if name.startswith(("Create", "Delete", "ModifyCache")) and "Tags" not in name},
    **DELETING,
    "AuthorizeSecurityGroupIngress": [PAIR],
}
CACHES = [name for name in GOOD if "Cache" in name or "Replication" in name]


def refer(chooser: Chooser, name: str, asked: dict[str, Any], rules: Mapping[str, str]) -> dict[str, Any]:
    """The request, naming what is there. rules: their groups."""
    members = service("elasticache" if name in CACHES else "ec2").operation(name).input_shape.members
    describes = name.startswith("Describe")
    for member, prefix in {**NAMES, **LISTS}.items():
        known = [known for known in chooser.ids if known.startswith(prefix)]
        if member in members and known and not describes and chooser.chance.random() < 0.8:
            chosen = chooser.chance.choice(known)
            asked[member] = [chosen] if member in LISTS else chosen
    groups = [known for known in chooser.ids if known.startswith("sg-")]
    for permission in asked.get("IpPermissions") or ():
        for pair in permission.get("UserIdGroupPairs") or ():
            if groups:
                pair["GroupId"] = chooser.chance.choice(groups)
    if name == "DescribeVpcAttribute":
        asked["VpcId"] = next((known for known in chooser.ids if known.startswith("vpc-")), "vpc-1")
    if rules and name.startswith(("Revoke", "ModifySecurity", "UpdateSecurity")):
        rule_id, asked["GroupId"] = chooser.chance.choice(sorted(rules.items()))
        for update in (*asked.get("SecurityGroupRules", ()), *asked.get("SecurityGroupRuleDescriptions", ())):
            update["SecurityGroupRuleId"] = rule_id
        if "SecurityGroupRuleIds" in asked:
            asked["SecurityGroupRuleIds"] = [rule_id]
    if name.startswith("Revoke") and "IpPermissions" in asked and chooser.chance.random() < 0.5:
        asked.pop("IpPermissions")
    elif name.startswith("Revoke"):
        asked.pop("SecurityGroupRuleIds", None)
    return asked


@pytest.mark.parametrize("seed", range(2))
def test_no_order_of_requests_breaks_a_network(seed: int) -> None:
    chooser = Chooser(seed, TEXTS, GOOD)
    statuses: Counter[tuple[str, int]] = Counter()
    served = [name for signing_name, name in sorted(OPERATIONS) if signing_name == "ec2"]
    often = [*served, *3 * [name for name in GOOD if name not in CACHES], *CACHES]

    async def scenario() -> None:
        for step in range(STEPS):
            if step % 200 == 0:
                context = make_context(clock=ManualClock(NOW))
                gateway = make_real_gateway(context)
                chooser.ids.clear()
                rules: dict[str, str] = {}
            name = chooser.chance.choice(often)
            signing_name = "elasticache" if name in CACHES else "ec2"
            shape = service(signing_name).operation(name).input_shape
            request = refer(chooser, name, chooser.request(name, shape), rules)
            answer = await send(gateway, signing_name, name, request)
            chooser.learn(answer.text)
            rules |= dict(_RULE.findall(answer.text))
            statuses[name, answer.status] += 1
            assert answer.status < 500, (seed, step, name, request, answer.text)
            if step % 20 == 0:
                assert await dangling(context) == [], (seed, step, name, request)

    asyncio.run(scenario())
    for name in served:
        assert statuses[name, 200] > 0, f"{name} never worked: {sorted(statuses.items())}"


async def dangling(context: Context) -> list[str]:
    """References to what is not there, or is of another VPC."""
    vpcs, subnets = await networks.vpcs(context), await networks.subnets(context)
    groups = await networks.security_groups(context)
    homes = {name: row.desired.vpc_id for name, row in subnets.items()} | {
        name: row.desired.vpc_id for name, row in groups.items()
    }
    found = [f"{name} in {vpc_id}" for name, vpc_id in homes.items() if vpc_id not in vpcs]
    for name, row in groups.items():
        for rule in (*row.desired.ingress, *row.desired.egress):
            if rule.group_id and homes.get(rule.group_id) != row.desired.vpc_id:
                found.append(f"rule of {name}: {rule.group_id}")
    for subnet_group in await context.store.rows(Kind.SUBNET_GROUP, context.scope):
        name = subnet_group.key.name
        found += [f"{name}: {each.subnet_id}" for each in subnet_group.desired.subnets if each.subnet_id not in subnets]
    for cache in await networks.group_rows(context):
        found += [
            f"{cache.key.name}: {name}" for name in networks.security_groups_of(context, cache.desired) if name not in groups
        ]
    return found


AT_ONCE = 6
ROUNDS = 120
MOST_ROUNDS = 20 * ROUNDS  # some requests need several others to have been answered before them, in an order that nobody sets


@pytest.mark.parametrize("seed", range(2))
def test_no_requests_at_once_break_a_network(seed: int, tmp_path: Path) -> None:
    """Over a real database: of a request that refers to something and one that deletes it only one is carried out."""
    chooser = Chooser(seed, TEXTS, RACING)
    worked: Counter[str] = Counter()

    async def one(gateway: Gateway, name: str, rules: dict[str, str]) -> None:
        signing_name = "elasticache" if name in CACHES else "ec2"
        request = refer(chooser, name, deepcopy(dict(chooser.chance.choice(RACING[name]))), rules)
        answer = await send(gateway, signing_name, name, request)
        assert answer.status < 500, (seed, name, request, answer.text)
        worked[name] += answer.status == 200
        chooser.learn(answer.text)
        rules |= dict(_RULE.findall(answer.text))

    async def scenario() -> None:
        store = await open_store(f"sqlite+aiosqlite:///{tmp_path / 'test.db'}", ManualClock(NOW))
        try:
            context = make_context(store=store, clock=ManualClock(NOW))
            gateway = make_real_gateway(context)
            rules: dict[str, str] = {}
            for number in range(MOST_ROUNDS):
                if number >= ROUNDS and all(worked[name] for name in RACING):
                    break
                names = [chooser.chance.choice(sorted(RACING)) for _ in range(AT_ONCE)]
                await asyncio.gather(*(one(gateway, name, rules) for name in names))
                assert await dangling(context) == [], (seed, names)
        finally:
            await store.close()

    asyncio.run(scenario())
    assert all(worked[name] for name in RACING), worked
