"""Cloud Custodian: its resources of ElastiCache, their filters and actions, as policies that the tool itself runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.fixtures.custodian import Policy, run_policies
from tests.fixtures.custodian import policy as of
from tests.fixtures.service import Service, wait_for

REGION = "eu-central-1"  # of these tests alone
SMALL = {"CacheNodeType": "cache.t4g.micro", "Engine": "valkey"}
GROUP, ALONE = "custodian-group", "custodian-alone"
USER = "custodian-user"
SUBNETS = "custodian-subnets"
SECURED = "custodian-own"
RESERVED = "custodian-reserved"
KEYS = 40
MEASURED = [{"Key": "cachefleet:metrics-interval-s", "Value": "1"}]
MARK = "custodian_mark"


class Account:
    """What there is, and the tool that looks after it."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.elasticache = service.client(region=REGION)
        self.ec2 = service.client("ec2", region=REGION)
        self.cloudwatch = service.client("cloudwatch", region=REGION)
        self._service = service
        self._folder = folder
        self._runs = 0

    def run(self, *policies: Policy) -> dict[str, list[str]]:
        """Run them one after another; which resources each has found, by its name."""
        self._runs += 1
        folder = self._folder / str(self._runs)
        folder.mkdir()
        return run_policies(*policies, environment=self._service.environment(), region=REGION, folder=folder)

    def arn(self, type_word: str, name: str) -> str:
        return f"arn:aws:elasticache:{REGION}:000000000000:{type_word}:{name}"

    def tags(self, type_word: str, name: str) -> dict[str, str]:
        reply = self.elasticache.list_tags_for_resource(ResourceName=self.arn(type_word, name))
        return {tag["Key"]: tag["Value"] for tag in reply["TagList"]}

    def security_groups(self) -> list[str]:
        (found,) = self.elasticache.describe_cache_clusters(CacheClusterId=f"{GROUP}-001")["CacheClusters"]
        return sorted(group["SecurityGroupId"] for group in found["SecurityGroups"])

    def available(self) -> bool:
        (group,) = self.elasticache.describe_replication_groups(ReplicationGroupId=GROUP)["ReplicationGroups"]
        (alone,) = self.elasticache.describe_cache_clusters(CacheClusterId=ALONE)["CacheClusters"]
        return bool(group["Status"] == alone["CacheClusterStatus"] == "available")

    def snapshots(self) -> dict[str, str]:
        found = self.elasticache.describe_snapshots()["Snapshots"]
        return {one["SnapshotName"]: one["SnapshotStatus"] for one in found}


def value(key: str, equal: Any, **more: Any) -> dict[str, Any]:
    return {"type": "value", "key": key, "value": equal, **more}


