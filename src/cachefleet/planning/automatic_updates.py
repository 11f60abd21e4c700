"""Service updates that begin by themselves, and users who hear of new ones. Pure. Called by planning.group at a pass's end.

Which updates there are for a group, and from when on, is planning.service_updates' business.
"""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.event import NoticeName
from cachefleet.model.service_update import AskedUpdate
from cachefleet.planning.draft import Draft
from cachefleet.planning.pending import is_whole, is_window_open
from cachefleet.planning.service_updates import beginning
from cachefleet.planning.temporaries import lasting_nodes
from cachefleet.reference.engines import version_numbers


def begin_update(draft: Draft) -> None:
    """Begin the newest update that is due, in the maintenance window, when the group is whole. One that was stopped is for its
    users to begin again, and so is one that was tried and taken back; a newer one is another."""
    desired = draft.desired
    failed = {course.version for course in draft.memory.updates if course.failed_at}
    present = version_numbers(desired.engine_version)
    newer = [offer for offer in draft.observed.updates if version_numbers(offer.version) > present]
    chosen = beginning(newer, failed, draft.now)
    if chosen is None or not is_window_open(draft) or not is_whole(draft):
        return
    update = AskedUpdate(chosen.version, "system", draft.now)
    draft.changed = replace(desired, engine_version=update.version, update=update)
    draft.tell_all(f"Service update {chosen.name} is being applied in the maintenance window")


def tell_offered(draft: Draft) -> None:
    """Users hear of an update that has come since they made the cache (reference 8.2)."""
    memory, desired = draft.memory, draft.desired
    if not memory.provisioned or not draft.observed.updates:
        return
    newest = draft.observed.updates[-1]
    if newest.name == memory.offered_update:
        return
    memory.offered_update = newest.name
    if newest.released_at > desired.created_at:
        for node in lasting_nodes(desired.nodes):
            message = f"Service update is available for cache node {node.node_id}."
            draft.tell_node(node.name, message, NoticeName.SERVICE_UPDATE_AVAILABLE_FOR_NODE)
