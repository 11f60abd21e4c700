"""A plan in the making: what is given, and what the parts of a planner add to it.

Planners fill a Draft in passes over the same group; nothing here decides.
"""

from __future__ import annotations

import msgspec

from cachefleet.model.event import NoticeName
from cachefleet.model.group import (
    DesiredNode,
    DesiredShard,
    EndpointRole,
    Form,
    GroupDesired,
    GroupMemory,
    NodeMemory,
    ShardMemory,
    incarnation,
)
from cachefleet.model.observed import NodeView, Observed, ProcessView
from cachefleet.model.plan import Action, EventDraft
from cachefleet.model.temporary import is_temporary
from cachefleet.reference.engines import version_numbers
from cachefleet.settings import ControlSettings


class Draft:
    """memory is a copy that may be changed."""

    def __init__(
        self,
        name: str,
        replication_group: bool,
        desired: GroupDesired,
        observed: Observed,
        memory: GroupMemory,
        now: float,
        rules: ControlSettings,
    ) -> None:
        self.name = name
        self.replication_group = replication_group
        self.desired = desired
        self.observed = observed
        self.memory = msgspec.json.decode(msgspec.json.encode(memory), type=GroupMemory)
        self.now = now
        self.rules = rules
        self.actions: list[Action] = []
        self.events: list[EventDraft] = []
        self.why: dict[str, str] = {}  # node name -> why it is not ready
        self.holds: dict[str, str] = {}  # what a change waits for -> why it does not go on, for people
        self.ready: set[str] = set()
        self.later: set[str] = set()  # nodes that do not get the group's node type yet
        self.filling: set[str] = set()  # nodes of shards that have not been restored yet (planning.restoring): not to be used
        self.unfit: dict[str, str] = {}  # nodes that have loaded something else than they had to -> what is wrong (see filling)
        self.parameters: dict[str, str] = {}  # nodes that are not as their parameter group says -> model.group.NodeStatus
        self.waiting = False  # something is under way that no exit and no wake-up will announce
        self.modifying = False  # a change that was asked for is not done yet
        self.changed: GroupDesired | None = None  # see Plan.desired

    # --- looking ---

    def is_desired(self, node: str) -> bool:
        return any(desired.name == node for desired in self.desired.nodes)

    @property
    def clusters(self) -> tuple[str, ...]:
        """Cache clusters of the group as it is desired: one for each node, or the only one."""
        if not self.replication_group:
            return (self.name,)
        return tuple(node.name for node in self.desired.nodes if not is_temporary(node.name))

    def remembered(self, node: str) -> NodeMemory:
        return self.memory.nodes[node]

    def shard_memory(self, shard: DesiredShard) -> ShardMemory:
        return self.memory.shards.setdefault(shard.shard_id, ShardMemory())

    def current(self, node: str) -> str:
        """The node's current incarnation, "" before its first launch."""
        launches = self.memory.nodes[node].launches
        return incarnation(self.desired.uid, node, launches) if launches else ""

    def process(self, node: str) -> ProcessView | None:
        return self.observed.processes.get(self.current(node))

    def running(self, node: str) -> bool:
        process = self.process(node)
        return process is not None and process.running

    def live(self, node: str) -> NodeView | None:
        """The view of a node whose current incarnation runs, answers and is usable; else None. One that was given up or whose
        zone is out is as good as dead, whatever it still says."""
        view = self.observed.views.get(node)
        if view is None or not view.reachable or view.loading or not self.running(node) or self.is_doomed(node):
            return None
        if node in self.filling:
            return None
        return view if view.incarnation == self.current(node) else None

    def why_not_live(self, node: str) -> str:
        """What users are told of a node that is not live."""
        if not self.running(node):
            return "has no engine process"
        view = self.observed.views.get(node)
        return view.why if view is not None and view.why else "has not answered yet"

    def is_doomed(self, node: str) -> bool:
        """Its current incarnation has to end."""
        known = self.memory.nodes[node]
        return (bool(known.given_up) and known.given_up == known.launches) or self.is_out(node)

    def is_out(self, node: str) -> bool:
        """Nothing can run in its zone at present."""
        return self.zone(node)[-1:] in self.observed.zones_out if self.zone(node) else False

    def is_outdated(self, node: str) -> bool:
        """Its current launch is not made of what the group asks for by now, or not where."""
        known = self.memory.nodes[node]
        is_unfit = known.form not in (None, self.form) and not self._stays_behind(node)
        is_unfit |= known.checks_no_tokens and self.observed.can_check_tokens
        return bool(known.launches) and (is_unfit or self.is_misplaced(node))

    def _stays_behind(self, node: str) -> bool:
        """It lacks nothing but an update that was stopped, and may stay so: a replica may be newer than its primary, since an
        older one might not understand what it is sent."""
        asked, form = self.desired.update, self.memory.nodes[node].form
        if asked is None or not asked.stopped_at or asked.version != self.desired.engine_version or form is None:
            return False
        if form != msgspec.structs.replace(self.form, version=form.version):
            return False
        shard = next((shard for shard in self.desired.shards if any(one.name == node for one in shard.nodes)), None)
        known = self.memory.shards.get(shard.shard_id) if shard is not None else None
        primary = self.memory.nodes.get(known.primary) if known is not None else None
        leads = primary.form if primary is not None else None
        return leads is None or version_numbers(form.version) >= version_numbers(leads.version)

    def is_misplaced(self, node: str) -> bool:
        """It does not stand in the zone that the group asks for by now."""
        zone = self.memory.nodes[node].zone
        return any(desired.name == node and desired.zone != zone for desired in self.desired.nodes)

    def retires(self, node: str) -> bool:
        """Its current launch is about to end on purpose, and no client is to be sent to it any more. Never a primary."""
        known = self.memory.nodes[node]
        going = bool(known.roll_of) and known.roll_of == known.launches
        return going and all(shard.primary != node for shard in self.memory.shards.values())

    @property
    def form(self) -> Form:
        """What a launch shall be made of."""
        desired = self.desired
        clustered = desired.cluster_mode != "disabled"
        return Form(
            desired.engine, desired.engine_version, desired.port, clustered, desired.transit, config=bool(desired.config)
        )

    def address(self, node: str) -> str:
        return self.memory.nodes[node].address

    def reached_at(self, node: str) -> tuple[str, ...]:
        """Addresses by which clients may reach it, now or later: its own and every endpoint of the group."""
        return tuple(sorted({self.address(node), *self.memory.endpoints.values()} - {""}))

    def endpoint(self, role: EndpointRole) -> str:
        return self.memory.endpoints.get(role, "")

    def zone(self, node: str) -> str:
        return self.memory.nodes[node].zone

    # --- adding ---

    def act(self, action: Action) -> None:
        self.actions.append(action)

    def tell_node(self, node: str, message: str, notice: NoticeName | None = None) -> None:
        """An event of the cache cluster that the node belongs to; of a temporary one users know nothing."""
        if is_temporary(node):
            return
        cluster = node if self.replication_group else self.name
        self.events.append(EventDraft("cache-cluster", cluster, message, notice))

    def tell_clusters(self, message: str, notice: NoticeName | None = None) -> None:
        """An event of every cache cluster, each once."""
        for cluster in self.clusters:
            self.events.append(EventDraft("cache-cluster", cluster, message, notice))

    def tell_group(self, message: str, notice: NoticeName | None = None) -> None:
        """An event of the replication group; a standalone cluster has none."""
        if self.replication_group:
            self.events.append(EventDraft("replication-group", self.name, message, notice))

    def tell_all(self, message: str, group: NoticeName | None = None, alone: NoticeName | None = None) -> None:
        """An event of every cache cluster and of the replication group. group, alone: of the group, or of a cluster in none."""
        self.tell_clusters(message, None if self.replication_group else alone)
        self.tell_group(message, group)

    def tell_recovering(self, node: str) -> None:
        """Once; note_ready tells the end of it."""
        if not self.memory.nodes[node].recovering and self.is_desired(node):
            self.memory.nodes[node].recovering = True
            self.tell_node(node, f"Recovering cache nodes {self.node_id(node)}", NoticeName.CACHE_NODE_REPLACE_STARTED)

    def node_id(self, node: str) -> str:
        return next((desired.node_id for desired in self.desired.nodes if desired.name == node), "0001")

    def mark_ready(self, node: DesiredNode) -> None:
        self.ready.add(node.name)
