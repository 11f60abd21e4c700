"""Reserved nodes through boto3, and `cachefleet cost` against a real service."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.engine.groups import replication_group
from tests.fixtures.service import CACHEFLEET, Service, wait_for

COUNTED_S = 150.0  # a look comes once a minute, and the first one counts nothing yet


def cost(service: Service, *words: str) -> subprocess.CompletedProcess[str]:
    asked = [CACHEFLEET, "cost", *words, "--data", str(service.data)]
    return subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)


def buy(client: Any, name: str) -> dict[str, Any]:
    wanted = {"CacheNodeType": "cache.t4g.small", "Duration": "1", "OfferingType": "All Upfront"}
    pages = client.get_paginator("describe_reserved_cache_nodes_offerings").paginate(**wanted, ProductDescription="redis")
    (offering,) = pages.build_full_result()["ReservedCacheNodesOfferings"]
    offered = offering["ReservedCacheNodesOfferingId"]
    bought = client.purchase_reserved_cache_nodes_offering(ReservedCacheNodesOfferingId=offered, ReservedCacheNodeId=name)
    assert bought["ReservedCacheNode"]["FixedPrice"] == offering["FixedPrice"] > 0
    return dict(bought["ReservedCacheNode"])


def test_reserved_nodes_are_bought_and_become_active(service: Service, elasticache: Any) -> None:
    bought = buy(elasticache, "Engine-Test")
    assert (bought["ReservedCacheNodeId"], bought["State"]) == ("engine-test", "payment-pending")

    def state() -> str:
        (found,) = elasticache.describe_reserved_cache_nodes(ReservedCacheNodeId="engine-test")["ReservedCacheNodes"]
        return str(found["State"])

    wait_for("it is active", lambda: state() == "active")


def test_the_command_asks_the_service(service: Service) -> None:
    told = cost(service, "--json", "--tag", "team")
    assert told.returncode == 0, told.stderr
    report = json.loads(told.stdout)
    assert (report["currency"], report["tag"]) == ("USD", "team")
    for words, why in (
        (("--from", "yesterday"), "ISO 8601"),
        (("--days", "2", "--to", "2026-11-01"), "stands alone"),
        (("--from", "2026-11-02", "--to", "2026-11-01"), "must be before"),
    ):
        refused = cost(service, *words)
        assert refused.returncode == 1
        (line,) = refused.stderr.splitlines()
        assert why in line


@pytest.mark.long
def test_nodes_that_run_are_counted_and_a_reservation_takes_some_off(service: Service, elasticache: Any) -> None:
    """What test_usage_counter and test_costs try each for itself, in virtual time."""
    buy(elasticache, "counted")
    with replication_group(elasticache, "counted", NumCacheClusters=2, Tags=[{"Key": "team", "Value": "shop"}]):

        def counted() -> dict[str, Any] | None:
            report = json.loads(cost(service, "--json", "--tag", "team", "--days", "1").stdout)
            of_it = [one for one in report["groups"] if one["name"] == "counted"]
            return report if of_it and of_it[0]["hours"]["node_hours"] > 0 else None

        report = wait_for("the nodes are counted", counted, COUNTED_S, every_s=2.0)
        assert next(one["value"] for one in report["tags"]) == "shop"
        assert report["total"]["reserved_hours"] > 0
        shown = cost(service, "--tag", "team", "--days", "1").stdout
        assert "By the tag team" in shown
        assert "Reserved nodes" in shown
