"""Policies on parameter groups: by name however it is written, by tag, and of caches that are given one."""

from __future__ import annotations

from typing import Any

import pytest

from cachefleet.api.context import Context
from cachefleet.model.errors import AwsError
from tests.component.iam.stage import Stage, allow, arn, deny

MINE: dict[str, Any] = {"CacheParameterGroupName": "mine"}
NEW: dict[str, Any] = {**MINE, "CacheParameterGroupFamily": "valkey9", "Description": "d"}
TAGS = [{"Key": "team", "Value": "red"}]
VALUES: dict[str, Any] = {"ParameterNameValues": [{"ParameterName": "timeout", "ParameterValue": "60"}]}


def denied(stage: Stage, context: Context, name: str, /, **request: Any) -> str:
    with pytest.raises(AwsError) as refused:
        stage.cache(name, context, **request)
    assert refused.value.code == "AccessDenied"
    return refused.value.message


def test_a_name_in_capitals_is_the_same_name() -> None:
    stage = Stage()
    stage.cache("CreateCacheParameterGroup", **NEW)
    ann = stage.as_user(allow("elasticache:*"), deny("elasticache:*", arn("parametergroup", "mine")))
    for name, more in (
        ("ModifyCacheParameterGroup", VALUES),
        ("ResetCacheParameterGroup", {"ResetAllParameters": True}),
        ("DeleteCacheParameterGroup", {}),
        ("DescribeCacheParameters", {}),
    ):
        assert "explicit deny" in denied(stage, ann, name, CacheParameterGroupName="MINE", **more)
    cluster = {"CacheClusterId": "c", "CacheNodeType": "cache.t4g.micro", "CacheParameterGroupName": "Mine"}
    assert "parametergroup:mine" in denied(stage, ann, "CreateCacheCluster", **cluster)


def test_tags_decide() -> None:
    stage = Stage()
    red = stage.as_user(
        allow("elasticache:ModifyCacheParameterGroup", StringEquals={"aws:ResourceTag/team": "red"}),
        allow("elasticache:CreateCacheParameterGroup"),
    )
    assert "elasticache:AddTagsToResource" in denied(stage, red, "CreateCacheParameterGroup", **NEW, Tags=TAGS)
    stage.cache("CreateCacheParameterGroup", red, **NEW)
    denied(stage, red, "ModifyCacheParameterGroup", **MINE, **VALUES)
    stage.cache("AddTagsToResource", ResourceName=arn("parametergroup", "mine"), Tags=TAGS)
    assert stage.cache("ModifyCacheParameterGroup", red, **MINE, **VALUES) == MINE
    denied(stage, red, "DeleteCacheParameterGroup", **MINE)
