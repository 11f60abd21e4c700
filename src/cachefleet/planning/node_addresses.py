"""Where a node's current launch is reached, and what it is made of. Pure. Called by control and telemetry."""

from __future__ import annotations

from cachefleet.model.group import Form, GroupDesired, NodeMemory, incarnation
from cachefleet.model.observed import Address
from cachefleet.model.row import GroupRow


def form_of(desired: GroupDesired, known: NodeMemory) -> Form:
    """What its current launch is made of; before the first, what the group asks for."""
    clustered = desired.cluster_mode != "disabled"
    asked = Form(desired.engine, desired.engine_version, desired.port, clustered, desired.transit, config=bool(desired.config))
    return known.form or asked


def node_address(row: GroupRow, node: str) -> Address:
    known = row.memory.nodes[node]
    return address_of(row, known, incarnation(row.desired.uid, node, known.launches))


def address_of(row: GroupRow, known: NodeMemory, launch: str) -> Address:
    form = form_of(row.desired, known)
    return Address(known.address, form.port, launch, form.transit, row.memory.encrypted_links)
