"""The table (nodes.conf) with which a cluster node starts that is to replicate from a primary without cluster mode. Pure.

A cluster node cannot be told to follow a node outside its cluster, but what its table says at its start it believes: here,
that it is a replica of a stand-in, a made-up cluster node at that primary's address which owns all slots. Replication speaks
the same protocol with cluster mode and without. The stand-in's cluster bus never answers, which is why such a node waits
without end before it misses anybody: it must neither suspect the stand-in (the cluster would be down for it, and for a while
after its promotion) nor stand for election. Called by valkey_config; engines.mode_change ends all this.
"""

from __future__ import annotations

import hashlib

from cachefleet.engine_interfaces import NodeSpec
from cachefleet.model.group import SLOTS, stand_in
from cachefleet.model.observed import Address

ENDLESS_MS = 30 * 86_400_000
TABLE_FILE = "nodes.conf"


def table(spec: NodeSpec, primary: Address, bus_port: int, shard_ids: bool) -> str:
    """The id of the node is derived from its incarnation, and so never used again."""
    uid = spec.incarnation.partition(".")[0]
    shard = f",,shard-id={_digest(f'{uid} shard')}" if shard_ids else ""
    primary_id = stand_in(uid, primary.host)
    own, other = (f"{at.host}:{at.link_port}@{bus_port}{shard}" for at in (spec.address, primary))
    return (
        f"{_digest(spec.incarnation)} {own} myself,slave {primary_id} 0 0 1 connected\n"
        f"{primary_id} {other} master - 0 0 1 connected 0-{SLOTS - 1}\n"
        "vars currentEpoch 1 lastVoteEpoch 0\n"
    )


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
