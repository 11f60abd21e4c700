"""Who may connect to a group's nodes: what its security groups let in, and whether the host sees to it. Pure.

A node is not launched before its address is guarded; what changes afterwards never holds anything up. `openings` is called by
the controller, all else by planning.group.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import IPv4Network, collapse_addresses

from cachefleet.model.event import NoticeName
from cachefleet.model.group import GroupDesired, GroupMemory
from cachefleet.model.guard import Guard, Opening
from cachefleet.model.network import THIS_MACHINE
from cachefleet.model.plan import Protect
from cachefleet.model.transit import PREFERRED, tls_port
from cachefleet.model.vpc import ANY_ADDRESS, MEMBERS, SecurityGroupDesired, SecurityRule, read_members
from cachefleet.planning.addresses import held
from cachefleet.planning.draft import Draft


def client_ports(desired: GroupDesired, memory: GroupMemory) -> tuple[int, ...]:
    """On which the group has clients: its own port, and while that changes the one that nodes still have."""
    ports = {desired.port, *(known.form.port for known in memory.nodes.values() if known.form is not None)}
    return tuple(sorted(ports))


def named_groups(groups: Iterable[SecurityGroupDesired], ports: Collection[int]) -> frozenset[str]:
    """The security groups whose members have to be known; none where everybody who could be one may connect anyway."""
    named: set[str] = set()
    for port in ports:
        rules = _rules(groups, port)
        if not any(rule.cidr in (ANY_ADDRESS, THIS_MACHINE) for rule in rules):
            named.update(rule.group_id for rule in rules if rule.group_id)
    return frozenset(named)


def openings(
    groups: Collection[SecurityGroupDesired], ports: Iterable[int], members: Mapping[str, Sequence[str]]
) -> tuple[Opening, ...]:
    """What these security groups let in together. members: networks by the id of a group that a rule names."""
    found: dict[int, tuple[str, ...]] = {}
    for port in ports:
        sources = [IPv4Network(rule.cidr) for rule in _rules(groups, port) if rule.cidr]
        for rule in _rules(groups, port):
            sources += [IPv4Network(network) for network in members.get(rule.group_id, ())] if rule.group_id else []
        networks = tuple(sorted(map(str, collapse_addresses(sources))))
        if networks:
            beside = tls_port(PREFERRED, port)  # AWS has TLS on the same port then
            found[beside] = found.get(beside, networks)
            found[port] = networks
    return tuple(Opening(port, found[port]) for port in sorted(found))


def members_of(tags: Mapping[str, str], nodes: Iterable[str]) -> tuple[str, ...]:
    """Networks of a security group's members: its nodes, and those that its tag names. nodes: their addresses."""
    tagged = read_members(tags[MEMBERS]) if MEMBERS in tags else ()
    return tuple(map(str, (*tagged, *map(IPv4Network, nodes))))


def protect(draft: Draft) -> None:
    """The host shall let in whom the security groups do, at every address of the group."""
    wanted = _wanted(draft)
    if wanted is not None and draft.observed.guard != wanted:
        draft.act(Protect(node=draft.name, guard=wanted))


def note_guarded(draft: Draft) -> None:
    """Tell users that other security groups hold, once they do (reference 8.2). Where the host guards nothing, at once."""
    memory, wanted = draft.memory, _wanted(draft)
    if not memory.provisioned or (wanted is not None and draft.observed.guard != wanted):
        return
    before, memory.guarded_by = memory.guarded_by, draft.desired.security_groups
    if before not in (None, memory.guarded_by):
        draft.tell_clusters("Applied change to security group", NoticeName.CACHE_CLUSTER_SECURITY_GROUP_MODIFIED)


def _wanted(draft: Draft) -> Guard | None:
    if draft.observed.openings is None:
        return None
    return Guard(tuple(sorted(held(draft.memory))), draft.observed.openings)


def unprotect(draft: Draft) -> None:
    """Nothing of the group is left."""
    if draft.observed.guard is not None:
        draft.act(Protect(node=draft.name, guard=None))


def why_not_protected(draft: Draft, node: str) -> str:
    """ "" where the node may be launched."""
    if draft.observed.openings is None:
        return ""
    guard = draft.observed.guard
    return "" if guard is not None and draft.address(node) in guard.addresses else "waits until its security groups hold"


def _rules(groups: Iterable[SecurityGroupDesired], port: int) -> list[SecurityRule]:
    return [rule for group in groups for rule in group.ingress if rule.covers(port)]
