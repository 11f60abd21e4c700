"""Whether what describes tell of service updates agrees: with each other, and with the versions that caches are shown to have.

Through the API alone; raises AssertionError that names what differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

Ask = Callable[..., Awaitable[Any]]
_SAME = (
    "ServiceUpdateReleaseDate",
    "ServiceUpdateSeverity",
    "ServiceUpdateStatus",
    "ServiceUpdateRecommendedApplyByDate",
    "ServiceUpdateType",
    "EstimatedUpdateTime",
    "Engine",
)
_UNDER_WAY = ("waiting-to-start", "in-progress", "stopping")
_STATUSES = (*_UNDER_WAY, "not-applied", "stopped", "complete", "scheduling", "scheduled", "not-applicable")


async def check_updates(
    ask: Ask, updates: list[dict[str, Any]], actions: list[dict[str, Any]], groups: dict[str, Any], clusters: dict[str, Any]
) -> None:
    """groups, clusters: by id. actions: with their nodes."""
    known = {update["ServiceUpdateName"]: update for update in updates}
    for action in actions:
        update = known[action["ServiceUpdateName"]]
        for field in _SAME:
            assert action[field] == update[field], (field, action)
        _check_action(action, update, _owner(action, groups, clusters))
    begins = Counter(_name(action) for action in actions if action["UpdateActionStatus"] == "scheduled")
    assert set(begins.values()) <= {1}, f"more than one update is scheduled for {begins}"
    _check_complete(known, actions, groups, clusters)
    for status in _STATUSES:
        await _check_filter(ask, actions, status)
    assert not [action for action in actions if action["UpdateActionStatus"] == "scheduling"]


class _Owner:
    """Whose an action is. versions: of its nodes, by what is shown of them."""

    def __init__(self, shown: dict[str, Any], members: list[dict[str, Any]]) -> None:
        self.is_whole = shown.get("Status", shown.get("CacheClusterStatus")) == "available"
        self.is_automatic = shown["AutoMinorVersionUpgrade"]
        self.engine = shown["Engine"]
        self.versions = [member["EngineVersion"] for member in members for _ in range(member["NumCacheNodes"])]


def _name(action: dict[str, Any]) -> tuple[str, str]:
    return action.get("ReplicationGroupId", ""), action.get("CacheClusterId", "")


def _owner(action: dict[str, Any], groups: dict[str, Any], clusters: dict[str, Any]) -> _Owner:
    group, cluster = _name(action)
    assert bool(group) is not bool(cluster), action
    if group:
        return _Owner(groups[group], [clusters[member] for member in groups[group]["MemberClusters"]])
    assert "ReplicationGroupId" not in clusters[cluster], f"{cluster} is a member, and has actions of its own"
    return _Owner(clusters[cluster], [clusters[cluster]])


def _check_action(action: dict[str, Any], update: dict[str, Any], owner: _Owner) -> None:
    status, told = action["UpdateActionStatus"], f"{_name(action)} {action}"
    assert owner.engine == update["Engine"], told
    done, total = map(int, action["NodesUpdated"].split("/"))
    assert total == len(owner.versions), told
    nodes = [node["NodeUpdateStatus"] for node in _nodes(action)]
    assert (len(nodes), nodes.count("complete")) == (total, done), told
    assert action["UpdateActionAvailableDate"] >= action["ServiceUpdateReleaseDate"], told
    assert action["UpdateActionStatusModifiedDate"] >= action["UpdateActionAvailableDate"], told
    if status == "complete":
        assert done == total, told
    if status == "not-applicable":
        assert set(nodes) <= {"not-applied"}, told
    if status == "scheduled":
        assert owner.is_automatic and update["AutoUpdateAfterRecommendedApplyByDate"], told
        assert update["ServiceUpdateStatus"] == "available", told
    if not owner.is_whole:
        return
    has = sum(_numbers(version) >= _numbers(_version(update)) for version in owner.versions)
    assert status not in _UNDER_WAY, told
    assert done == has, told
    assert set(nodes) <= {"complete", status if status == "stopped" else "not-applied"}, told
    if status in ("not-applied", "scheduled", "not-applicable"):
        assert done == 0, told


def _nodes(action: dict[str, Any]) -> list[dict[str, Any]]:
    if "CacheNodeUpdateStatus" in action:
        return list(action["CacheNodeUpdateStatus"])
    return [node for shard in action["NodeGroupUpdateStatus"] for node in shard["NodeGroupMemberUpdateStatus"]]


def _check_complete(
    updates: dict[str, Any], actions: list[dict[str, Any]], groups: dict[str, Any], clusters: dict[str, Any]
) -> None:
    """Whatever cache has an older version of an update's line has an action for it. One that was stopped on its way to one
    is offered what leads on from that."""
    halted = {_name(action) for action in actions if action["UpdateActionStatus"] == "stopped"}
    shown = {(*_name(action), action["ServiceUpdateName"]) for action in actions}
    owners = [((name, ""), groups[name]["Status"], groups[name]["MemberClusters"]) for name in groups]
    alone = [name for name, cluster in clusters.items() if "ReplicationGroupId" not in cluster]
    owners += [(("", name), clusters[name]["CacheClusterStatus"], [name]) for name in alone]
    for owner, status, members in owners:
        for update in updates.values() if status == "available" and owner not in halted else ():
            needs = [member for member in members if _is_for(update, clusters[member])]
            assert not needs or (*owner, update["ServiceUpdateName"]) in shown, (needs, update)


def _is_for(update: dict[str, Any], cluster: dict[str, Any]) -> bool:
    old, new = _numbers(cluster["EngineVersion"]), _numbers(_version(update))
    is_minor = update["ServiceUpdateName"].endswith("-minor")
    same_line = old[:1] == new[:1] and (old[:2] != new[:2]) is is_minor
    return cluster["Engine"] == update["Engine"] and old < new and same_line


def _version(update: dict[str, Any]) -> str:
    return str(update["EngineVersion"].partition("-")[2])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


async def _check_filter(ask: Ask, actions: list[dict[str, Any]], status: str) -> None:
    reply = await ask("DescribeUpdateActions", UpdateActionStatus=[status], ShowNodeLevelUpdateStatus=True)
    assert reply["UpdateActions"] == [action for action in actions if action["UpdateActionStatus"] == status], status
