"""Renders the configuration file of one Valkey or Redis incarnation. Pure: a NodeSpec in, text out.

What a node does before the control loop has spoken to it is decided here (architecture, invariant 1). Writes no file and starts
nothing. Called by ValkeyDriver.render.
"""

from __future__ import annotations

import posixpath
import zlib
from collections.abc import Iterator, Set

from cachefleet.access_interfaces import Passwords
from cachefleet.engine_interfaces import SEED_PIPE, Build, EngineRefused, NodeSpec, Rendering
from cachefleet.engines import access
from cachefleet.engines.clients_parameters import CLIENTS_MODULE, MODULE_PARAMETERS
from cachefleet.engines.stand_ins import ENDLESS_MS, TABLE_FILE, table
from cachefleet.engines.valkey_directives import buffer_limits, directives
from cachefleet.model import transit
from cachefleet.model.config_access import COMMAND_FILTERS
from cachefleet.model.observed import Address
from cachefleet.model.transit import NodeCertificate

CONFIG_FILE = "engine.conf"
LOG_FILE = "engine.log"
CERTIFICATE, CERTIFICATE_KEY, AUTHORITIES = "node.crt", "node.key", "ca.crt"
CERTIFICATE_FILES = {"tls-cert-file": CERTIFICATE, "tls-key-file": CERTIFICATE_KEY, "tls-ca-cert-file": AUTHORITIES}
TLS_PROTOCOLS = "TLSv1.2 TLSv1.3"
BUS_OFFSET = 10_000
MAX_CLUSTER_PORT = 65_535 - BUS_OFFSET
FIRST_BUS_PORT, LAST_BUS_PORT = 20_000, 32_767  # below the ports that Linux takes for outgoing connections
NODE_TIMEOUT_MS_PER_NODE = 100

Directive = tuple[str, ...]


def render(spec: NodeSpec, build: Build, folder: str, node_timeout_ms: int, passwords: Passwords | None = None) -> Rendering:
    """argv and the configuration file for one launch. passwords: None where anybody may do everything.

    Raises EngineRefused for a cluster port above 55535."""
    if spec.clustered and spec.address.port > MAX_CLUSTER_PORT:
        raise EngineRefused(
            f"port {spec.address.port} cannot be used with cluster mode: the cluster bus listens on port + {BUS_OFFSET}, "
            f"so the port must be at most {MAX_CLUSTER_PORT}"
        )
    node_timeout_ms = cluster_node_timeout_ms(spec, node_timeout_ms)
    lines = [*_process(spec, build, folder), *_memory(spec), *_persistence(spec)]
    lines += _cluster(spec, build.capabilities, node_timeout_ms) if spec.clustered else _role(spec)
    capabilities = build.capabilities
    if spec.clients_module and MODULE_PARAMETERS in capabilities:
        lines.append(("loadmodule", spec.clients_module))
        capabilities |= {CLIENTS_MODULE}
    lines += directives(spec.parameters, capabilities)
    if spec.config_module and COMMAND_FILTERS in capabilities:
        lines.append(("loadmodule", spec.config_module))
        capabilities |= {access.CONFIG_MODULE}
    if spec.trace_module:
        lines.append(("loadmodule", spec.trace_module))
    if spec.iam_module and "auth-callback" in build.capabilities:
        lines.append(("loadmodule", spec.iam_module, *(user.name for user in spec.users if user.iam)))
    if passwords is not None:
        own = passwords.controller(spec.incarnation), passwords.peer(spec.incarnation)
        lines += access.directives(spec.users, *own, capabilities)
    path = posixpath.join(folder, CONFIG_FILE)
    text = "".join(" ".join(_quoted(word) for word in line) + "\n" for line in lines)
    files = {CONFIG_FILE: text.encode()}
    if spec.certificate is not None and spec.address.transit:
        files |= certificate_files(spec.certificate)
    if spec.clustered and spec.follow is not None:
        files[TABLE_FILE] = table(spec, spec.follow, bus_port(spec), "shard-ids" in build.capabilities).encode()
    return Rendering(argv=(build.binary, path), files=files, pipes=(SEED_PIPE,) if spec.seeded else ())


