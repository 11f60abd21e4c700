"""Names that callers choose, one by one: what ElastiCache calls no identifier is refused, and nothing is made; others are kept
in lower case. Names of a command line's options (-a) are of the former."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cachefleet.api import operations
from cachefleet.api.registry import OPERATIONS
from tests.component.rules import errors_of_others as others
from tests.component.rules.errors_of_caches import ALONE, NEW
from tests.component.rules.refusals_of_shape import VALUE
from tests.component.rules.stage import Request, RuleStage, Setup, alone, group, nothing, snapshot
from tests.component.rules.test_refusals import rows

assert operations  # importing it registers them
GOOD = "A-name-1"
BAD = ("", "-", "-a", "1a", "a_b", "a.b", "a b", "a/b", "\N{LATIN SMALL LETTER E WITH ACUTE}")
HYPHENS = ("a-", "a--b")
Naming = tuple[str, str, Setup, Request]  # operation, member, what there is before, what else is asked for
NAMINGS: list[Naming] = [
    ("CreateCacheCluster", "CacheClusterId", nothing, ALONE),
    ("CreateReplicationGroup", "ReplicationGroupId", nothing, NEW),
    ("CreateSnapshot", "SnapshotName", group(), {"ReplicationGroupId": "demo"}),
    ("CopySnapshot", "TargetSnapshotName", snapshot, {"SourceSnapshotName": "nightly"}),
    ("DeleteReplicationGroup", "FinalSnapshotIdentifier", group(), {"ReplicationGroupId": "demo"}),
    ("DeleteCacheCluster", "FinalSnapshotIdentifier", alone(), {"CacheClusterId": "alone"}),
    ("CreateCacheParameterGroup", "CacheParameterGroupName", nothing, others.NEW_PARAMETERS),
    ("CreateCacheSubnetGroup", "CacheSubnetGroupName", nothing, others.SUBNETS),
    ("CreateUser", "UserId", nothing, others.USER),
    ("CreateUserGroup", "UserGroupId", nothing, others.NEW_TEAM),
    ("PurchaseReservedCacheNodesOffering", "ReservedCacheNodeId", nothing, others.OFFER),
]
# Of users and user groups the service model publishes the pattern [a-zA-Z][a-zA-Z0-9\\-]*, which takes these.
_TAKES_HYPHENS = ("UserId", "UserGroupId")


@pytest.mark.parametrize("naming", NAMINGS, ids=[naming[0] for naming in NAMINGS])
def test_what_is_no_identifier_is_refused(naming: Naming) -> None:
    operation, member, setup, request = naming

    async def body() -> None:
        stage = RuleStage()
        await setup(stage)
        before = await rows(stage)
        wrong = BAD if member in _TAKES_HYPHENS else (*BAD, *HYPHENS)
        for name in wrong[1:] if member == "FinalSnapshotIdentifier" else wrong:  # an empty one asks for no snapshot
            reply = await stage.ask(operation, {**request, member: name})
            assert (reply.code, member in reply.message) == (VALUE, True), (name, reply)
            assert await rows(stage) == before, name

    asyncio.run(body())


@pytest.mark.parametrize("naming", NAMINGS, ids=[naming[0] for naming in NAMINGS])
def test_an_identifier_is_kept_in_lower_case(naming: Naming) -> None:
    operation, member, setup, request = naming

    async def body() -> None:
        stage = RuleStage()
        await setup(stage)
        reply = await stage.ask(operation, {**request, member: GOOD})
        assert reply.status == 200, reply.message
        made: set[Any] = set(await rows(stage))
        assert GOOD.lower() in {key.name for key in made}, made

    asyncio.run(body())


def test_no_operation_that_makes_something_is_left_out() -> None:
    makes = {
        name for service, name in OPERATIONS if service == "elasticache" and name.startswith(("Create", "Copy", "Purchase"))
    }
    named = {operation for operation, *_ in NAMINGS if not operation.startswith("Delete")}
    assert makes - named == {"CreateCacheSecurityGroup"}, "which is refused whatever the name"
