"""The AWS SDK for JavaScript: its paginators list what boto3 lists, its waiters see caches come and go."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cachefleet.api.operations  # noqa: F401  (registers them)
from cachefleet.api.registry import OPERATIONS
from tests.engine.test_clients_with_tls import missing
from tests.fixtures.service import Service

VISIT = Path(__file__).resolve().parents[1] / "elasticache_clients" / "visit.js"
MODULES = Path(sys.prefix) / "node_elasticache" / "node_modules"
REGION = "eu-west-1"  # of these tests alone
WAITERS = ("CacheClusterAvailable", "CacheClusterDeleted", "ReplicationGroupAvailable", "ReplicationGroupDeleted")


@pytest.fixture
def elasticache(service: Service) -> Any:
    return service.client(region=REGION)


def visited(service: Service) -> dict[str, Any]:
    node = shutil.which("node")
    if node is None or not (MODULES / "@aws-sdk" / "client-elasticache").is_dir():
        missing("the AWS SDK for JavaScript is not installed: scripts/install-test-clients does it")
    keys = json.loads((service.data / "credentials.json").read_text())
    asked = {
        "endpoint": service.url,
        "region": REGION,
        "key": keys["access_key_id"],
        "secret": keys["secret_access_key"],
        "parameterGroup": "default.valkey8",
        "family": "valkey8",
        "cluster": "js-alone",
        "group": "js-group",
        "nodeType": "cache.t4g.micro",
    }
    done = subprocess.run(
        [str(node), "--no-warnings", str(VISIT)],
        input=json.dumps(asked),
        env={**os.environ, "NODE_PATH": str(MODULES)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def listed(elasticache: Any, operation: str) -> int:
    """How many items boto3's paginator of the operation finds."""
    name = {
        "DescribeCacheParameters": "CacheParameterGroupName",
        "DescribeEngineDefaultParameters": "CacheParameterGroupFamily",
    }
    value = {"DescribeCacheParameters": "default.valkey8", "DescribeEngineDefaultParameters": "valkey8"}
    paginator = elasticache.get_paginator(f"describe_{_snake(operation.removeprefix('Describe'))}")
    pages = paginator.paginate(**({name[operation]: value[operation]} if operation in name else {}))
    (path,) = [key.expression for key in paginator.result_keys if "NodeTypeSpecific" not in key.expression]
    return sum(1 for _ in pages.search(f"{path}[]"))


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def test_pages_and_waiters(service: Service, elasticache: Any) -> None:
    users = [f"js-{number:02}" for number in range(25)]
    for user in users:
        elasticache.create_user(UserId=user, UserName=user, Engine="valkey", AccessString="on ~* +get", Passwords=["x" * 16])
    counts = {name: listed(elasticache, name) for name in ("DescribeUsers", "DescribeCacheParameters")}
    told = visited(service)
    assert told["waiters"] == sorted(f"waitUntil{name}" for name in WAITERS)
    assert told["waited"] == {"told": ["SUCCESS"] * 4, "status": "available", "created": True}
    assert told["refusal"] == [True, 404]

    pages = told["pages"]
    assert len(pages) >= 19
    assert pages["DescribeUsers"] == [20, 6]  # and the default one
    for name, sizes in pages.items():
        if ("elasticache", name) not in OPERATIONS:
            assert sizes == "InvalidAction", name
            continue
        assert isinstance(sizes, list), (name, sizes)
        assert all(size == 20 for size in sizes[:-1]), (name, sizes)
        if name != "DescribeEvents":  # there are more by now
            assert sum(sizes) == counts.get(name, listed(elasticache, name)), name
    for user in users:
        elasticache.delete_user(UserId=user)
