"""A model of hosts and engines, driven by the planner alone: actions are applied at once, observations are exact.

Engines without a role accept nothing; replicas copy their primary's data when they attach; cluster nodes know each other
after a meeting. Time passes by `step`. Used by table and property tests of the planners.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import msgspec

from cachefleet.model import plan as actions
from cachefleet.model.group import EndpointRole, GroupDesired, GroupMemory, GroupStatus, Shape
from cachefleet.model.observed import ClusterNodeView, ClusterView, NodeView, Observed, ProcessView, Silence
from cachefleet.model.plan import Plan
from cachefleet.model.slots import without
from cachefleet.planning.addresses import held, wanted
from cachefleet.planning.group import plan_group
from cachefleet.settings import ControlSettings


@dataclass
class Engine:
    incarnation: str
    host: str
    engine_id: str
    running: bool = True
    frozen: bool = False
    exit: str = "signal 9 (SIGKILL)"  # once it has ended
    ended_s: float = 0.0
    link_down_s: int = -1  # as it says itself
    full_syncs: int = -1
    buffer_percent: int = 0
    primary: bool = False
    follows: str = ""
    data: set[int] = field(default_factory=set)
    bound: set[str] = field(default_factory=set)
    slots: tuple[tuple[int, int], ...] = ()
    epoch: int = 0
    knows: set[str] = field(default_factory=set)
    primary_id: str = ""
    published: str = ""
    synced: bool = False
    has_child: bool = False
    history: str = ""
    threads: int = -1
    size_bytes: int = -1  # of its memory for data, and of what they take of it
    used_bytes: int = -1
    unheard: set[str] = field(default_factory=set)  # engine ids that it knows, but not their slots yet


class World:
    def __init__(self, desired: GroupDesired, name: str = "demo", replication_group: bool = True) -> None:
        self.desired = desired
        self.name = name
        self.replication_group = replication_group
        self.memory, self.status = GroupMemory(), GroupStatus()
        self.engines: dict[str, Engine] = {}
        self.now = 1000.0
        self.rules = ControlSettings()
        self.events: list[str] = []
        self.drafts: list[actions.EventDraft] = []  # the same, whole
        self.seen: dict[str, Any] = {}  # further members of Observed, as a test wants them
        self.failing_starts: set[str] = set()
        self.lost: set[int] = set()
        self.next_address, self.no_addresses = 0, ""
        self.silences: dict[str, Silence] = {}
        self.watched_s, self.finished = math.inf, False
        self.zones_out: frozenset[str] = frozenset()
        self.busy: set[str] = set()  # incarnations that answer only that they are busy
        self.strangers: dict[str, Engine] = {}  # nodes of another cluster, by engine id; known where `knows` says so
        self.deaf: set[str] = set()  # nodes that hear nothing from their primary, over a link that has not broken
        self.off_the_bus: set[str] = set()  # nodes that reach no other over the cluster bus
        self.data_bytes = 0  # of the group's node type
        self.broken_versions: set[str] = set()  # of which no engine starts
        self.heard_s = 0  # what replicas say of a primary that does not answer

    # --- what tests do to it ---

    def of(self, node: str) -> Engine:
        """The engine of the node's current incarnation."""
        return self.engines[f"{self.desired.uid}.{node}.{self.memory.nodes[node].launches}"]

    def desires(self, engine: Engine) -> bool:
        """It is of a node that is to stay, and is not about to be launched anew."""
        names = [node.name for node in self.desired.nodes]
        retiring = {f"{self.desired.uid}.{name}.{node.roll_of}" for name, node in self.memory.nodes.items() if node.roll_of}
        return self._node_of(engine) in names and engine.incarnation not in retiring

    def runs(self, node: str) -> bool:
        engine = self.engines.get(f"{self.desired.uid}.{node}.{self.memory.nodes[node].launches}")
        return engine is not None and engine.running

    def whole(self, node: str) -> bool:
        """It runs, and is the primary or a replica that has all the primary's data."""
        return self.runs(node) and (self.of(node).primary or (self.of(node).synced and self.memory.nodes[node].became_ready))

    def kill(self, node: str, seen: bool = True) -> None:
        """seen: False when no control plane runs meanwhile."""
        engine = self.of(node)
        engine.running = False
        engine.exit = engine.exit if seen else ""
        engine.bound, engine.data = set(), set()

    def silence(self, node: str, seconds: float, stopped: bool = False, busy: bool = False) -> None:
        """Its current incarnation does not answer from now on, and has not for so long."""
        self.of(node).frozen = True
        self.silences[self.of(node).incarnation] = Silence(seconds, stopped=stopped, busy=busy)

    def write(self, value: int) -> bool:
        """Through the primary endpoint (cluster mode disabled), copied to attached replicas. True when acknowledged."""
        endpoint = self.memory.endpoints.get(EndpointRole.PRIMARY, "")
        for engine in self.engines.values():
            if engine.running and not engine.frozen and endpoint in engine.bound and engine.primary:
                engine.data.add(value)
                for replica in self.engines.values():
                    if replica.running and replica.follows == engine.host and replica.synced:
                        replica.data.add(value)
                return True
        return False

    def settle(self, passes: int = 200) -> None:
        """Plan until the group is quiet. Fails the test when it never is."""
        for _ in range(passes):
            plan = self.step()
            quiet = not plan.actions and self.status.state in ("available", "create-failed")
            if self.finished or (quiet and all(node.state in ("available", "failed") for node in self.status.nodes.values())):
                return
        raise AssertionError(f"did not settle: {self.status}")

    def step(self, apply: bool = True) -> Plan:
        """One pass: plan, save, execute. apply=False: the controller died after saving."""
        observed = self.observe()
        plan = plan_group(self.name, self.replication_group, self.desired, observed, self.memory, self.now, self.rules)
        self.memory, self.status, self.finished = plan.memory, plan.status, plan.finished
        self.desired = plan.desired or self.desired
        self.events += [event.message for event in plan.events]
        self.drafts += plan.events
        if apply:
            for action in plan.actions:
                self.apply(action)
        passing_s = 0.02 if plan.actions else min(plan.look_again_s, 2.0)
        self.now, self.watched_s = self.now + passing_s, self.watched_s + passing_s
        return plan

    # --- what the planner sees ---

    def observe(self) -> Observed:
        processes = {
            name: ProcessView(name, engine.running, 1, "" if engine.running else engine.exit, engine.ended_s)
            for name, engine in self.engines.items()
        }
        views, silences = {}, {}
        for node in self.memory.nodes:
            engine = self.engines.get(f"{self.desired.uid}.{node}.{self.memory.nodes[node].launches}")
            if engine is not None and engine.running:
                views[node] = NodeView(reachable=False, why="silent") if engine.frozen else self.view(engine)
                if engine.incarnation in self.busy:
                    views[node] = msgspec.structs.replace(self.view(engine), busy_reply=True)
                if engine.incarnation in self.silences and (engine.frozen or engine.incarnation in self.busy):
                    silences[node] = self.silences[engine.incarnation]
        offers = {}
        if not self.no_addresses:
            for zone, count in wanted(self.desired, self.memory, self.replication_group).items():
                offers[zone] = tuple(self._address() for _ in range(count))
        return Observed(
            processes=processes,
            views=views,
            silences=silences,
            zones_out=self.zones_out,
            watched_s=self.watched_s,
            offers=offers,
            no_addresses=self.no_addresses,
            data_bytes=self.data_bytes,
            **self.seen,
        )

    def _address(self) -> str:
        self.next_address += 1
        return f"127.40.{self.next_address // 250}.{self.next_address % 250 + 1}"

    def view(self, engine: Engine) -> NodeView:
        source = self._at(engine.follows)
        link_up = source is not None and source.primary
        return NodeView(
            reachable=True,
            incarnation="" if self.desired.shape is Shape.MEMCACHED else engine.incarnation,
            primary=engine.primary,
            has_child=engine.has_child,
            offset=len(engine.data),
            link_up=link_up,
            history=engine.history,
            link_down_s=-1 if link_up else engine.link_down_s,
            heard_s=self._heard_s(engine) if link_up else -1,
            follows=engine.follows,
            streams_to=tuple(
                sorted(
                    other.host
                    for other in self.engines.values()
                    if other.running and other.follows == engine.host and other.synced
                )
            ),
            bound=tuple(sorted({engine.host, *engine.bound})),
            full_syncs=engine.full_syncs,
            version=engine.published,
            maxmemory_bytes=engine.size_bytes,
            used_bytes=engine.used_bytes,
            threads=engine.threads,
            cluster=self._cluster(engine) if self.desired.shape is Shape.CLUSTERED else None,
        )

    def _heard_s(self, engine: Engine) -> int:
        source = self._at(engine.follows)
        return 9 if self._node_of(engine) in self.deaf else self.heard_s if source is not None and source.frozen else 0

    def _cluster(self, engine: Engine) -> ClusterView:
        known = {engine.engine_id: engine} | {
            other.engine_id: other
            for other in (*self.engines.values(), *self.strangers.values())
            if other.engine_id in engine.knows
        }
        nodes = {
            engine_id: ClusterNodeView(
                engine_id=engine_id,
                host=other.host,
                primary=other.primary,
                primary_id=other.primary_id,
                failed=not other.running,
                epoch=other.epoch,
                slots=() if engine_id in engine.unheard else other.slots,
                link_up=engine is other or self._node_of(engine) not in self.off_the_bus,
            )
            for engine_id, other in known.items()
        }
        covered = sum(last - first + 1 for other in known.values() if other.running for first, last in other.slots)
        epoch = max(other.epoch for other in known.values())
        return ClusterView(my_id=engine.engine_id, ok=covered == 16384, current_epoch=epoch, nodes=nodes)

    def _node_of(self, engine: Engine) -> str:
        return engine.incarnation.rpartition(".")[0].removeprefix(f"{self.desired.uid}.")

    def _at(self, host: str) -> Engine | None:
        return next((engine for engine in self.engines.values() if engine.running and engine.host == host), None)

    def _must(self, host: str) -> Engine:
        engine = self._at(host)
        assert engine is not None, f"nothing runs at {host}"
        return engine

    # --- what actions do ---

    def apply(self, action: actions.Action) -> None:
        getattr(self, "_" + type(action).__name__.lower())(action)

    def _launch(self, action: actions.Launch) -> None:
        assert action.incarnation not in self.engines, "an incarnation was started twice"
        host = self.memory.nodes[action.node].address
        assert self._at(host) is None, f"{host} is in use"
        clustered = self.desired.shape is Shape.CLUSTERED
        engine = Engine(
            action.incarnation,
            host,
            engine_id=f"id-{action.incarnation}",
            primary=clustered,
            running=action.node not in self.failing_starts and self._version(action.node) not in self.broken_versions,
            size_bytes=self.data_bytes or -1,
            threads=self.seen.get("threads", -1),
        )
        self.engines[action.incarnation] = engine
        if action.follow and engine.running:
            self._attach(engine, action.follow)

    def _version(self, node: str) -> str:
        form = self.memory.nodes[node].form
        return form.version if form is not None else ""

    def _resize(self, action: actions.Resize) -> None:
        self._current(action.node).size_bytes = self.data_bytes

    def _attach(self, engine: Engine, host: str) -> None:
        engine.primary = False
        engine.follows = host
        source = self._at(host)
        if source is not None and source.primary:
            self.lost |= engine.data - source.data
            engine.data = set(source.data)
            engine.synced = True

    def _stop(self, action: actions.Stop) -> None:
        self.engines[action.incarnation].running = False
        self.engines[action.incarnation].bound = set()

    def _erase(self, action: actions.Erase) -> None:
        assert not self.engines[action.incarnation].running
        del self.engines[action.incarnation]

    def _current(self, node: str) -> Engine:
        return self.of(node)

    def _bind_all(self, engine: Engine, addresses: tuple[str, ...]) -> None:
        for address in addresses:
            holders = [
                other.host
                for other in self.engines.values()
                if other is not engine and other.running and address in other.bound
            ]
            assert not holders, f"{address} is still bound by {holders}"
        engine.bound = set(addresses)

    def _promote(self, action: actions.Promote) -> None:
        engine = self._current(action.node)
        engine.primary, engine.follows = True, ""
        self._bind_all(engine, action.bind)

    def _follow(self, action: actions.Follow) -> None:
        engine = self._current(action.node)
        self._bind_all(engine, action.bind)
        self._attach(engine, action.host)

    def _bind(self, action: actions.Bind) -> None:
        assert not self._current(action.node).has_child, "the sockets of an engine with a child were touched"
        self._bind_all(self._current(action.node), action.addresses)

    def _handaddress(self, action: actions.HandAddress) -> None:
        giver, taker = self._current(action.node), self._must(action.to)
        assert not giver.has_child and not taker.has_child, "the sockets of an engine with a child were touched"
        self._bind_all(giver, action.from_bind)
        self._bind_all(taker, action.to_bind)

    def _switch(self, action: actions.Switch) -> None:
        old, new = self._current(action.node), self._must(action.to)
        assert new.synced and new.follows == old.host
        old.bound = set()
        new.primary, new.follows = True, ""
        self._bind_all(new, action.to_bind)
        self._attach(old, new.host)
        self._bind_all(old, action.from_bind)
        for host in action.others:
            self._attach(self._must(host), new.host)

    def _raisereplicabuffers(self, action: actions.RaiseReplicaBuffers) -> None:
        self._current(action.node).buffer_percent = action.percent

    def _ownslots(self, action: actions.OwnSlots) -> None:
        engine = self._current(action.node)
        if not engine.slots or not engine.epoch:
            engine.epoch = action.epoch
        claimed = without(action.slots, engine.slots)
        engine.slots = without(tuple(sorted(engine.slots + claimed)), ())  # joined where they meet

    def _meet(self, action: actions.Meet) -> None:
        viewer = self._current(action.node)
        for host, engine_id in action.others.items():
            other = self._must(host)
            assert other.engine_id == engine_id
            group = {viewer.engine_id, other.engine_id} | viewer.knows | other.knows
            for engine in self.engines.values():
                if engine.running and engine.engine_id in group:
                    engine.knows = group - {engine.engine_id}

    def _replicate(self, action: actions.Replicate) -> None:
        engine = self._current(action.node)
        assert not engine.slots
        source = next(other for other in self.engines.values() if other.engine_id == action.primary_id)
        engine.primary_id = action.primary_id
        self._attach(engine, source.host)

    def _forget(self, action: actions.Forget) -> None:
        engine = self._current(action.node)
        for engine_id in action.engine_ids:
            running = [other for other in self.engines.values() if other.running and other.engine_id == engine_id]
            assert not any(self.desires(other) for other in running), "a node that stays was forgotten"
        engine.knows -= set(action.engine_ids)

    def _takeover(self, action: actions.TakeOver) -> None:
        engine = self._current(action.node)
        old = next((other for other in self.engines.values() if other.engine_id == engine.primary_id), None)
        agreed = action.by is actions.TakeOverBy.AGREEMENT
        assert old is None or not old.running or agreed, "takeover from a living primary"
        if agreed and old is not None:
            assert engine.synced, "a primary agrees when the replica has everything"
            old.primary, old.primary_id = False, engine.engine_id
        if old is not None and not engine.primary:
            engine.slots, old.slots = old.slots, ()
            engine.epoch = max(other.epoch for other in self.engines.values()) + 1
        engine.primary, engine.primary_id, engine.follows = True, "", ""
        if agreed and old is not None:
            self._attach(old, engine.host)

    def _publishnodes(self, action: actions.PublishNodes) -> None:
        self.engines[action.incarnation].published = str(action.version)

    def _spread(self, action: actions.Spread) -> None:
        raise AssertionError("this world cannot spread")

    def addresses_held(self) -> list[str]:
        return held(self.memory)
