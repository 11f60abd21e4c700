"""Encryption in transit of a group's running nodes: how they reach each other, and when their certificates are replaced. Pure.

On which ports a node listens is part of its form, and changed by planning.rolling. Nodes reach each other with TLS once all of
them can, and without again before the first one cannot; both while they run. Called by planning.group.
"""

from __future__ import annotations

from cachefleet.model.event import NoticeName
from cachefleet.model.group import GroupDesired, GroupMemory, Shape
from cachefleet.model.observed import NodeView
from cachefleet.model.plan import Certify, EncryptLinks
from cachefleet.model.transit import link_port
from cachefleet.planning.draft import Draft


def choose_links(draft: Draft) -> None:
    """Before anything is launched: a launch without TLS could not reach nodes that insist on it."""
    if draft.desired.shape is Shape.MEMCACHED:
        return
    running = [known for known in draft.memory.nodes.values() if known.launches and not known.ended_at]
    able = all(known.form is None or known.form.transit for known in running)
    if not draft.desired.transit or not able:
        draft.memory.encrypted_links = False
    elif all(known.ready for known in running) and not draft.memory.moves:
        draft.memory.encrypted_links = True


def encrypt_links(draft: Draft) -> None:
    """Cluster nodes that reach the others in another way are told. Without cluster mode following a primary at its other port
    is what does it."""
    for name in draft.memory.nodes:
        view = draft.live(name)
        if view is not None and view.encrypted_links not in (None, draft.memory.encrypted_links):
            draft.act(EncryptLinks(node=name))
    if not are_links_settled(draft):
        draft.modifying = draft.waiting = True


def are_links_settled(draft: Draft) -> bool:
    """Every node that answers reaches the others as it shall."""
    forms = [known.form for known in draft.memory.nodes.values() if known.form is not None]
    if not draft.desired.transit and not any(form.transit for form in forms):
        return True
    ports = {
        known.address: linking_port(draft.desired, draft.memory, name)
        for name, known in draft.memory.nodes.items()
        if known.address
    }
    views = [view for name in draft.memory.nodes if (view := draft.live(name)) is not None]
    return all(_reaches(view, ports, encrypted=draft.memory.encrypted_links) for view in views) and (
        bool(draft.desired.transit) == draft.memory.encrypted_links or not _is_able(draft)
    )


def _is_able(draft: Draft) -> bool:
    forms = [known.form for known in draft.memory.nodes.values() if known.launches]
    return draft.desired.shape is not Shape.MEMCACHED and all(form is not None and form.transit for form in forms)


def _reaches(view: NodeView, ports: dict[str, int], *, encrypted: bool) -> bool:
    """Cluster nodes hear of each other's ports by and by, and tell clients of those that they know."""
    if view.encrypted_links is not None:
        told = () if view.cluster is None or not encrypted else view.cluster.nodes.values()
        return view.encrypted_links == encrypted and all(
            node.port in (0, ports.get(node.host, node.port)) for node in told if not node.failed
        )
    return not view.follows_port or view.follows_port == ports.get(view.follows, view.follows_port)


def linking_port(desired: GroupDesired, memory: GroupMemory, node: str) -> int:
    """Where the other nodes reach this one."""
    known = memory.nodes.get(node)
    if known is None or known.form is None:
        return link_port(desired.transit, desired.port, encrypted=memory.encrypted_links)
    return link_port(known.form.transit, known.form.port, encrypted=memory.encrypted_links)


# --- certificates --------------------------------------------------------------------------------------------------


def certify(draft: Draft) -> None:
    """Replace certificates that end soon, lack an address or are of an earlier series. Read back from the connection that is
    made anew then. Users are told once when no node is left whose certificate was to end."""
    issued = draft.observed.issuance
    if issued is None:
        return
    old = False
    for name in draft.memory.nodes:
        view = draft.observed.views.get(name)
        if view is None or view.certificate is None or not draft.running(name):
            continue
        shown, addresses = view.certificate, draft.reached_at(name)
        ends = shown.until - draft.now < issued.lead_s and issued.until - shown.until > issued.lead_s / 2
        ends |= shown.series != issued.series
        if ends or not set(addresses) <= set(shown.addresses):
            draft.act(Certify(node=name, incarnation=draft.current(name), addresses=addresses))
        old |= ends
    _note_renewal(draft, old or (draft.memory.renewing and not all(node.name in draft.ready for node in draft.desired.nodes)))


def _note_renewal(draft: Draft, renewing: bool) -> None:
    if draft.memory.renewing and not renewing:
        told = "The certificates of the nodes have been renewed"
        draft.tell_all(told, NoticeName.CERTIFICATE_RENEWAL_COMPLETE, NoticeName.CERTIFICATE_RENEWAL_COMPLETE)
    draft.memory.renewing = renewing
