"""Every example of `aws elasticache ... help` runs as it stands there, and its output has the members that the help shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import cachefleet.api.operations  # noqa: F401  (registers them)
from cachefleet.api.registry import OPERATIONS
from tests.component.tools.command_line import CommandLine, Printed
from tests.component.tools.help_examples import Example, examples, missing
from tests.component.tools.help_stage import REGION, HelpStage, help_stage, served

EXAMPLES = examples()
ACCOUNT = "000000000000"
SHARDS = {"Engine": "redis", "AutomaticFailoverEnabled": True, "ReplicasPerNodeGroup": 1}

# Words of the help that cannot be meant, or hang on the account: what stands there, what is asked instead, and why.
OF_THE_ACCOUNT = "has another region and account"
TAGS = '[{"Key": "20150202", "Value": "15"}, {"Key": "ElastiCache", "Value": "Service"}]'
INSTEAD: dict[str, list[tuple[str, str, str]]] = {
    "add-tags-to-resource": [
        (
            "arn:aws:elasticache:us-east-1:1234567890:cluster:my-mem-cluster",
            f"arn:aws:elasticache:{REGION}:{ACCOUNT}:cluster:my-mem-cluster",
            OF_THE_ACCOUNT,
        ),
        ('{"20150202":15, "ElastiCache":"Service"}', TAGS, "the command line itself refuses it: it takes a list"),
    ],
    "create-cache-parameter-group": [("redis5.0", "redis7", "no family is that old here")],
    "describe-engine-default-parameters": [("redis5.0", "redis7", "no family is that old here")],
    "create-cache-subnet-group": [("subnet-xxxxec4f", "{subnet}", "is made up; subnets are those of describe-subnets")],
    "purchase-reserved-cache-nodes-offering": [
        ("xxxxxxx-4da5-4b90-b92d-929fbd7abed2", "{offering}", "is made up; describe-reserved-cache-nodes-offerings lists them")
    ],
    "list-tags-for-resource": [
        (
            "arn:aws:elasticache:us-east-1:123456789012:cluster:my-cluster",
            f"arn:aws:elasticache:{REGION}:{ACCOUNT}:cluster:my-cluster",
            OF_THE_ACCOUNT,
        )
    ],
}
# Members of outputs that are never there, and why.
ABSENT = {
    "GlobalReplicationGroupInfo": "there are no global datastores",
    "ClientDownloadLandingPage": "there is no console",
}
# What is refused as AWS refuses it to whom it has no such network for.
REFUSED = {"authorize-cache-security-group-ingress": "(CacheSecurityGroupNotFound)"}
NOT_BUILT = (
    "create-global-replication-group",
    "decrease-node-groups-in-global-replication-group",
    "delete-global-replication-group",
    "describe-global-replication-groups",
    "disassociate-global-replication-group",
    "increase-node-groups-in-global-replication-group",
    "modify-global-replication-group",
    "start-migration",
)

Setup = Callable[[HelpStage], Awaitable[Any]]


async def _tagged_cluster(stage: HelpStage) -> None:
    await stage.cache_cluster("my-cluster", Tags=[{"Key": "Project", "Value": "x"}, {"Key": "Environment", "Value": "PROD"}])


async def _cluster_with_snapshot(stage: HelpStage) -> None:
    await stage.cache_cluster("my-redis4")
    await stage.snapshot("my-snapshot", CacheClusterId="my-redis4")


async def _group_with_snapshot(stage: HelpStage) -> None:
    await stage.replication_group("mycluster", NumNodeGroups=4, **SHARDS)
    await stage.snapshot("mysnapshot", ReplicationGroupId="mycluster")


async def _user_of_a_group(stage: HelpStage) -> None:
    await stage.users()
    await stage.call("ModifyUserGroup", UserGroupId="myusergroup", UserIdsToAdd=["user2"])


async def _changed_parameter_group(stage: HelpStage) -> None:
    await stage.parameter_group("mygroup")
    changed = [{"ParameterName": "activedefrag", "ParameterValue": "yes"}]
    await stage.call("ModifyCacheParameterGroup", CacheParameterGroupName="mygroup", ParameterNameValues=changed)


async def _group_with_failover(stage: HelpStage) -> None:
    safe = {"AutomaticFailoverEnabled": True, "MultiAZEnabled": True, "SnapshotRetentionLimit": 1}
    await stage.replication_group("test-cluster", NumCacheClusters=3, **safe)


async def _begun_update(stage: HelpStage) -> None:
    await stage.update()
    named = {"ServiceUpdateName": "elc-xxxxx406-xxx", "ReplicationGroupIds": ["test-cluster"]}
    await stage.call("BatchApplyUpdateAction", **named)


BEFOREHAND: dict[str, Setup] = {
    "add-tags-to-resource": lambda stage: stage.cache_cluster("my-mem-cluster"),
    "batch-apply-update-action": lambda stage: stage.update(),
    "batch-stop-update-action": _begun_update,
    "copy-snapshot": _cluster_with_snapshot,
    "create-snapshot": lambda stage: stage.cache_cluster("cluster-test"),
    "decrease-replica-count": lambda stage: stage.replication_group("my-cluster", NumCacheClusters=4),
    "delete-cache-cluster": lambda stage: stage.replication_group("my-cluster", NumCacheClusters=3),
    "delete-cache-parameter-group": lambda stage: stage.parameter_group("myparamgroup"),
    "delete-cache-subnet-group": lambda stage: stage.subnet_group("mygroup"),
    "delete-replication-group": lambda stage: stage.replication_group("mygroup"),
    "delete-snapshot": _group_with_snapshot,
    "delete-user": _user_of_a_group,
    "delete-user-group": lambda stage: stage.users(),
    "describe-cache-clusters": lambda stage: stage.replication_group("my-cluster"),
    "describe-cache-parameter-groups": lambda stage: stage.parameter_group("mygroup"),
    "describe-cache-parameters": lambda stage: stage.parameter_group("myparamgroup"),
    "describe-cache-subnet-groups": lambda stage: stage.subnet_group("kxkxk"),
    "describe-events": lambda stage: stage.add_event("replication-group", "test-cluster", "created"),
    "describe-replication-groups": lambda stage: stage.replication_group("my-cluster"),
    "describe-reserved-cache-nodes": lambda stage: stage.reservation(),
    "describe-service-updates": lambda stage: stage.update(),
    "describe-update-actions": lambda stage: stage.update(),
    "describe-snapshots": _cluster_with_snapshot,
    "describe-user-groups": lambda stage: stage.users(),
    "describe-users": _user_of_a_group,
    "increase-replica-count": lambda stage: stage.replication_group("my-cluster"),
    "list-allowed-node-type-modifications": lambda stage: stage.replication_group("my-replication-group"),
    "list-tags-for-resource": _tagged_cluster,
    "modify-cache-cluster": lambda stage: stage.cache_cluster("my-cluster"),
    "modify-cache-parameter-group": lambda stage: stage.parameter_group("mygroup"),
    "modify-cache-subnet-group": lambda stage: stage.subnet_group("kxkxk"),
    "modify-replication-group": _group_with_failover,
    "modify-replication-group-shard-configuration": lambda stage: stage.replication_group(
        "mycluster", NumNodeGroups=4, **SHARDS
    ),
    "modify-user": lambda stage: stage.users(),
    "modify-user-group": lambda stage: stage.cache_with_users(),
    "reboot-cache-cluster": lambda stage: stage.replication_group("my-cluster"),
    "reset-cache-parameter-group": _changed_parameter_group,
    "test-failover": lambda stage: stage.replication_group("mycluster", NumNodeGroups=2, **SHARDS),
}


def operation_of(name: str) -> str:
    """Of a command."""
    return "".join(part.capitalize() for part in name.split("-"))


def is_built(name: str) -> bool:
    return ("elasticache", operation_of(name)) in OPERATIONS


def test_every_command_of_the_help_is_known() -> None:
    assert {name for name in EXAMPLES if not is_built(name)} == set(NOT_BUILT)
    assert set(BEFOREHAND) | set(NOT_BUILT) | set(INSTEAD) <= set(EXAMPLES)
    for name, changes in INSTEAD.items():
        for old, _, why in changes:
            assert old in EXAMPLES[name].words, (name, why)


def test_what_lacks_is_noticed() -> None:
    expected = {"Groups": [{"Name": "a", "Nodes": [{"Port": 1}]}, {"Name": "b", "Other": True}], "Marker": ""}
    assert list(missing(expected, expected)) == []
    assert list(missing(expected, {"Groups": [{"Name": "x", "Nodes": []}]})) == [
        ".Groups[].Nodes[]",
        ".Groups[].Other",
        ".Marker",
    ]
    odd = {"Groups": [{"Name": 1, "Nodes": {}, "Other": 1}], "Marker": None}
    assert [one.partition(" ")[0] for one in missing(expected, odd)] == [
        ".Groups[].Name",
        ".Groups[].Nodes",
        ".Groups[].Name",
        ".Groups[].Other",
        ".Marker",
    ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name: str, command_line: CommandLine, tmp_path: Path) -> None:
    example = EXAMPLES[name]
    told = asyncio.run(_run(example, command_line, tmp_path))
    if name in REFUSED or not is_built(name):
        assert told.code != 0
        assert REFUSED.get(name, "(InvalidAction)") in told.err
        return
    assert told.code == 0, told.err
    if example.output is None:
        assert told.out == ""
        return
    lacking = [one for one in missing(example.output, json.loads(told.out)) if one.rpartition(".")[2] not in ABSENT]
    assert not lacking


async def _run(example: Example, command_line: CommandLine, folder: Path) -> Printed:
    async with help_stage(folder) as stage, served(stage) as url:
        if is_built(example.name):
            await BEFOREHAND.get(example.name, nothing)(stage)
        words = [await _meant(stage, example.name, word) for word in example.words]
        return await command_line.run(url, REGION, words)


async def _meant(stage: HelpStage, name: str, word: str) -> str:
    """The word that is to be said for it."""
    for old, new, _ in INSTEAD.get(name, ()):
        if word == old:
            return {"{subnet}": (await stage.default_subnets())[0], "{offering}": await stage.offering()}.get(new, new)
    return word


async def nothing(stage: HelpStage) -> None:
    """Needed beforehand."""


def test_what_the_command_line_itself_refuses(command_line: CommandLine) -> None:
    """The one example that no service ever sees."""
    words = EXAMPLES["add-tags-to-resource"].words
    told = asyncio.run(command_line.run("http://127.0.0.1:9", REGION, words))
    assert told.code != 0
    assert "Parameter validation failed" in told.err
