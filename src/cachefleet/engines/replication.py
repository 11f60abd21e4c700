"""The verbs of cluster mode disabled: who is primary, who follows, with which addresses.

Each verb is idempotent and sends what belongs together in one write, which the engine carries out without anything in between.
Called by ValkeyDriver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cachefleet.engines.connection import Command
from cachefleet.engines.connections import Connections
from cachefleet.engines.listening import GET_BIND, bound_at, bound_in, change
from cachefleet.engines.replies import parse_config, parse_fields
from cachefleet.model.observed import Address

# A node that waits for a role answers no reads and logs little (valkey_config); with a role it does as ElastiCache does, and
# no hand-over that was begun and never finished keeps its clients waiting.
SETTLED: tuple[Command, ...] = (
    ("CONFIG", "SET", "replica-serve-stale-data", "yes"),
    ("CONFIG", "SET", "loglevel", "notice"),
    ("CLIENT", "UNPAUSE"),
)


class ReplicationVerbs:
    """A node is named by its own address; connections are made to that address only."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def promote(self, at: Address, bind: Sequence[str]) -> None:
        """REPLICAOF NO ONE, then the addresses (the other way round would lead writers to a replica), in one write."""
        bound = await bound_at(self._connections, at)
        await change(self._connections, at, bound, bind, first=(("REPLICAOF", "NO", "ONE"), *SETTLED))

    async def follow(self, at: Address, primary: Address, bind: Sequence[str]) -> None:
        """Give up addresses and end the connections that came through them, then REPLICAOF; new addresses at the very end."""
        info, reply = await self._connections.call(at, ("INFO", "replication"), GET_BIND)
        bound = bound_in(self._connections, at, reply)
        kept = [name for name in bound if name in bind]
        await change(self._connections, at, bound, kept)
        if not _follows(parse_fields(info), primary):
            await self._connections.call(at, *replicate_from(at, primary), *SETTLED)
        await change(self._connections, at, [at.host, *kept], bind)

    async def raise_replica_buffers(self, at: Address, size_bytes: int) -> None:
        """The hard limit, and the soft one with it: a replica that catches up slowly catches up. 0 is no limit at all."""
        name = "client-output-buffer-limit"
        (reply,) = await self._connections.call(at, ("CONFIG", "GET", name))
        words = parse_config(reply).get(name, "").split()  # four for each class of clients
        hard = next((int(words[place + 1]) for place in range(0, len(words), 4) if words[place] in ("slave", "replica")), 0)
        if 0 < hard < size_bytes:
            await self._connections.call(at, ("CONFIG", "SET", name, f"replica {size_bytes} {size_bytes} 60"))

    async def set_parameters(self, at: Address, values: Mapping[str, str]) -> None:
        """All or nothing where the engine can do that; one after another on Redis 6.2."""
        if not values:
            return
        identity = await self._connections.identity(at)
        if "config-many" in identity.capabilities:
            flat = [word for pair in values.items() for word in pair]
            await self._connections.call(at, ("CONFIG", "SET", *flat))
        else:
            await self._connections.call(at, *(("CONFIG", "SET", name, value) for name, value in values.items()))


def replicate_from(at: Address, primary: Address) -> tuple[Command, ...]:
    """With TLS where the group's nodes reach each other so."""
    encrypt = (("CONFIG", "SET", "tls-replication", "yes" if at.encrypted_links else "no"),) if at.transit else ()
    return *encrypt, ("REPLICAOF", primary.host, str(primary.link_port))


def _follows(info: Mapping[str, str], primary: Address) -> bool:
    return (
        info.get("role") == "slave"
        and info.get("master_host") == primary.host
        and info.get("master_port") == str(primary.link_port)
    )
