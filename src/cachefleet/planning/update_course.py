"""A group on its way to a newer version of its engine: how far it is, node by node, and when it stands still. Pure.

How nodes are launched anew is planning.rolling's business, whoever asked for the version. Called by planning.group at the end
of a pass.
"""

from __future__ import annotations

from cachefleet.model.group import Form
from cachefleet.model.service_update import NodeUpdate, UpdateCourse
from cachefleet.planning.draft import Draft
from cachefleet.planning.temporaries import lasting_nodes
from cachefleet.reference.engines import version_numbers

SHOWN_S = 7 * 86_400.0  # for so long an update that is complete is listed (reference 13.10)


def note_update(draft: Draft) -> None:
    """Write down how far it is, node by node."""
    memory, target = draft.memory, draft.form
    _forget(draft)
    settled = memory.settled
    if settled is None or settled.form.engine is not target.engine or draft.changed is not None:
        return
    names = [node.name for node in lasting_nodes(draft.desired.nodes) if node.name in memory.nodes]
    behind = [name for name in names if not _has(draft, name, target)]
    course = _current(draft, target, begins=bool(behind) and settled.form.version != target.version)
    if course is None:
        return
    for name in names:
        _note_node(draft, course, name, target)
    asked = draft.desired.update
    stands = asked is not None and asked.version == target.version and asked.stopped_at > 0 and not draft.modifying
    if not behind and not draft.modifying and all(name in draft.ready for name in names):
        course.ended_at = draft.now
    course.stopped_at = (course.stopped_at or draft.now) if stands and behind else 0.0


def note_failed(draft: Draft) -> None:
    """The present version is taken back, since no node starts with it."""
    for course in draft.memory.updates:
        if course.version == draft.form.version and not course.ended_at:
            course.failed_at = draft.now


def _current(draft: Draft, target: Form, *, begins: bool) -> UpdateCourse | None:
    memory, asked = draft.memory, draft.desired.update
    for course in memory.updates:
        if course.version == target.version and not course.ended_at and not course.failed_at:
            return course
    if not begins or memory.settled is None:
        return None
    memory.updates = [course for course in memory.updates if course.version != target.version]
    is_asked = asked is not None and asked.version == target.version
    by, at = (asked.by, asked.at) if asked is not None and is_asked else ("customer", draft.now)
    memory.updates.append(UpdateCourse(target.version, memory.settled.form.version, by, at))
    return memory.updates[-1]


def _note_node(draft: Draft, course: UpdateCourse, name: str, target: Form) -> None:
    known = draft.remembered(name)
    going = bool(known.roll_of) and known.roll_of == known.launches
    if not _has(draft, name, target) and not going:
        return
    node = course.nodes.setdefault(name, NodeUpdate(draft.now))
    if _has(draft, name, target) and name in draft.ready and not node.ended_at:
        node.ended_at = draft.now


def _has(draft: Draft, name: str, target: Form) -> bool:
    form = draft.remembered(name).form
    return form is not None and form.version == target.version


def _forget(draft: Draft) -> None:
    """What was complete long ago, what gave way to another version, what failed and is of no use any more."""
    present = version_numbers(draft.desired.engine_version)
    draft.memory.updates = [
        course
        for course in draft.memory.updates
        if (course.ended_at and draft.now - course.ended_at < SHOWN_S)
        or (course.failed_at and version_numbers(course.version) >= present)
        or (not course.ended_at and not course.failed_at and course.version == draft.desired.engine_version)
    ]
