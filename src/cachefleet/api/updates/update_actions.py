"""How far a cache is with a service update: status, nodes, dates (reference 2.1, 13.10).

Pure: a row and an update in, what is known of both out. Called by the operations on update actions.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cachefleet.engine_interfaces import Build
from cachefleet.model.group import DesiredNode
from cachefleet.model.row import GroupRow
from cachefleet.model.service_update import NodeUpdate, UpdateCourse
from cachefleet.planning.service_updates import AVAILABLE, ServiceUpdate, available_at, beginning, offered, unfit
from cachefleet.reference.engines import version_numbers
from cachefleet.settings import UpdateSettings

NOT_APPLIED, WAITING, IN_PROGRESS = "not-applied", "waiting-to-start", "in-progress"
STOPPING, STOPPED, COMPLETE = "stopping", "stopped", "complete"
SCHEDULED, NOT_APPLICABLE = "scheduled", "not-applicable"
ACTION_STATUSES = (
    NOT_APPLIED,
    WAITING,
    IN_PROGRESS,
    STOPPING,
    STOPPED,
    COMPLETE,
    "scheduling",
    SCHEDULED,
    NOT_APPLICABLE,
)
UNDER_WAY = (WAITING, IN_PROGRESS, STOPPING)


class UpdateAction(msgspec.Struct, frozen=True):
    """status_at: since when the status is so. course: how it goes on, or went; None when it was not begun."""

    row: GroupRow
    update: ServiceUpdate
    status: str
    status_at: float
    available_at: float
    why: str = ""  # why it is not applicable
    course: UpdateCourse | None = None


def action_of(
    row: GroupRow,
    update: ServiceUpdate,
    updates: Sequence[ServiceUpdate],
    builds: Sequence[Build],
    rules: UpdateSettings,
    now: float,
) -> UpdateAction | None:
    """updates: all that there are, of which one at most begins by itself.

    None where the cache neither needs the update nor got it in the last days."""
    desired = row.desired
    since = available_at(update, desired)
    course = next((course for course in row.memory.updates if course.version == update.version), None)
    if course is not None and not course.failed_at and update.is_for(desired.engine, course.from_version):
        status, at = _status_of_course(row, course)
        return UpdateAction(row, update, status, at, since, course=course)
    asked, settled = desired.update, row.memory.settled
    is_asked = asked is not None and asked.version == update.version == desired.engine_version
    if is_asked and asked is not None and settled is not None and update.is_for(desired.engine, settled.form.version):
        at = asked.stopped_at  # the control loop has not looked since
        return UpdateAction(row, update, STOPPING if at else WAITING, at or asked.at, since)
    if not update.is_for(desired.engine, desired.engine_version):
        return None
    why = unfit(update, desired, builds)
    if update.status != AVAILABLE:
        why = why or "a newer patch takes its place"
    if why:
        return UpdateAction(row, update, NOT_APPLICABLE, max(since, update.ended_at), since, why)
    failed = [course.version for course in row.memory.updates if course.failed_at]  # they are for their users to repeat
    begins = beginning(offered(updates, desired, builds, rules), failed, now)
    if begins is not None and begins.name == update.name:
        return UpdateAction(row, update, SCHEDULED, begins.due_at, since)
    return UpdateAction(row, update, NOT_APPLIED, since, since)


def _status_of_course(row: GroupRow, course: UpdateCourse) -> tuple[str, float]:
    """And since when it is so."""
    asked = row.desired.update
    if course.ended_at:
        return COMPLETE, course.ended_at
    if asked is not None and asked.version == course.version and asked.stopped_at:
        return (STOPPED, course.stopped_at) if course.stopped_at else (STOPPING, asked.stopped_at)
    if not course.nodes:
        return WAITING, course.asked_at
    return IN_PROGRESS, min(node.begun_at for node in course.nodes.values())


def has_it(action: UpdateAction, node: DesiredNode) -> bool:
    """Whether the node runs this version or a newer one."""
    known = action.row.memory.nodes.get(node.name)
    form = known.form if known is not None else None
    progress = node_progress(action, node)
    if progress is not None:
        return progress.ended_at > 0
    return form is not None and version_numbers(form.version) >= version_numbers(action.update.version)


def node_progress(action: UpdateAction, node: DesiredNode) -> NodeUpdate | None:
    return None if action.course is None else action.course.nodes.get(node.name)


def node_update_status(action: UpdateAction, node: DesiredNode) -> str:
    """NodeUpdateStatus."""
    if action.status == COMPLETE or has_it(action, node):
        return COMPLETE
    if node_progress(action, node) is not None:
        return IN_PROGRESS
    if action.status in (STOPPING, STOPPED):
        return action.status
    return WAITING if action.status in UNDER_WAY else NOT_APPLIED


def sla_met(action: UpdateAction, now: float) -> str:
    """Whether all nodes had it by the recommended date. n/a: that has not come yet, or came before the cache did."""
    apply_by = action.update.apply_by
    if action.row.desired.created_at > apply_by:
        return "n/a"
    if action.status == COMPLETE:
        return "yes" if action.status_at <= apply_by else "no"
    return "no" if now > apply_by else "n/a"
