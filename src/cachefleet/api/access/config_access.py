"""Beyond ElastiCache: which part of CONFIG the clients of a cache get, asked for by a reserved tag (model.config_access).

A row and its tags in, the row that is being modified out; the planner tells nodes, and launches those anew that lack what it
takes. Called by AddTagsToResource and RemoveTagsFromResource, and by the creations.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.groups.group_state import MODIFYING, require_available
from cachefleet.api.groups.handovers import require_settled
from cachefleet.model.config_access import ASKED, COMMAND_FILTERS
from cachefleet.model.errors import invalid_combination
from cachefleet.model.group import GroupDesired
from cachefleet.model.row import GroupRow
from cachefleet.reference.engines import DESCRIPTIONS


async def created_config(context: Context, desired: GroupDesired, tags: Mapping[str, str]) -> GroupDesired:
    """Of a creation, whose tags have been looked at (relocation.check_created). Raises InvalidParameterCombination."""
    asked = tags.get(ASKED, "")
    if asked:
        await _check(context, desired)
    return replace(desired, config=asked)


async def changed_config(context: Context, row: GroupRow, changed: GroupRow) -> GroupRow:
    """The row as it is to be. changed: with its new tags, and what else is changed along with them. Raises
    InvalidParameterCombination, InvalidReplicationGroupState, InvalidCacheClusterState."""
    asked = changed.tags.get(ASKED, "")
    if asked:
        await _check(context, row.desired)
    require_available(row)
    require_settled(row)
    if row.desired.cluster_mode == "compatible":
        raise invalid_combination(
            f"Tags: while the cluster mode of {row.key.name} is compatible nothing else can be changed; set it to enabled or "
            "disabled first."
        )
    desired = replace(changed.desired, config=asked)
    return replace(changed, desired=desired, status=replace(changed.status, state=MODIFYING))


def carried(tags: Mapping[str, str]) -> dict[str, str]:
    """Of the tags of a cache that becomes a replication group, or stops being one: those that go along with what it is."""
    return {ASKED: tags[ASKED]} if ASKED in tags else {}


async def _check(context: Context, desired: GroupDesired) -> None:
    """Whether the engine can, and here. Raises InvalidParameterCombination."""
    build = context.catalogue.exact(desired.engine, desired.engine_version)
    if build is None or COMMAND_FILTERS not in build.capabilities:
        able = ", ".join(
            f"{DESCRIPTIONS[one.engine.value]} {one.version}"
            for one in context.catalogue.builds()
            if COMMAND_FILTERS in one.capabilities
        )
        raise invalid_combination(
            f"Tags: {ASKED} needs Valkey, or Redis OSS 7.0 or newer; this is {DESCRIPTIONS[desired.engine.value]} "
            f"{desired.engine_version}. Installed ones that can: {able or 'none'}."
        )
    why = await context.refuses_config()
    if why:
        raise invalid_combination(f"Tags: {ASKED}: clients cannot get part of CONFIG here: {why}.")