@pytest.fixture(scope="module")
def account(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    account = Account(service, tmp_path_factory.mktemp("custodian"))
    elasticache = account.elasticache
    subnet, *_ = account.ec2.describe_subnets()["Subnets"]
    elasticache.create_cache_subnet_group(
        CacheSubnetGroupName=SUBNETS, CacheSubnetGroupDescription="d", SubnetIds=[subnet["SubnetId"]]
    )
    own = account.ec2.create_security_group(GroupName=SECURED, Description="d")["GroupId"]
    account.ec2.authorize_security_group_ingress(GroupId=own, IpProtocol="-1", CidrIp="127.0.0.0/8")
    elasticache.create_replication_group(
        ReplicationGroupId=GROUP,
        ReplicationGroupDescription="d",
        NumCacheClusters=1,
        SecurityGroupIds=[own],
        CacheSubnetGroupName=SUBNETS,
        Tags=[*MEASURED, {"Key": "team", "Value": "shop"}],
        **SMALL,
    )
    elasticache.create_cache_cluster(CacheClusterId=ALONE, NumCacheNodes=1, Tags=MEASURED, **SMALL)
    elasticache.create_user(UserId=USER, UserName=USER, Engine="redis", AccessString="on ~* +@all", NoPasswordRequired=True)
    offering, *_ = elasticache.describe_reserved_cache_nodes_offerings()["ReservedCacheNodesOfferings"]
    bought = {"ReservedCacheNodesOfferingId": offering["ReservedCacheNodesOfferingId"], "ReservedCacheNodeId": RESERVED}
    elasticache.purchase_reserved_cache_nodes_offering(**bought)
    try:
        wait_for("both are available", account.available, 60)
        yield account
    finally:
        _clear(account)


def _clear(account: Account) -> None:
    """Engines may not outlive the tests; what a policy has deleted is gone already."""
    elasticache = account.elasticache
    for delete, named in (
        (elasticache.delete_replication_group, {"ReplicationGroupId": GROUP}),
        (elasticache.delete_cache_cluster, {"CacheClusterId": ALONE}),
    ):
        try:
            delete(**named)
        except elasticache.exceptions.ClientError as error:
            assert "NotFound" in error.response["Error"]["Code"] or "Invalid" in error.response["Error"]["Code"]


def test_filters(account: Account) -> None:
    _write_keys(account)
    own = account.security_groups()
    networks = account.ec2.describe_vpcs()["Vpcs"]
    found = account.run(
        of("cache-cluster", "every-cluster"),
        {**of("cache-cluster", "by-query"), "query": [{"ShowCacheClustersNotInReplicationGroups": True}]},
        of("cache-cluster", "by-value", value("ReplicationGroupId", GROUP)),
        of("cache-cluster", "by-tag", {"tag:team": "shop"}),
        of("cache-cluster", "without-tag", {"tag:team": "absent"}),
        of("cache-cluster", "by-age", value("CacheClusterCreateTime", 1, op="lt", value_type="age")),
        of("cache-cluster", "by-security-group", {"type": "security-group", "key": "GroupName", "value": SECURED}),
        of("cache-cluster", "by-subnet", {"type": "subnet", "key": "SubnetId", "value": _subnet(account)}),
        of("cache-cluster", "by-vpc", {"type": "vpc", "key": "VpcId", "value": networks[0]["VpcId"]}),
        of("cache-cluster", "full", _items("CacheClusterId", "ge", KEYS)),
        of("cache-cluster", "empty", _items("CacheClusterId", "lt", KEYS)),
        of("cache-cluster", "unknown", {**_items("CacheClusterId", "lt", KEYS), "name": "NoSuchMetric", "missing-value": 0}),
        of("cache-subnet-group", "subnet-groups", value("CacheSubnetGroupName", SUBNETS)),
        of("elasticache-group", "groups", {"tag:team": "shop"}, value("AutomaticFailover", "disabled")),
        of("elasticache-user", "users", value("Authentication.Type", "no-password"), value("UserId", USER)),
        of("elasticache-reserved", "reserved"),
        of("cache-snapshot", "snapshots"),
    )
    node = f"{GROUP}-001"
    assert found == {
        "every-cluster": [ALONE, node],
        "by-query": [ALONE],
        "by-value": [node],
        "by-tag": [node],
        "without-tag": [ALONE],
        "by-age": [ALONE, node],
        "by-security-group": [node],
        "by-subnet": [ALONE, node],
        "by-vpc": [ALONE, node],
        "full": [node],
        "empty": [ALONE],
        "unknown": [ALONE, node],
        "subnet-groups": [SUBNETS],
        "groups": [GROUP],
        "users": [USER],
        "reserved": [RESERVED],
        "snapshots": [],
    }
    assert own == account.security_groups()


def _subnet(account: Account) -> str:
    (group,) = account.elasticache.describe_cache_subnet_groups(CacheSubnetGroupName=SUBNETS)["CacheSubnetGroups"]
    return str(group["Subnets"][0]["SubnetIdentifier"])


def _items(dimension: str, op: str, number: int) -> dict[str, Any]:
    return {"type": "metrics", "name": "CurrItems", "statistics": "Maximum", "days": 1, "op": op, "value": number}


def _write_keys(account: Account) -> None:
    """And wait until CloudWatch tells of them."""
    (group,) = account.elasticache.describe_replication_groups(ReplicationGroupId=GROUP)["ReplicationGroups"]
    endpoint = group["NodeGroups"][0]["PrimaryEndpoint"]
    with redis.Redis(endpoint["Address"], endpoint["Port"]) as client:
        client.mset({f"key-{number}": number for number in range(KEYS)})

    def told(cluster: str, least: int) -> bool:
        statistics = account.cloudwatch.get_metric_data(
            MetricDataQueries=[
                {
                    "Id": "items",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": "AWS/ElastiCache",
                            "MetricName": "CurrItems",
                            "Dimensions": [{"Name": "CacheClusterId", "Value": cluster}],
                        },
                        "Period": 86400,
                        "Stat": "Maximum",
                    },
                }
            ],
            StartTime="2020-01-01",
            EndTime="2099-01-01",
        )["MetricDataResults"][0]["Values"]
        return any(number >= least for number in statistics)

    wait_for("CloudWatch tells how many keys there are", lambda: told(f"{GROUP}-001", KEYS) and told(ALONE, 0), 90, 0.2)