FEED_NOBODY_S = "3600"
# What a job may still have to send when it stops the writers: by default nothing, so that it may never end under a stream of
# writes; this much takes some 20 ms.
MIGRATION_TAIL_BYTES = "1048576"
MIGRATION_LOG_LENGTH = "32"  # ended jobs that every probe lists


def waiting(host: str) -> Address:
    """The primary of a node that waits for its role: port 0 of itself, where nothing can ever listen."""
    return Address(host, 0)


def _process(spec: NodeSpec, build: Build, folder: str) -> Iterator[Directive]:
    yield "bind", *dict.fromkeys((spec.address.host, *spec.bind))
    yield from _ports(spec, folder)
    yield "protected-mode", "no"  # who may connect is decided by address and, later, by users
    yield "daemonize", "no"
    if "set-proc-title" in build.capabilities:
        yield "set-proc-title", "no"  # the host recognises its processes by their argv
    yield "dir", folder
    yield "logfile", posixpath.join(folder, LOG_FILE)
    if "availability-zone" in build.capabilities and spec.zone:
        yield "availability-zone", spec.zone
    if "io-threads-async" in build.capabilities and spec.threads > 2:
        yield "io-threads", str(spec.threads - 1)  # one core is left for the rest of the engine
    if "dual-channel" in build.capabilities:
        # Writes during a full sync wait at the replica, not in the primary's buffers (operations 8, story 14); and a replica
        # gets the stream as soon as it has the data, where it otherwise waits up to a second for its first acknowledgement.
        yield "dual-channel-replication-enabled", "yes"


def _ports(spec: NodeSpec, folder: str) -> Iterator[Directive]:
    """Raises EngineRefused for TLS without a certificate."""
    at = spec.address
    yield "port", str(transit.plain_port(at.transit, at.port))
    if not at.transit:
        return
    if spec.certificate is None:
        raise EngineRefused(f"{spec.name} has no certificate, so it cannot be started with TLS")
    yield "tls-port", str(at.tls_port)
    for directive, name in CERTIFICATE_FILES.items():
        yield directive, posixpath.join(folder, name)
    yield "tls-auth-clients", "no"  # they show who they are as users
    yield "tls-protocols", TLS_PROTOCOLS
    yield "tls-ciphers", transit.CIPHERS
    links = "yes" if at.encrypted_links else "no"
    yield "tls-replication", links
    yield "tls-cluster", links


def certificate_files(certificate: NodeCertificate) -> dict[str, bytes]:
    """By name in the folder of the launch."""
    return {CERTIFICATE: certificate.certificate, CERTIFICATE_KEY: certificate.key, AUTHORITIES: certificate.authorities}


def _memory(spec: NodeSpec) -> Iterator[Directive]:
    yield "maxmemory", str(spec.maxmemory_bytes)
    yield from buffer_limits(spec.parameters, spec.maxmemory_bytes)


def memory_parameters(spec: NodeSpec) -> dict[str, str]:
    """What a running node is told for another size; the limit of replicas' buffers follows from it."""
    limits = (words[1:] for words in buffer_limits(spec.parameters, spec.maxmemory_bytes))
    return {
        "maxmemory": str(spec.maxmemory_bytes),
        "client-output-buffer-limit": " ".join(word for words in limits for word in words),
    }


def _persistence(spec: NodeSpec) -> Iterator[Directive]:
    """Nothing on disk: no snapshots, no append-only file, replication straight from memory to socket.

    A replica that holds data keeps what it has until the new data are complete: these are in a temporary file meanwhile, or
    (memory_only) beside the others in memory."""
    yield "save", ""
    yield "appendonly", "no"
    yield "stop-writes-on-bgsave-error", "no"
    yield "rdb-del-sync-files", "yes"
    yield "repl-diskless-sync", "yes"
    # In cluster mode a node is a primary from its start on, empty, at the address of who was there before: replicas that still
    # call there must get nothing until it has a role (engines.cluster).
    yield "repl-diskless-sync-delay", FEED_NOBODY_S if spec.clustered else "0"
    yield "repl-diskless-load", "swapdb" if spec.memory_only else "on-empty-db"
    # Primaries list their replicas by address: on one machine all of them connect from the same one.
    yield "replica-announce-ip", spec.address.host
    yield "repl-ping-replica-period", "1"


