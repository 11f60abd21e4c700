"""What a group was when nothing was left to change last; from that, what a change has brought, and the way back of one that
fails. Pure. Called by planning.group at the end of a pass.
"""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.group import Settled, Shape
from cachefleet.planning.draft import Draft


def note_settled(draft: Draft) -> None:
    """Remember it, and tell users of the node type that they have now (reference 8.2)."""
    desired, memory = draft.desired, draft.memory
    for known in memory.nodes.values():
        if known.launches and known.form is None:  # of a row that was written before forms were
            known.form = draft.form
    if not memory.provisioned or draft.modifying or draft.changed is not None:
        return
    if not all(node.name in draft.ready for node in desired.nodes):
        return
    before = memory.settled
    memory.settled = Settled(
        draft.form, desired.parameter_group, desired.subnet_group, desired.node_type, config=desired.config
    )
    for what in _brought(before, memory.settled) if before is not None else ():
        for cluster in _clusters(draft):
            draft.tell_node(cluster, f"Succeeded applying modification to {what}.")


def _clusters(draft: Draft) -> dict[str, None]:
    return dict.fromkeys(node.name if draft.replication_group else draft.name for node in draft.desired.nodes)


def _brought(before: Settled, after: Settled) -> list[str]:
    """What has changed, in the words of the event (reference 8.2 has that of the node type)."""
    found = []
    if before.node_type != after.node_type:
        found.append(f"cache node type to {after.node_type}")
    if (before.form.engine, before.form.version) != (after.form.engine, after.form.version):
        found.append(f"engine version to {after.form.engine} {after.form.version}")
    if before.form.port != after.form.port:
        found.append(f"port to {after.form.port}")
    if before.form.transit != after.form.transit:
        found.append(f"encryption in transit to {after.form.transit or 'off'}")
    if before.config != after.config:
        found.append(f"CONFIG for clients to {after.config or 'off'}")
    if before.subnet_group != after.subnet_group:
        found.append(f"cache subnet group to {after.subnet_group}")
    return found


def _serves_anew(draft: Draft) -> bool:
    """A primary has the new form, or it is not known who is primary; of Memcached, a node that was ready."""
    known = draft.memory.nodes
    if draft.desired.shape is Shape.MEMCACHED:
        nodes = [known[node.name] for node in draft.desired.nodes]
        return any(node.form == draft.form and node.became_ready for node in nodes)
    primaries = [known.get(shard.primary) for shard in draft.memory.shards.values()]
    return any(primary is None or primary.form == draft.form for primary in primaries)


def take_back(draft: Draft) -> None:
    """A first node that does not start in its new form, again and again, shows that none would: the group goes back to the
    form that it had, as long as no primary has the new one."""
    settled = draft.memory.settled
    if settled is None or settled.form == draft.form or settled.form.clustered != draft.form.clustered or _serves_anew(draft):
        return
    tries = [draft.memory.nodes[node.name] for node in draft.desired.nodes if draft.memory.nodes[node.name].form == draft.form]
    failed = [known for known in tries if known.failures >= draft.rules.create_attempts and not known.became_ready]
    if not failed:
        return
    asked = f"{draft.form.engine} {draft.form.version}, port {draft.form.port}"
    asked += f", encryption in transit {draft.form.transit}" if draft.form.transit != settled.form.transit else ""
    asked += f", CONFIG for clients {draft.desired.config or 'off'}" if draft.form.config != settled.form.config else ""
    draft.changed = replace(
        draft.changed or draft.desired,
        engine=settled.form.engine,
        engine_version=settled.form.version,
        port=settled.form.port,
        transit=settled.form.transit,
        config=settled.config,
        parameter_group=settled.parameter_group,
    )
    message = f"Failed applying modification to {asked}: {failed[0].failure}. The former version goes on"
    for cluster in _clusters(draft):
        draft.tell_node(cluster, message)
    draft.tell_group(message)
    for known in tries:
        known.failures, known.failure, known.retry_at = 0, "", 0.0


def give_up_node_type(draft: Draft, why: str) -> None:
    """Nodes hold more than they could with it, though the operation found that it fits: they have been written to since."""
    settled = draft.memory.settled
    if settled is None:
        return
    asked = draft.desired.node_type
    draft.changed = replace(draft.changed or draft.desired, node_type=settled.node_type, scale=None)
    for cluster in _clusters(draft):
        draft.tell_node(cluster, f"Failed applying modification to cache node type to {asked}.")
    draft.tell_group(f"The node type of {draft.name} stays {settled.node_type}: {why}")
