"""Cloud Custodian's filter for caches that can have a newer version, over service updates that a test has put there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import cachefleet.api.operations  # noqa: F401  (registers them)
from tests.component.tools.help_stage import help_stage, served
from tests.fixtures.custodian import policy, run_policies
from tests.fixtures.gateway import KEY

UPGRADES = {"type": "upgrade-available", "value": False}


def test_caches_that_can_be_upgraded_are_found(tmp_path: Path) -> None:
    found = asyncio.run(_found(tmp_path))
    assert found == {"old": ["alone", "test-cluster-001", "test-cluster-002"], "old-and-alone": ["alone"]}


async def _found(folder: Path) -> dict[str, list[str]]:
    async with help_stage(folder) as stage, served(stage) as url:
        await stage.update()
        await stage.cache_cluster("newest")
        environment = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": KEY.access_key_id,
            "AWS_SECRET_ACCESS_KEY": KEY.secret_access_key,
        }
        alone = {"type": "value", "key": "ReplicationGroupId", "value": "absent"}
        return await asyncio.to_thread(
            run_policies,
            policy("cache-cluster", "old", UPGRADES),
            policy("cache-cluster", "old-and-alone", UPGRADES, alone),
            environment=environment,
            region="eu-central-1",  # it takes only those that AWS has; the stage has one for all
            folder=folder,
        )
