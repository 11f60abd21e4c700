"""What a group was when nothing was left to change last; from that, what a change has brought, and the way back of one that
fails. Pure. Called by planning.group at the end of a pass.
"""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.event import NoticeName
from cachefleet.model.group import Form, Settled, Shape
from cachefleet.planning.draft import Draft
from cachefleet.planning.temporaries import lasting_nodes
from cachefleet.planning.update_course import note_failed
from cachefleet.reference.engines import version_numbers


def note_settled(draft: Draft) -> None:
    """Remember it, and tell users what they have now (reference 8.2)."""
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
        _settled_form(draft), desired.parameter_group, desired.subnet_group, desired.node_type, config=desired.config
    )
    if before is not None:
        _tell_brought(draft, before, memory.settled)


def _settled_form(draft: Draft) -> Form:
    """What all nodes have: where an update was stopped, the version of the oldest."""
    forms = [draft.remembered(node.name).form for node in lasting_nodes(draft.desired.nodes)]
    versions = [form.version for form in forms if form is not None]
    return replace(draft.form, version=min(versions, key=version_numbers, default=draft.form.version))


def _tell_brought(draft: Draft, before: Settled, after: Settled) -> None:
    if before.parameter_group != after.parameter_group:
        message = f"Updated to use a CacheParameterGroup {after.parameter_group}"
        draft.tell_clusters(message, NoticeName.CACHE_CLUSTER_PARAMETERS_CHANGED)
    if before.node_type != after.node_type:
        draft.tell_all(
            f"Succeeded applying modification to cache node type to {after.node_type}.",
            NoticeName.REPLICATION_GROUP_SCALING_COMPLETE,
            NoticeName.CACHE_CLUSTER_SCALING_COMPLETE,
        )
    for what in _brought(before, after):
        draft.tell_all(f"Succeeded applying modification to {what}.")


def _brought(before: Settled, after: Settled) -> list[str]:
    """What else has changed, in the words of the event, which are ours."""
    found = []
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
        update=None,
        port=settled.form.port,
        transit=settled.form.transit,
        config=settled.config,
        parameter_group=settled.parameter_group,
    )
    message = f"Failed applying modification to {asked}: {failed[0].failure}. The former version goes on"
    draft.tell_all(message)
    note_failed(draft)
    for known in tries:
        known.failures, known.failure, known.retry_at = 0, "", 0.0


def give_up_node_type(draft: Draft, why: str) -> None:
    """Nodes hold more than they could with it, though the operation found that it fits: they have been written to since."""
    settled = draft.memory.settled
    if settled is None:
        return
    asked = draft.desired.node_type
    draft.changed = replace(draft.changed or draft.desired, node_type=settled.node_type, scale=None)
    tell_type_failed(draft, asked, f"{why}. It stays {settled.node_type}")


def tell_type_failed(draft: Draft, asked: str, why: str) -> None:
    """Of a node type that was asked for (reference 8.2); the reason is ours."""
    draft.tell_all(
        f"Failed applying modification to cache node type to {asked}. {why}",
        NoticeName.REPLICATION_GROUP_SCALING_FAILED,
        NoticeName.CACHE_CLUSTER_SCALING_FAILED,
    )
