"""Caches with parameter groups of one's own through boto3: cluster mode, numbers of databases, and what comes back of these."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
import valkey
from botocore.exceptions import ClientError

from cachefleet.model.proof import ASKED, FAILED, PROVEN
from tests.engine.groups import address, cache_cluster, replication_group
from tests.engine.snapshots import snapshot
from tests.fixtures.service import wait_for


def make(client: Any, name: str, **values: str) -> None:
    client.create_cache_parameter_group(CacheParameterGroupName=name, CacheParameterGroupFamily="valkey9", Description="test")
    listed = [{"ParameterName": each.replace("_", "-"), "ParameterValue": value} for each, value in values.items()]
    client.modify_cache_parameter_group(CacheParameterGroupName=name, ParameterNameValues=listed)


def refusal(call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**request)
    return str(refused.value.response["Error"]["Code"])


def outcome(client: Any, arn: str) -> set[str]:
    """Of the proof that was asked for."""
    tags = {tag["Key"] for tag in client.list_tags_for_resource(ResourceName=arn)["TagList"]}
    return tags & {PROVEN, FAILED}


def test_more_databases_are_saved_proven_and_restored(elasticache: Any) -> None:
    make(elasticache, "many", databases="40")
    many = {"CacheParameterGroupName": "many", "EngineVersion": "9.1"}
    with ExitStack() as stack:
        cluster = stack.enter_context(cache_cluster(elasticache, "deep", Engine="valkey", **many))
        with valkey.Valkey(*address(cluster["CacheNodes"][0]["Endpoint"]), db=39) as cache:
            cache.set("far", "away")
        asked = [{"Key": ASKED, "Value": "true"}]
        arn = stack.enter_context(snapshot(elasticache, "deepest", CacheClusterId="deep", Tags=asked))["ARN"]
        assert wait_for("it is proven or not", lambda: outcome(elasticache, arn)) == {PROVEN}
        back = {"CacheClusterId": "back", "CacheNodeType": "cache.t4g.micro", "SnapshotName": "deepest"}
        assert refusal(elasticache.create_cache_cluster, **back) == "InvalidParameterCombination"
        assert refusal(elasticache.delete_cache_parameter_group, CacheParameterGroupName="many") == (
            "InvalidCacheParameterGroupState"
        )
        restored = {"SnapshotName": "deepest", "CacheParameterGroupName": "many"}
        cluster = stack.enter_context(cache_cluster(elasticache, "back", Engine="valkey", **restored))
        with valkey.Valkey(*address(cluster["CacheNodes"][0]["Endpoint"]), db=39) as cache:
            assert cache.get("far") == b"away"
    elasticache.delete_cache_parameter_group(CacheParameterGroupName="many")


def test_a_cluster_with_several_databases(elasticache: Any) -> None:
    make(elasticache, "wide", cluster_enabled="yes", cluster_databases="4")
    shape = {"CacheParameterGroupName": "wide", "NumNodeGroups": 1, "ReplicasPerNodeGroup": 0, "EngineVersion": "9.1"}
    with ExitStack() as stack:
        group = stack.enter_context(replication_group(elasticache, "rooms", **shape))
        assert group["ClusterEnabled"] is True
        with valkey.Valkey(*address(group["ConfigurationEndpoint"]), db=3) as cache:
            cache.set("far", "away")
            with pytest.raises(valkey.ResponseError, match="out of range"):
                cache.select(4)
        asked = [{"Key": ASKED, "Value": "true"}]
        arn = stack.enter_context(snapshot(elasticache, "all-rooms", ReplicationGroupId="rooms", Tags=asked))["ARN"]
        assert wait_for("it is proven or not", lambda: outcome(elasticache, arn)) == {PROVEN}
    elasticache.delete_cache_parameter_group(CacheParameterGroupName="wide")
