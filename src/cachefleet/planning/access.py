"""Nodes that do not let in whom they shall are told; those that cannot check tokens, while there are users with IAM, are
launched anew (planning.rolling). Pure.

Read back on the next look, so that it is known to hold. Called by planning.group.
"""

from __future__ import annotations

from collections.abc import Mapping

from cachefleet.model.access import Admitted, EngineUser, admitted_users, fingerprint
from cachefleet.model.group import GroupDesired, GroupMemory, Shape
from cachefleet.model.observed import NodeView
from cachefleet.model.plan import Admit, TellIamRules
from cachefleet.planning.draft import Draft
from cachefleet.planning.users import swapped


def admit(draft: Draft) -> None:
    """Tell those that answer; once all nodes have agreed, remember it. One that is silent, busy or given up holds that up until
    its process has ended: it might still let somebody in. One that is launched later starts with the users of then."""
    if draft.desired.shape is Shape.MEMCACHED:
        return
    users, rules = draft.observed.users, draft.observed.iam_rules
    wanted = fingerprint(users)
    cut = swapped(draft.memory, users)
    current = {draft.current(name) for name in draft.memory.nodes}
    agreed = all(process.incarnation in current for process in draft.observed.processes.values() if process.running)
    # Of an earlier version: once a primary knows nodes, replicas that do not know with what to come to it need all data again.
    views = {name: draft.live(name) for name in draft.memory.nodes}
    strangers = any(view is not None and not view.primary and view.access == "" for view in views.values())
    for name, view in views.items():
        if view is None:
            agreed = agreed and not draft.running(name)
        elif view.access is None and (view.busy_reply or view.why):  # it has users, and cannot say now which
            agreed = False
        elif view.access not in (None, wanted):
            agreed = False
            if view.access or not (view.primary and strangers):
                draft.act(Admit(node=name, users=users, cut=cut))
        elif rules is not None and view.iam_rules not in (None, rules.fingerprint()):
            agreed = False
            draft.act(TellIamRules(node=name, rules=rules))
        elif rules is None and any(user.iam for user in users):
            agreed = False  # it is not known yet what they are to be told
    _renew_those_that_check_none(draft, views)
    if not agreed:
        known = draft.memory.admitted
        draft.waiting = True
        if known is not None and known.fingerprint != wanted:
            draft.modifying = True
            draft.holds["users"] = "not all nodes let in whom they shall yet"
    elif not is_admitted(draft.memory, draft.desired, wanted):
        draft.memory.admitted = _admitted(draft.desired, users, wanted)


def _renew_those_that_check_none(draft: Draft, views: Mapping[str, NodeView | None]) -> None:
    """They were launched when the module for that could not be had; an engine does not load it later. A view without users
    says nothing."""
    needed = any(user.iam for user in draft.observed.users)
    seen = {name: view for name, view in views.items() if view is not None and view.access is not None}
    without = [name for name, view in seen.items() if needed and view.iam_rules is None]
    for name, known in draft.memory.nodes.items():
        if not needed or name in seen:
            known.checks_no_tokens = name in without
    if without and draft.observed.can_check_tokens:
        draft.modifying = draft.waiting = True
        draft.holds["tokens"] = f"{', '.join(without)} cannot check IAM tokens, and will be launched anew"
    elif without:
        draft.holds["tokens"] = f"{', '.join(without)} cannot check IAM tokens: the module for that is not to be had here"


def is_admitted(memory: GroupMemory, desired: GroupDesired, wanted: str) -> bool:
    """Whether that is what all nodes were seen to have. wanted: fingerprint of the users."""
    known = memory.admitted
    if known is None:
        return False
    return (known.fingerprint, known.user_group, known.tokens, known.required) == (wanted, desired.user_group, *_auth(desired))


def _admitted(desired: GroupDesired, users: tuple[EngineUser, ...], wanted: str) -> Admitted:
    tokens, required = _auth(desired)
    return Admitted(wanted, admitted_users(users), desired.user_group, tokens, required)


def _auth(desired: GroupDesired) -> tuple[tuple[str, ...], bool]:
    """Digests of its tokens, and whether one has to be shown."""
    return ((), False) if desired.auth is None else (desired.auth.sha256, desired.auth.required)
