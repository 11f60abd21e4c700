"""Memcached: independent nodes, and a configuration endpoint that tells clients which there are.

The endpoint is served by a process of its own, so that it works without the control plane. A node is listed once it was ready,
and stays listed while it is desired: a replacement mostly has the same address, so the list does not change for it
(reference 4.4). One that is ended on purpose leaves the list before.
"""

from __future__ import annotations

from cachefleet.model.group import EndpointRole, NodeMemory
from cachefleet.model.observed import NodeView
from cachefleet.model.plan import PublishNodes
from cachefleet.planning.draft import Draft
from cachefleet.planning.endpoint_ports import serving_port
from cachefleet.planning.lifecycle import begin_reboot, launch_missing
from cachefleet.planning.memcached_roll import choose_next, end_retired, move_endpoint
from cachefleet.planning.memcached_scaling import hold_back

DISCOVERY = "discovery"  # node name of the endpoint's process inside the group


def discovery_node(cluster_id: str) -> str:
    return f"{cluster_id}.{DISCOVERY}"


def plan_memcached(draft: Draft) -> None:
    nodes = list(draft.desired.shards[0].nodes)
    endpoint = discovery_node(draft.name)
    draft.memory.nodes.setdefault(endpoint, NodeMemory(zone=""))
    draft.remembered(endpoint).address = draft.endpoint(EndpointRole.CONFIGURATION)
    launch_missing(draft, [node.name for node in nodes] + [endpoint], lambda node: "")
    for node in nodes:
        if _answers(draft, node.name) and node.name not in draft.filling:
            draft.mark_ready(node)
        else:
            draft.why.setdefault(node.name, draft.why_not_live(node.name))
    hold_back(draft)
    choose_next(draft)
    _publish(draft, endpoint)
    end_retired(draft, endpoint)
    move_endpoint(draft, endpoint)
    for node in nodes:
        if node.reboots > draft.remembered(node.name).reboots and draft.running(node.name):
            begin_reboot(draft, node.name, node.reboots)


def _answers(draft: Draft, name: str) -> NodeView | None:
    """Memcached does not tell which launch it is; that its process runs and its address answers has to do."""
    view = draft.observed.views.get(name)
    return view if view is not None and view.reachable and draft.running(name) else None


def _publish(draft: Draft, endpoint: str) -> None:
    known = [
        node.name for node in draft.desired.shards[0].nodes if node.name in draft.ready or node.name in draft.memory.node_list
    ]
    listed = tuple([name for name in known if not draft.retires(name)] or known)
    hosts = tuple(draft.address(name) for name in listed)
    if (listed, hosts) != (draft.memory.node_list, draft.memory.node_list_hosts):
        draft.memory.node_list, draft.memory.node_list_hosts = listed, hosts
        draft.memory.node_list_version += 1
    if not draft.running(endpoint):
        return
    view = _answers(draft, endpoint)
    published = view is not None and view.version == str(draft.memory.node_list_version)
    if not published:
        ports = (serving_port(draft.desired, draft.memory, name) for name in listed)
        nodes = tuple(sorted((host, port) for host, port in zip(hosts, ports, strict=True) if host))
        version = draft.memory.node_list_version
        draft.act(PublishNodes(node=endpoint, incarnation=draft.current(endpoint), version=version, nodes=nodes))
    else:
        draft.ready.add(endpoint)
