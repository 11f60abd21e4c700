"""Nodes are given what their parameter group says: while they run where engines can do that, else with their next launch. Pure.

Every launch has all of it. A running node is compared with it (Observed.parameter_views) and told what differs; what it cannot
be told waits for a reboot that somebody asks for. Called by planning.group.
"""

from __future__ import annotations

from cachefleet.model.event import NoticeName
from cachefleet.model.group import APPLYING, PENDING_REBOOT
from cachefleet.model.observed import ParameterDifference
from cachefleet.model.plan import SetParameters
from cachefleet.planning.draft import Draft
from cachefleet.planning.sizes import has_other_size
from cachefleet.reference.engines import family_of
from cachefleet.reference.parameter_types import Parameter
from cachefleet.reference.parameters import FAMILIES


def apply_parameters(draft: Draft) -> None:
    """One pass over all nodes; remembers what the group has when all of them have it."""
    asked, before = draft.observed.parameters, draft.memory.parameters
    if not draft.memory.provisioned:  # its first nodes are launched with all of it
        draft.memory.parameters = dict(asked)
        return
    changed = {name for name in {*asked, *before} if asked.get(name) != before.get(name)}
    done = [_apply_to(draft, node.name, changed) for node in draft.desired.nodes]
    if all(done):
        draft.memory.parameters = dict(asked)
        _tell_changed(draft, changed)
    elif any(isinstance(action, SetParameters) for action in draft.actions):
        settled = draft.memory.settled
        draft.modifying |= settled is not None and settled.parameter_group != draft.desired.parameter_group


def _apply_to(draft: Draft, name: str, changed: set[str]) -> bool:
    """Whether it has everything that it can have while it runs, as far as that can be known. One that does not run is launched
    with it; what data leave no memory for holds up nothing else."""
    known = draft.memory.nodes.get(name)
    if known is None:
        return True
    view = draft.observed.parameter_views.get(name)
    if view is not None:
        known.lacks_parameters = bool(view.at_launch)
    if known.lacks_parameters:
        draft.parameters[name] = PENDING_REBOOT
    if not draft.running(name):
        return True
    if _awaits_size(draft, name) or (view is None and changed):
        draft.parameters[name] = APPLYING
    if view is None:
        return not changed
    values = {each.directive: each.value for each in view.differing if not _is_clients(draft, each, changed)}
    if not values:
        return True
    draft.parameters[name] = APPLYING
    if name in draft.ready:
        draft.act(SetParameters(node=name, values=values))
    return False


def _is_clients(draft: Draft, difference: ParameterDifference, changed: set[str]) -> bool:
    """Clients of the group may set it, and the group has not been given another value since: it stays as somebody has set it
    until the node is launched anew."""
    return draft.desired.config == "set" and changed.isdisjoint(difference.parameters)


def _awaits_size(draft: Draft, name: str) -> bool:
    """For its parameters, and not for another node type (planning.sizes)."""
    settled = draft.memory.settled
    same_type = settled is None or settled.node_type == draft.desired.node_type
    return same_type and name not in draft.later and has_other_size(draft, name)


def _tell_changed(draft: Draft, changed: set[str]) -> None:
    """Of single parameters (reference 8.2); of another parameter group planning.settling tells."""
    settled = draft.memory.settled
    family = FAMILIES.get(family_of(draft.desired.engine, draft.desired.engine_version) or "")
    if settled is None or settled.parameter_group != draft.desired.parameter_group or family is None:
        return
    for name in sorted(changed):
        parameter = family.parameters.get(name)
        if parameter is not None:
            value = draft.observed.parameters.get(name, _default(parameter))
            message = f"Updated parameter {name} to {value}"
            draft.tell_clusters(message, NoticeName.CACHE_CLUSTER_PARAMETERS_CHANGED)


def _default(parameter: Parameter) -> str:
    return "the value of its node type" if parameter.per_node_type else parameter.default
