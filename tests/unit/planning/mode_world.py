"""The model world with nodes of both cluster modes in one group, and stand-ins for primaries that are no cluster nodes."""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model import plan as actions
from cachefleet.model.group import EndpointRole, GroupDesired, Shape, stand_in
from cachefleet.model.observed import ClusterNodeView, ClusterView, NodeView
from cachefleet.model.plan import Plan
from cachefleet.planning.group import plan_group
from tests.unit.planning.world import Engine, World

ALL = ((0, 16383),)


class ModeWorld(World):
    def __init__(self, desired: GroupDesired) -> None:
        super().__init__(desired)
        self.clustered: dict[str, bool] = {}  # incarnation -> started as a cluster node
        self.other_databases: set[str] = set()  # hosts that have keys outside database 0
        self.polluted: set[str] = set()  # incarnations that refused commands of their primary
        self.acknowledged: set[int] = set()
        self.parameter_groups: list[str] = []

    # --- what tests do to it ---

    def ask(self, mode: str) -> None:
        group = "default.valkey9" + ("" if mode == "disabled" else ".cluster.on")
        self.desired = replace(self.desired, cluster_mode=mode, parameter_group=group)

    def put(self, value: int) -> bool:
        """Write, and remember what was acknowledged. Fails when two would accept it."""
        endpoint = self.memory.endpoints.get(EndpointRole.PRIMARY, "")
        takers = [engine for engine in self.engines.values() if engine.running and engine.primary and endpoint in engine.bound]
        assert len(takers) <= 1
        done = self.write(value)
        if done:
            self.acknowledged.add(value)
        return done

    def primaries(self) -> list[str]:
        """Hosts of those that accept writes: a cluster node only for slots that it owns."""
        return [
            engine.host
            for engine in self.engines.values()
            if engine.running and engine.primary and (engine.slots or not self.clustered[engine.incarnation])
        ]

    def reached(self) -> set[int]:
        """What a client of the primary endpoint finds."""
        endpoint = self.memory.endpoints[EndpointRole.PRIMARY]
        (found,) = [engine for engine in self.engines.values() if engine.running and endpoint in engine.bound]
        return found.data

    # --- passes ---

    def step(self, apply: bool = True, only: int | None = None) -> Plan:
        """only: so many of the actions are carried out before the controller dies."""
        observed = self.observe()
        plan = plan_group(self.name, True, self.desired, observed, self.memory, self.now, self.rules)
        self.memory, self.status = plan.memory, plan.status
        self.desired = plan.desired or self.desired
        self.events += [event.message for event in plan.events]
        for action in plan.actions[:only] if apply else ():
            if not isinstance(action, actions.Stop | actions.Erase | actions.Launch) and not self.runs(action.node):
                continue  # it was killed since
            self.apply(action)
        self.now += 0.02 if plan.actions else min(plan.look_again_s, 2.0)
        return plan

    def view(self, engine: Engine) -> NodeView:
        clustered = self.clustered[engine.incarnation]
        return replace(
            super().view(engine),
            cluster=self._cluster(engine) if clustered else None,
            other_databases=engine.host in self.other_databases,
            stream_errors=int(engine.incarnation in self.polluted),
        )

    def _cluster(self, engine: Engine) -> ClusterView:
        view = super()._cluster(engine)
        if not engine.primary_id.startswith("stand-in "):
            return view
        host = engine.primary_id.removeprefix("stand-in ")
        engine_id = stand_in(self.desired.uid, host)
        nodes = dict(view.nodes)
        nodes[engine.engine_id] = replace(nodes[engine.engine_id], primary_id=engine_id)
        nodes[engine_id] = ClusterNodeView(engine_id=engine_id, host=host, primary=True, slots=ALL, epoch=1)
        return replace(view, nodes=nodes)

    # --- what actions do ---

    def _launch(self, action: actions.Launch) -> None:
        form = self.memory.nodes[action.node].form
        assert form is not None
        shape = self.desired.shape
        self.clustered[action.incarnation] = form.clustered
        self.desired = replace(self.desired, shape=Shape.CLUSTERED if form.clustered else Shape.REPLICATED)
        super()._launch(action)
        self.desired = replace(self.desired, shape=shape)
        if form.clustered and action.follow:
            self.engines[action.incarnation].primary_id = f"stand-in {action.follow}"
            if self.other_databases:
                self.engines[action.incarnation].running = False  # engines end themselves over such data

    def _promote(self, action: actions.Promote) -> None:
        assert not self.clustered[self.of(action.node).incarnation], "REPLICAOF is refused by cluster nodes"
        super()._promote(action)
        self._no_rivals()

    def _follow(self, action: actions.Follow) -> None:
        assert not self.clustered[self.of(action.node).incarnation], "REPLICAOF is refused by cluster nodes"
        super()._follow(action)

    def _promoteincluster(self, action: actions.PromoteInCluster) -> None:
        engine = self.of(action.node)
        assert self.clustered[engine.incarnation]
        if not engine.primary:
            self._take_all(engine)
        self._bind_all(engine, action.bind)
        self._no_rivals()

    def _changemode(self, action: actions.ChangeMode) -> None:
        old, new = self.of(action.node), self._must(action.to)
        assert self.clustered[new.incarnation] == action.into_cluster != self.clustered[old.incarnation]
        if new.primary or not new.synced or new.follows != old.host:
            return  # refused
        old.bound = set()
        if action.into_cluster:
            self._take_all(new)
            self._attach(old, new.host)
        else:
            new.primary, new.follows = True, ""
            old.slots = ()
        self._bind_all(new, action.to_bind)
        for host in action.others:
            self._attach(self._must(host), new.host)
        self._no_rivals()

    def _take_all(self, engine: Engine) -> None:
        engine.primary, engine.primary_id, engine.follows = True, "", ""
        engine.slots, engine.epoch = ALL, 2
        engine.knows = set()

    def _forget(self, action: actions.Forget) -> None:
        """Nodes that are about to be launched anew are forgotten before (planning.rolling)."""
        going = {
            engine.engine_id
            for name, known in self.memory.nodes.items()
            if known.roll_of == known.launches and (engine := self.engines.get(self.of(name).incarnation)) is not None
        }
        self.of(action.node).knows -= going & set(action.engine_ids)
        super()._forget(actions.Forget(node=action.node, engine_ids=tuple(set(action.engine_ids) - going)))

    def _settleincluster(self, action: actions.SettleInCluster) -> None:
        assert not self.of(action.node).primary_id.startswith("stand-in"), "a node cannot forget its own primary"

    def _takeover(self, action: actions.TakeOver) -> None:
        engine = self.of(action.node)
        if engine.primary_id.startswith("stand-in "):
            self._take_all(engine)
        super()._takeover(action)
        self._no_rivals()

    def _no_rivals(self) -> None:
        assert len(self.primaries()) <= 1, f"two accept writes: {self.primaries()}"
