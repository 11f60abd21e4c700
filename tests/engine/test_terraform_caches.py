"""Terraform's AWS provider, unchanged, with a cache of every kind: made, changed in place, then seen unchanged, taken away.

The provider waits for 30 s whenever a cache comes or goes, or its nodes change. CI has one round of it, in which everything
comes and goes at one time; `make tools` has the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.groups import describe, describe_cluster
from tests.fixtures.service import Service
from tests.fixtures.terraform import EXAMPLES, Terraform

VARIANTS = Path(__file__).parents[1] / "terraform_variants" / "main.tf"
takes_minutes = pytest.mark.skipif(not os.environ.get("TEST_TOOLS"), reason="waits for minutes: make tools")


@pytest.fixture
def terraform(tmp_path: Path, service: Service) -> Iterator[Terraform]:
    """What it made is gone after the test."""
    made = Terraform(tmp_path, service, EXAMPLES / "caches" / "main.tf")
    yield made
    made.run("destroy", "-refresh=false")
    elasticache = service.client()
    assert describe(elasticache, "carts") is describe(elasticache, "catalogue") is None
    assert describe_cluster(elasticache, "sessions") is describe_cluster(elasticache, "queue") is None
    for kind, name, left in (
        ("cache_parameter_groups", "CacheParameterGroupName", {"carts", "catalogue", "sessions"}),
        ("cache_subnet_groups", "CacheSubnetGroupName", {"caches"}),
        ("user_groups", "UserGroupId", {"team"}),
        ("users", "UserId", {"application", "nobody"}),
    ):
        pages = elasticache.get_paginator(f"describe_{kind}").paginate()
        assert not left & {found[name] for page in pages for found in page[pages.result_keys[0].expression]}


def test_every_kind_of_cache(elasticache: Any, terraform: Terraform) -> None:
    terraform.apply()
    outputs = terraform.outputs()
    assert outputs["found"] == {
        "subnets": 3,
        "carts_nodes": 2,
        "carts_primary": outputs["carts"],
        "catalogue_shards": 2,
        "sessions_nodes": 2,
        "queue_engine": "redis",
        "reserved": "cache.t4g.micro",
        "user_may": "on ~app::* -@all +@read +@write",
    }
    assert elasticache.describe_user_groups(UserGroupId="team")["UserGroups"][0]["UserIds"] == ["application", "nobody"]
    terraform.change(
        "0 added, 5 changed, 0 destroyed",
        description="Caches of another shop",
        eviction="volatile-ttl",
        window="mon:05:00-mon:06:30",
        access="on allkeys +@read",
        retention=3,
    )
    carts = describe(elasticache, "carts")
    assert carts is not None
    assert (carts["Description"], carts["SnapshotRetentionLimit"]) == ("Caches of another shop", 3)
    assert elasticache.list_tags_for_resource(ResourceName=carts["ARN"])["TagList"] == [
        {"Key": "Purpose", "Value": "Caches of another shop"},
        {"Key": "Team", "Value": "shop"},
    ]
    member = describe_cluster(elasticache, "carts-001")
    assert member is not None and member["PreferredMaintenanceWindow"] == "mon:05:00-mon:06:30"
    policy = elasticache.describe_cache_parameters(CacheParameterGroupName="carts", Source="user")["Parameters"]
    assert {one["ParameterName"]: one["ParameterValue"] for one in policy} == {
        "maxmemory-policy": "volatile-ttl",
        "timeout": "300",
    }
    (user,) = elasticache.describe_users(UserId="application")["Users"]
    assert user["AccessString"] == "on allkeys +@read"


@takes_minutes
def test_caches_grow_and_shrink(elasticache: Any, terraform: Terraform) -> None:
    terraform.apply(redis_version="6.2")
    newer: dict[str, Any] = {"node_type": "cache.t4g.small", "redis_version": "7.0"}
    terraform.change("0 added, 4 changed, 0 destroyed", nodes=3, shards=3, replicas=1, memcached_nodes=3, **newer)
    catalogue, queue = describe(elasticache, "catalogue"), describe_cluster(elasticache, "queue")
    assert catalogue is not None and [len(shard["NodeGroupMembers"]) for shard in catalogue["NodeGroups"]] == [2, 2, 2]
    assert queue is not None and queue["EngineVersion"].startswith("7.0.")
    terraform.change("0 added, 3 changed, 0 destroyed", nodes=2, shards=2, replicas=0, memcached_nodes=2, **newer)
    catalogue, sessions = describe(elasticache, "catalogue"), describe_cluster(elasticache, "sessions")
    assert catalogue is not None and [len(shard["NodeGroupMembers"]) for shard in catalogue["NodeGroups"]] == [1, 1]
    assert sessions is not None and sessions["NumCacheNodes"] == 2


@takes_minutes
def test_variants(service: Service, tmp_path: Path) -> None:
    elasticache = service.client(region="eu-west-1")
    variants = Terraform(tmp_path, service, VARIANTS, region="eu-west-1")
    try:
        variants.apply(step=0)
        variants.change("0 added, 10 changed, 0 destroyed", step=1)
        variants.change("0 added, 8 changed, 1 destroyed", step=2)
        shown = {group["ReplicationGroupId"]: group for group in elasticache.describe_replication_groups()["ReplicationGroups"]}
        assert shown["mode"]["ClusterMode"] == "enabled"
        assert (shown["tls"]["TransitEncryptionEnabled"], shown["tls"]["TransitEncryptionMode"]) == (True, "required")
        assert (shown["engine"]["Engine"], shown["zones"]["MultiAZ"]) == ("valkey", "enabled")
        told = describe_cluster(elasticache, "told")
        assert told is not None and told["PreferredMaintenanceWindow"] == "sun:23:00-mon:01:30"
    finally:
        variants.run("destroy", "-refresh=false")