def test_actions(account: Account) -> None:
    more = account.ec2.create_security_group(GroupName="custodian-more", Description="d")["GroupId"]
    before = account.security_groups()
    cluster, user = value("CacheClusterId", f"{GROUP}-001"), value("UserId", USER)
    attributes = {"NoPasswordRequired": False, "Passwords": ["a-long-password-it-is"], "AccessString": "on ~app:* +get"}
    account.run(
        of("elasticache-group", "tag", value("ReplicationGroupId", GROUP), actions=({"type": "tag", "tags": {"env": "live"}},)),
        of("cache-cluster", "mark", value("CacheClusterId", ALONE), actions=(_mark("delete"),)),
        of("cache-cluster", "rename", cluster, actions=({"type": "rename-tag", "old_keys": ["team"], "new_key": "unit"},)),
        of("cache-cluster", "secure", cluster, actions=({"type": "modify-security-groups", "add": more},)),
        of("elasticache-user", "modify", user, actions=({"type": "modify", "attributes": attributes},)),
        of("elasticache-user", "tag-user", user, actions=({"type": "tag", "tags": {"env": "live"}},)),
        of("elasticache-user", "untag-user", user, actions=({"type": "remove-tag", "tags": ["env"]},)),
    )
    assert account.tags("replicationgroup", GROUP)["env"] == "live"
    assert "delete@" in account.tags("cluster", ALONE)[MARK]
    tags = account.tags("cluster", f"{GROUP}-001")
    assert tags["unit"] == "shop" and "team" not in tags
    assert account.security_groups() == sorted([*before, more])
    assert account.tags("user", USER) == {}
    (changed,) = account.elasticache.describe_users(UserId=USER)["Users"]
    assert changed["Authentication"] == {"Type": "password", "PasswordCount": 1}
    wait_for("the group has its security groups", account.available, 30)

    account.run(of("cache-cluster", "snapshot", value("CacheClusterId", ALONE), actions=("snapshot",)))
    (name,) = account.snapshots()
    wait_for("the snapshot is complete", lambda: account.snapshots()[name] == "available" and account.available(), 60)
    copy = {"type": "copy-cluster-tags", "tags": [MARK]}
    found = account.run(
        of("cache-snapshot", "copy-tags", value("SnapshotName", name), actions=(copy,)),
        of("cache-snapshot", "aged", {"type": "age", "days": 1, "op": "lt"}),
        of("cache-snapshot", "marked", {f"tag:{MARK}": "present"}, actions=("delete",)),
        of("elasticache-user", "delete-user", user, actions=("delete",)),
        of("cache-cluster", "due", _due("delete"), actions=({"type": "delete", "skip-snapshot": True},)),
        of("elasticache-group", "delete", {"tag:env": "live"}, actions=({"type": "delete", "snapshot": False},)),
    )
    expected = [("copy-tags", name), ("aged", name), ("marked", name), ("delete-user", USER), ("due", ALONE), ("delete", GROUP)]
    assert found == {policy: [one] for policy, one in expected}
    wait_for("nothing is left", lambda: _left(account) == [], 60)


def _mark(operation: str) -> dict[str, Any]:
    return {"type": "mark-for-op", "tag": MARK, "op": operation, "days": 1}


def _due(operation: str) -> dict[str, Any]:
    """Within the next days."""
    return {"type": "marked-for-op", "tag": MARK, "op": operation, "skew": 2}


def _left(account: Account) -> list[str]:
    clusters = [one["CacheClusterId"] for one in account.elasticache.describe_cache_clusters()["CacheClusters"]]
    users = [one["UserId"] for one in account.elasticache.describe_users()["Users"] if one["UserId"] == USER]
    return [*clusters, *users, *account.snapshots()]
