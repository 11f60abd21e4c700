"""Whether a group is as it ought to be once everything is healed: available, every node in its role, endpoints leading to the
right node. Looks at the engines themselves, not at what is said of them."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from cachefleet.control.specs import data_bytes, effective_parameters, group_node_type
from cachefleet.engines.valkey_directives import BUFFER_LIMIT, buffer_limits, directives, parameters_of
from cachefleet.engines.valkey_parameters import _MODIFIABLE
from cachefleet.model.group import IN_SYNC, DesiredShard, EndpointRole, Form, Shape
from cachefleet.model.row import GroupRow
from cachefleet.model.transit import plain_port, tls_port
from cachefleet.planning.memcached import DISCOVERY
from tests.simulation.cluster import ClusterEngine
from tests.simulation.engine import Engine
from tests.simulation.memcached import published
from tests.simulation.operators import BY_HAND
from tests.simulation.rolls import named
from tests.simulation.slots import ALL, mask_of, within
from tests.simulation.world import PORT, World


def why_not(world: World, uid: str, row: GroupRow | None) -> str:
    """ "" when it is."""
    running = [process for process in world.machine.running() if process.incarnation.startswith(f"{uid}.")]
    if row is None or row.status.state == "create-failed":
        return f"{len(running)} processes of a group that is no more" if running else ""
    if row.desired.deleting:
        return "it is being deleted"
    if row.status.state != "available":
        return f"it is {row.status.state}: {row.status.why}"
    for node in row.desired.nodes:
        state = row.status.nodes[node.name].state
        if state != "available":
            return f"{node.name} is {state}: {row.status.nodes[node.name].why}"
    why = _made_otherwise(world, uid, row)
    if why:
        return why
    if row.desired.shape is Shape.REPLICATED:
        return _replicated(world, uid, row)
    return _clustered(world, uid, row) if row.desired.shape is Shape.CLUSTERED else _memcached(world, uid, row)


def _made_otherwise(world: World, uid: str, row: GroupRow) -> str:
    """Nodes that are not as they were asked for, and processes of those that were not."""
    desired = row.desired
    names = {node.name for node in desired.nodes}
    for process in world.machine.running():
        known_uid, name = named(process.incarnation)
        if known_uid == uid and name not in names and (desired.shape is not Shape.MEMCACHED or not name.endswith(DISCOVERY)):
            return f"{name} runs, which is no node of the group"
    clustered, config = desired.shape is Shape.CLUSTERED, bool(desired.config)
    form = Form(desired.engine, desired.engine_version, desired.port, clustered, desired.transit, config=config)
    own = world.parameters.get(desired.parameter_group, {})
    size_bytes = data_bytes(desired, {}, own)
    asked = effective_parameters(desired, group_node_type(desired, {}), own)
    for name in names if desired.shape is not Shape.MEMCACHED else ():
        engine = _engine(world, uid, name)
        version = _version(row, name)
        if engine is None or (engine.build.engine, engine.build.version) != (desired.engine, version):
            return f"{name} is not of the group's engine"
        if row.memory.nodes[name].form != replace(form, version=version):
            return f"{name} is said to be of another form"
        if engine.config["maxmemory"] != str(size_bytes):
            return f"{name} has not the memory of its node type"
        missing = _missing_parameters(engine, asked)
        if desired.config == "set":  # where clients may set some, nothing is set back
            missing = [name for name in missing if BY_HAND not in name]
        if missing or row.status.nodes[name].parameters != IN_SYNC:
            return f"{name} has not the parameters of its group: {missing}"
        why = _encrypted_otherwise(world, row, engine)
        if why:
            return f"{name} {why}"
    return ""


def _version(row: GroupRow, name: str) -> str:
    """Of its engine, as asked for; where an update was stopped, also an older one, but for replicas of newer primaries."""
    asked, form = row.desired.update, row.memory.nodes[name].form
    if asked is None or not asked.stopped_at or asked.version != row.desired.engine_version or form is None:
        return row.desired.engine_version
    shard = next(shard for shard in row.desired.shards if any(node.name == name for node in shard.nodes))
    primary = row.memory.nodes.get(row.memory.shards[shard.shard_id].primary)
    leads = primary.form if primary is not None else None
    return form.version if leads is not None and leads.version <= form.version else row.desired.engine_version


def _missing_parameters(engine: Engine, asked: Mapping[str, str]) -> list[str]:
    """Of those that a parameter group may change."""
    limits = engine.config[BUFFER_LIMIT].split()
    told = {
        **engine.config,
        **{f"limits of {limits[at]}": " ".join(limits[at + 1 : at + 4]) for at in range(0, len(limits), 4)},
    }
    said = directives(asked, engine.build.capabilities)
    wanted = {name: " ".join(words) for name, *words in said if _MODIFIABLE.intersection(parameters_of(name))}
    for _, kind, *words in buffer_limits(asked, int(engine.config["maxmemory"])):
        wanted |= {f"limits of {kind}": " ".join(words)} if kind != "replica" else {}  # which may have more for a while
    return [f"{name} is {told.get(name)}, not {value}" for name, value in wanted.items() if told.get(name) != value]


def _encrypted_otherwise(world: World, row: GroupRow, engine: Engine) -> str:
    """Its ports, how it reaches the others, and what it shows."""
    desired = row.desired
    expected = {plain_port(desired.transit, PORT): False, tls_port(desired.transit, PORT): True}
    expected.pop(0, None)
    if engine.process.ports != expected:
        return f"listens on {engine.process.ports}"
    if not desired.transit:
        return ""
    if not engine.transit.replicates_encrypted and (engine.is_clustered or engine.replication.follows):
        return "replicates without TLS"
    if engine.is_clustered and not engine.transit.gossips_encrypted:
        return "speaks with the others without TLS"
    shown = engine.transit.shown
    if shown["series"] != world.certificates.series:
        return "shows an old certificate"
    missing = {engine.host, *row.memory.endpoints.values()} - set(shown["addresses"])
    return f"shows a certificate without {sorted(missing)}" if missing else ""


def _engine(world: World, uid: str, node: str) -> Engine | None:
    """Of the only process that the node has."""
    processes = world.machine.of_node(uid, node)
    return world.engines[processes[0].incarnation] if len(processes) == 1 else None


def _replicated(world: World, uid: str, row: GroupRow) -> str:
    name = row.memory.shards["0001"].primary
    primary = _engine(world, uid, name)
    if primary is None or not primary.writable:
        return f"{name} is no writable primary"
    replicas = []
    for node in row.desired.nodes:
        engine = _engine(world, uid, node.name)
        if engine is None:
            return f"{node.name} has not exactly one process"
        if engine is not primary:
            replicas.append(engine)
            state = engine.replication
            if state.primary or state.follows != primary.host or state.state != "up":
                return f"{node.name} does not follow {name}"
    return _endpoints(world, row, primary, replicas)


def _endpoints(world: World, row: GroupRow, primary: Engine, replicas: list[Engine]) -> str:
    holders = {role: world.network.listener(address, PORT) for role, address in row.memory.endpoints.items()}
    if holders.get(EndpointRole.PRIMARY) is not primary.process:
        return "the primary endpoint does not lead to the primary"
    readers = [replica.process for replica in replicas] or [primary.process]
    if holders.get(EndpointRole.READER) not in readers:
        return "the reader endpoint does not lead to a reader"
    bound = {host for engine in (primary, *replicas) for host in engine.process.listens if host != engine.host}
    return "" if bound == set(row.memory.endpoints.values()) else "somebody listens where nobody should"


def _clustered(world: World, uid: str, row: GroupRow) -> str:
    engines = {node.name: _engine(world, uid, node.name) for node in row.desired.nodes}
    members = {name: engine for name, engine in engines.items() if isinstance(engine, ClusterEngine)}
    if len(members) < len(engines):
        return "a node has not exactly one process"
    identities = {engine.bus.me.engine_id for engine in members.values()}
    for name, engine in members.items():
        known = set(engine.bus.table)
        if known != identities:
            return (
                f"{name} knows {len(known - identities)} nodes that are not there, and not {len(identities - known)} that are"
            )
        if not engine.bus.ok or any(peer.failed or peer.suspected for peer in engine.bus.others()):
            return f"{name} does not think that all is well"
    for shard in row.desired.shards:
        why = _shard(members, shard, row.memory.shards[shard.shard_id].primary)
        if why:
            return why
    holder = world.network.listener(row.memory.endpoints[EndpointRole.CONFIGURATION], PORT)
    return "" if holder in [engine.process for engine in members.values()] else "the endpoint leads nowhere"


def _shard(members: dict[str, ClusterEngine], shard: DesiredShard, name: str) -> str:
    primary = members[name]
    if primary.bus.me.slots != mask_of(shard.slots) or not primary.writable:
        return f"{name} does not serve the slots of {shard.shard_id}"
    for engine in members.values():
        known = engine.bus.table.get(primary.bus.me.engine_id)
        if known is None or known.slots != primary.bus.me.slots:
            return f"{engine.host} has another opinion on who serves {shard.shard_id}"
        # A replica that was told of marks keeps them when its primary succeeds without; nobody can take them from a replica.
        if engine.replication.primary and engine.open_slots.text():
            return f"{engine.host} has open slots:{engine.open_slots.text()}"
    for node in shard.nodes:
        state = members[node.name].replication
        if node.name != name and (state.primary or state.follows != primary.host or state.state != "up"):
            return f"{node.name} does not replicate {name}"
    return ""


def _memcached(world: World, uid: str, row: GroupRow) -> str:
    for node in row.desired.nodes:
        if len(world.machine.of_node(uid, node.name)) != 1:
            return f"{node.name} has not exactly one process"
    endpoints = [name for name in row.memory.nodes if name not in [node.name for node in row.desired.nodes]]
    running = [process for name in endpoints for process in world.machine.of_node(uid, name)]
    if len(running) != 1:
        return "the endpoint has not exactly one process"
    _, nodes = published(world.machine.files[running[0].incarnation]["nodes.json"])
    wanted = sorted((row.memory.nodes[node.name].address, PORT) for node in row.desired.nodes)
    return "" if nodes == wanted else f"the endpoint tells of {nodes}"


def data_differ(world: World, uid: str, row: GroupRow) -> str:
    """Once nobody writes any more: every replica has what its primary has, and all of them together what was not lost before,
    each write once, where its slot is."""
    for shard in row.desired.shards:
        primary = _engine(world, uid, row.memory.shards[shard.shard_id].primary)
        if primary is None:
            return f"{shard.shard_id} has no primary"
        mine = mask_of(shard.slots) if shard.slots else ALL
        missing = {
            w for (known, _), ledger in world.checkers.ledgers.items() if known == uid for w in within(ledger.held, mine)
        }
        missing -= primary.replication.data
        if missing:
            return (
                f"{len(missing)} acknowledged writes of {shard.shard_id} are gone, and nobody knows why: {sorted(missing)[:3]}"
            )
        strange = within(primary.replication.data, ALL & ~mine)
        if strange:
            return f"{primary.host} has {len(strange)} keys that belong to other shards: {sorted(strange)[:3]}"
        for node in shard.nodes:
            engine = _engine(world, uid, node.name)
            if engine is None or engine.replication.data != primary.replication.data:
                return f"{node.name} has not the data of its primary"
    return ""
