"""Everything of one run, made from one seed: time, network, machine, store, engines, clients, checkers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from msgspec.structs import replace

from cachefleet.access_interfaces import Passwords
from cachefleet.control.leadership import LEASE
from cachefleet.engine_interfaces import Build, Rendering
from cachefleet.engines.capabilities import capabilities
from cachefleet.engines.valkey_config import CONFIG_FILE
from cachefleet.interfaces import Lease
from cachefleet.model.group import DesiredShard, EndpointRole, GroupDesired, Shape
from cachefleet.model.resource import Key, Kind, Scope
from cachefleet.model.row import GroupRow, Row
from cachefleet.model.temporary import SUFFIX
from cachefleet.model.topic import TopicDesired
from cachefleet.planning.service_updates import ServiceUpdate
from cachefleet.settings import ControlSettings, Settings
from tests.fakes.catalogue import StaticCatalogue
from tests.fakes.store import MemoryStore
from tests.simulation.access import Doors
from tests.simulation.checkers import Checkers
from tests.simulation.cluster import ClusterEngine
from tests.simulation.directives import directives
from tests.simulation.encryption import Certificates
from tests.simulation.engine import Engine as SimEngine
from tests.simulation.groups import INSTALLED, RELEASES
from tests.simulation.keys import Keys, catalogue
from tests.simulation.loop import VirtualClock, VirtualLoop
from tests.simulation.machine import Machine
from tests.simulation.memcached import Discovery, Memcached, listening
from tests.simulation.network import Network
from tests.simulation.plane import Plane
from tests.simulation.process import Process
from tests.simulation.replication import Tuning
from tests.simulation.rolls import named
from tests.simulation.slots import WRITTEN, has, mask_of, write_number
from tests.simulation.snapshots import Snapshots
from tests.simulation.store import Database
from tests.simulation.stories import TOPIC, Stories
from tests.simulation.trace import Trace
from tests.simulation.transfers import Archive, SimTransfers
from tests.simulation.transport import Cables
from tests.simulation.writers import Client, ClusterWriter, Writer

SCOPE = Scope("000000000000", "local-1")
PORT = 6379
WAYS = ((PORT, False), (PORT + 1, True), (PORT, True))

_BUILDS = {
    build.binary.rpartition("/")[2]: replace(build, capabilities=capabilities(build.engine, build.version))
    for build in (*INSTALLED, *RELEASES)
}


class World:
    """seed: of all chance. Chance is drawn from streams of their own, so that a change in one part moves the others little."""

    def __init__(self, seed: int, *, keep_trace: bool = False) -> None:
        self.seed = seed
        self.loop = VirtualLoop()
        self.trace = Trace(self.loop.time, keep_trace)
        self.clock = VirtualClock(self.loop)
        self.network = Network(self.loop, self.chance("network"), 0.0005)
        self.checkers = Checkers(self.trace, self.loop.time)
        self.machine = Machine(self.loop, self.network, self.trace, self.chance("machine"), self._boot)
        self.database_clock = VirtualClock(self.loop)
        self.database = Database(MemoryStore(self.database_clock), self.loop, self.chance("store"), self)
        self.certificates = Certificates(self.clock.now)
        self.cables = Cables(self.network, self._acts)
        self.loop.connect = self.cables.connect
        self.settings = Settings(control=ControlSettings())
        self.effects: list[Callable[[str, str], None]] = []  # told (who, whose address) of every command that does something
        self.checkers.on_effect = self._effect
        self.checkers.calm_s = self._calm_s
        self.checkers.quiet_s = lambda engine: self.network.quiet_s(engine.host)
        self.checkers.told_s = lambda engine: self.network.quiet_s(engine.host, "plane-")
        self.machine.zone_of = self.zone_of
        self.machine.on_kill = self._killed
        self.machine.on_stop = self._stopped
        self.machine.on_act = self._acts_on_machine
        self.database.on_commit = lambda name: self._effect(name, "")
        self.stories = Stories(self.trace, self.checkers.rows)
        self.database.on_told = self.stories.told
        self.engines: dict[str, SimEngine] = {}  # by incarnation
        self.archive = Archive()
        self.snapshots = Snapshots(self.trace, self.loop.time, self.archive, self.checkers, self.engines)
        self.planes: list[Plane] = []
        self.writers: list[Writer] = []
        self.groups: dict[str, Key] = {}  # by uid
        self.encrypting: set[str] = set()  # those that have or had TLS
        self.parameters: dict[str, dict[str, str]] = {}  # what parameter groups set, by name
        self._engine_chance = self.chance("engines")
        self._writer_chance = self.chance("writers")
        self.tuning = Tuning()
        self.keys: Keys | None = None  # of who connects with IAM tokens
        self.passwords: Passwords | None = None  # of control planes that begin; None: engines let anybody in
        self.installed: Sequence[Build] = INSTALLED  # for control planes that begin, and
        self.updates: tuple[ServiceUpdate, ...] = ()  # the service updates that there are then
        self._planes_begun = 0
        self._writes = 0

    def committed(self, row: Any) -> None:
        """A row was saved."""
        self.checkers.committed(row)
        self.snapshots.committed(row)

    def deleted(self, row: Any) -> None:
        self.checkers.deleted(row)
        self.snapshots.deleted(row)

    def chance(self, of: str) -> Random:
        return Random(f"{self.seed}/{of}")

    # --- what runs ---

    def _boot(self, process: Process, rendering: Rendering) -> None:
        program = rendering.argv[0].rpartition("/")[2]
        build = _BUILDS.get(program)
        if program == "memcached":
            process.party, process.port = rendering.argv[2], int(rendering.argv[4])
            process.program = Memcached(process, rendering.argv)
        elif program == "python":
            files = self.machine.files[process.incarnation]
            process.party, process.port = listening(files["nodes.json"])
            process.program = Discovery(process, lambda: files["nodes.json"])
        else:
            assert build is not None, program
            self._boot_engine(process, directives(rendering.files[CONFIG_FILE].decode()), build)
            self.engines[process.incarnation].seeded = bool(rendering.pipes)
            if self.passwords is not None:
                self.engines[process.incarnation].doors = Doors(rendering.files[CONFIG_FILE].decode())
            self.snapshots.booted(process.incarnation, seeded=bool(rendering.pipes))

    def _boot_engine(self, process: Process, config: dict[str, str], build: Build) -> None:
        process.party = config["bind"].split()[0]
        kind = ClusterEngine if config.get("cluster-enabled") == "yes" else SimEngine
        files = self.machine.files[process.incarnation]
        engine = kind(process, config, self._engine_chance, self.tuning, self.checkers, build, lambda: files)
        process.program = engine
        self.engines[process.incarnation] = engine
        self.checkers.booted(engine)

    def zone_of(self, process: Process) -> str:
        """Its letter. Who stands in for a node stands where that one does."""
        uid, name = named(process.incarnation)
        row = self.checkers.rows.get(uid)
        nodes = row.desired.nodes if row is not None else ()
        return next((node.zone[-1:] for node in nodes if node.name == name.removesuffix(SUFFIX)), "")

    def _calm_s(self) -> float:
        """How long the store has answered, and the control plane run."""
        return self.loop.time() - max([self.database.trouble_s, *(plane.trouble_s for plane in self.planes)])

    def _effect(self, by: str, host: str) -> None:
        for told in list(self.effects):
            told(by, host)

    def _acts(self, name: str) -> None:
        """A control plane changes something, at this instant."""
        if isinstance(self.database.inner, MemoryStore):
            lease, until = self.database.inner._contents.leases.get(LEASE, (Lease("", 0), 0.0))
            self.checkers.acted(name, lease.holder if until > self.database_clock.now() else "")

    def _acts_on_machine(self, name: str) -> None:
        self._acts(name)
        self._effect(name, "")

    def _killed(self, process: Process) -> None:
        engine = self.engines.get(process.incarnation)
        if engine is not None:
            self.checkers.killed(engine)

    def _stopped(self, process: Process) -> None:
        engine = self.engines.get(process.incarnation)
        if engine is not None:
            self.checkers.rolls.stopped(engine)

    def begin_plane(self) -> Plane:
        self._planes_begun += 1
        name = f"plane-{self._planes_begun}"
        plane = Plane(
            name,
            self.loop,
            self.machine,
            self.database,
            self.cables,
            self.clock,
            StaticCatalogue(self.installed) if self.keys is None else catalogue(),
            self.settings,
            self.certificates,
            self._transfers,
            self._is_dead,
            lambda why: self.trace.violation("broken", why),
            self.keys.holders if self.keys is not None else None,
            self.passwords,
            self.updates,
        )
        self.planes.append(plane)
        self.trace.note(f"{name} begins")
        plane.begin()
        return plane

    def _transfers(self, plane: Plane) -> SimTransfers:
        chance = self.chance(f"transfers of {plane.name}")
        return SimTransfers(self.archive, self.network, self.engines, chance, plane.name, lambda: plane.alive)

    def _is_dead(self, name: str) -> bool:
        return all(plane.name != name or not plane.alive for plane in self.planes)

    def wake(self, key: Key) -> None:
        for plane in self.planes:
            plane.wake(key)

    # --- groups ---

    async def create(self, desired: GroupDesired, name: str) -> None:
        kind = Kind.CACHE_CLUSTER if desired.shape is Shape.MEMCACHED else Kind.REPLICATION_GROUP
        key = SCOPE.key(kind, name)
        if not self.groups:
            topic: Any = Row(key=SCOPE.key(Kind.TOPIC, TOPIC), desired=TopicDesired(TOPIC, 0.0))
            await self.database.change(lambda transaction: transaction.insert(topic))
        self.groups[desired.uid] = key
        if desired.transit:
            self.encrypting.add(desired.uid)
        names = [node.name for node in desired.nodes]
        row = await self.database.change(lambda transaction: transaction.insert(GroupRow(key=key, desired=desired), names))
        self.committed(row)
        self.wake(key)

    async def begin_group(self, desired: GroupDesired, name: str) -> None:
        """With two clients for each of its shards."""
        await self.create(desired, name)
        for shard in desired.shards if desired.shape is not Shape.MEMCACHED else ():
            slots = tuple(slot for slot in WRITTEN if has(mask_of(shard.slots), slot)) or (0,)
            self.write_to(desired.uid, shard, slots, 0.05, 0.5)
            self.write_to(desired.uid, shard, slots, 0.15, 60.0)

    async def row(self, uid: str) -> GroupRow | None:
        found: GroupRow | None = await self.database.run(self.database.inner.get(self.groups[uid]))
        return found

    def endpoint(self, uid: str, role: EndpointRole) -> str:
        row = self.checkers.rows.get(uid)
        return row.memory.endpoints.get(role, "") if row is not None and row.memory.provisioned else ""

    def next_write(self, slot: int) -> int:
        self._writes += 1
        return write_number(self._writes, slot)

    def write_to(self, uid: str, shard: DesiredShard, slots: tuple[int, ...], interval_s: float, patience_s: float) -> None:
        """A client that begins with the slots of that shard."""
        known = Client(self.next_write, self.checkers.acked, interval_s, patience_s)
        ways = lambda: self.ways(uid)  # noqa: E731
        if shard.slots:
            seeds = lambda: self.addresses(uid)  # noqa: E731
            self.writers.append(ClusterWriter(self.network, self._writer_chance, ways, known, seeds, slots))
        else:
            where = lambda: self.endpoint(uid, EndpointRole.PRIMARY)  # noqa: E731
            self.writers.append(Writer(self.network, self._writer_chance, ways, known, where))

    def ways(self, uid: str) -> tuple[tuple[int, bool], ...]:
        """Ports, and whether with TLS, that clients of the group try: more than one since it has been asked for TLS."""
        return WAYS if uid in self.encrypting else WAYS[:1]

    def addresses(self, uid: str) -> list[str]:
        """Of all nodes, once clients know of them."""
        row = self.checkers.rows.get(uid)
        return [node.address for node in row.memory.nodes.values()] if row is not None and row.memory.provisioned else []