def _role(spec: NodeSpec) -> Iterator[Directive]:
    """Cluster mode disabled: a node starts as a replica, always.

    With nobody to follow it follows port 0 of its own address: it refuses writes, refuses its own replicas' requests to
    synchronise, reports its link as down, and answers reads with MASTERDOWN. It tries once a second, hence the log level: one
    line a second and only until it is given a role; promote and follow set both back.
    """
    if spec.follow is not None:
        yield "replicaof", spec.follow.host, str(spec.follow.link_port)
        yield "replica-serve-stale-data", "yes"
        return
    nobody = waiting(spec.address.host)
    yield "replicaof", nobody.host, str(nobody.port)
    yield "replica-serve-stale-data", "no"
    yield "loglevel", "warning"


def _cluster(spec: NodeSpec, capabilities: Set[str], node_timeout_ms: int) -> Iterator[Directive]:
    """Cluster mode: a node starts in an empty folder, so with a new id and without slots; it serves nothing until it is given
    some (one that is to follow a primary without cluster mode: see stand_ins). Replicas do not migrate between shards by
    themselves."""
    yield "cluster-enabled", "yes"
    yield "cluster-config-file", TABLE_FILE
    yield "cluster-node-timeout", str(node_timeout_ms if spec.follow is None else ENDLESS_MS)
    yield "cluster-announce-ip", spec.address.host
    if "cluster-port" in capabilities:
        yield "cluster-port", str(bus_port(spec))
    if "replica-migration-switch" in capabilities:
        yield "cluster-allow-replica-migration", "no"
    else:
        yield "cluster-migration-barrier", "1000"
    if "manual-failover-timeout" in capabilities:
        # For so long a primary holds writers back for an heir that died; a hand-over takes a tenth of that.
        yield "cluster-manual-failover-timeout", "1500"
    if "atomic-slot-migration" in capabilities:
        yield "cluster-slot-migration-log-max-len", MIGRATION_LOG_LENGTH
        yield "slot-migration-max-failover-repl-bytes", MIGRATION_TAIL_BYTES
    if "config-save-behavior" in capabilities:
        yield "cluster-config-save-behavior", "best-effort"  # a full disk must not end a cache (operations 8, story 12)


def cluster_node_timeout_ms(spec: NodeSpec, least_ms: int) -> int:
    """Every node hears of every other within half of it; beyond some twenty nodes that gossip would eat the machine."""
    return max(least_ms, NODE_TIMEOUT_MS_PER_NODE * spec.cluster_nodes)


def bus_port(spec: NodeSpec) -> int:
    """One for all nodes of a group, and seldom that of another group: CLUSTER MEET with a mere address, or an old record of an
    address that was given to another group since, does not reach that group's bus. Two groups that meet become one, and
    lose data at once (operations 8, story 6)."""
    uid = spec.incarnation.partition(".")[0]
    ports = [
        port
        for port in range(FIRST_BUS_PORT, LAST_BUS_PORT + 1)
        if port not in (spec.address.port, spec.address.port + BUS_OFFSET)
    ]
    chosen = zlib.crc32(uid.encode()) % len(ports)
    # What listens on the next port while TLS is preferred is not known beforehand.
    return ports[(chosen + (ports[chosen] == spec.address.port + 1)) % len(ports)]


def _quoted(word: str) -> str:
    if word and all(character.isalnum() or character in "-_./:,*+%@" for character in word):
        return word
    escaped = "".join(
        character if character.isprintable() and character not in '"\\' else _escape(character) for character in word
    )
    return f'"{escaped}"'


def _escape(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode())
