"""Reads the replies of Valkey and Redis into observed views. Pure, and tolerant of every version from 6.2 on.

Knows field names, not connections. Called by ValkeyDriver and the verbs.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cachefleet.engines.capabilities import capabilities
from cachefleet.engines.slot_replies import parse_open_slots, parse_slots
from cachefleet.engines.valkey_config import CONFIG_FILE
from cachefleet.model.group import Engine
from cachefleet.model.observed import ClusterNodeView, ClusterView, NodeView, OpenSlot, SlotMigrationView

_DATABASE = re.compile(r"db[0-9]+")
_OTHER_DATABASE = re.compile(r"db[1-9][0-9]*")
IAM_MODULE = "cachefleet-iam"  # engines/iam_module/module.c
_LONGEST_LAG_S = 3  # whole seconds


class Identity(msgspec.Struct, frozen=True):
    """Who answers at an address: constant for the life of its process."""

    engine: Engine
    version: str
    incarnation: str  # name of the folder that holds its engine.conf; "" when it was started otherwise
    pid: int
    capabilities: frozenset[str]
    checks_tokens: bool = False  # it has our IAM module


def parse_fields(text: str) -> dict[str, str]:
    """`name:value` lines of INFO or CLUSTER INFO; headings and empty lines are passed over."""
    fields = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            fields[name] = value
    return fields


def parse_identity(info: Mapping[str, str]) -> Identity:
    """From the fields of INFO server."""
    engine = Engine.VALKEY if "valkey_version" in info else Engine.REDIS
    version = info.get("valkey_version") or info.get("redis_version", "")
    folder, name = posixpath.split(info.get("config_file", ""))
    return Identity(
        engine=engine,
        version=version,
        incarnation=posixpath.basename(folder) if name == CONFIG_FILE else "",
        pid=_number(info.get("process_id", "")),
        capabilities=capabilities(engine, version),
    )


def has_iam_module(modules: str) -> bool:
    """INFO modules lists them: `module:name=...`."""
    return any(line.startswith(f"module:name={IAM_MODULE},") for line in modules.splitlines())


def parse_config(reply: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """CONFIG GET: a flat list of names and values (RESP2) or a mapping (RESP3)."""
    if isinstance(reply, Mapping):
        return dict(reply)
    return dict(zip(reply[::2], reply[1::2], strict=False))


def parse_node(
    identity: Identity, info: Mapping[str, str], bound: Sequence[str] = (), cluster: ClusterView | None = None
) -> NodeView:
    """From the fields of INFO replication, persistence, stats and memory, and CONFIG GET bind."""
    primary = info.get("role") == "master"
    link_up = info.get("master_link_status") == "up"
    loading = info.get("loading", "0") != "0"
    syncing = info.get("master_sync_in_progress", "0") != "0"
    follows = "" if primary or info.get("master_port") == "0" else info.get("master_host", "")
    return NodeView(
        reachable=True,
        why="loading data" if loading else "",
        incarnation=identity.incarnation,
        pid=identity.pid,
        version=identity.version,
        primary=primary,
        loading=loading,
        has_child=info.get("rdb_bgsave_in_progress", "0") != "0",
        offset=_offset(info, primary),
        history=info.get("master_replid", ""),
        link_up=link_up and not primary,
        link_down_s=-1 if primary or link_up else _number(info.get("master_link_down_since_seconds", "-1"), -1),
        heard_s=-1 if primary or not link_up else _number(info.get("master_last_io_seconds_ago", "-1"), -1),
        syncing=syncing and not primary,
        follows=follows,
        follows_port=_number(info.get("master_port", "0")) if follows else 0,
        streams_to=_streams_to(identity, info) if primary else (),
        full_syncs=_number(info.get("sync_full", "-1"), -1) if primary else -1,
        bound=tuple(bound),
        other_databases=any(_OTHER_DATABASE.fullmatch(name) for name in info),
        stream_errors=0 if primary else _number(info.get("unexpected_error_replies", "0")),
        used_bytes=_number(info.get("used_memory", "-1"), -1),
        keys=key_count(info),
        loaded_keys=_loaded_keys(info),
        libraries=_number(info.get("number_of_libraries", "0")),
        maxmemory_bytes=_number(info.get("maxmemory", "-1"), -1),
        cluster=cluster,
    )


def key_count(keyspace: Mapping[str, str]) -> int:
    """In all databases, by the fields of INFO keyspace: `db0:keys=...`."""
    databases = (value for name, value in keyspace.items() if _DATABASE.fullmatch(name))
    return sum(int(value.partition("keys=")[2].partition(",")[0]) for value in databases)


def _loaded_keys(info: Mapping[str, str]) -> int:
    """-1 where the engine does not tell (Redis before 7)."""
    kept, expired = (_number(info.get(f"rdb_last_load_keys_{what}", "-1"), -1) for what in ("loaded", "expired"))
    return kept + expired if kept >= 0 else -1


def has_other_databases(keyspace: str) -> bool:
    """INFO keyspace lists databases that have keys: `db0:keys=...`."""
    return any(_OTHER_DATABASE.fullmatch(name) for name in parse_fields(keyspace))


def _streams_to(identity: Identity, info: Mapping[str, str]) -> tuple[str, ...]:
    """`slave0:ip=...,port=...,state=online,offset=...,lag=...`: a replica that has the data gets the stream only after its
    first acknowledgement, up to a second later, unless it was synchronised over two channels. Until then its offset is 0.
    One that has not acknowledged for a while (it does so once a second) does not get what is sent."""
    hosts = []
    for name, value in info.items():
        if name.startswith("slave") and name[5:].isdigit():
            fields = dict(pair.split("=", 1) for pair in value.split(",") if "=" in pair)
            acknowledged = "dual-channel" in identity.capabilities or _number(fields.get("offset")) > 0
            if fields.get("state") == "online" and acknowledged and _number(fields.get("lag")) <= _LONGEST_LAG_S:
                hosts.append(fields.get("ip", ""))
    return tuple(sorted(hosts))


def _offset(info: Mapping[str, str], primary: bool) -> int:
    """Of the stream that a primary writes or a replica has applied; -1 for a replica that has never had any data: the engine
    says 1 then, while a stream's offsets begin with 0 and go on with whole commands."""
    if primary:
        return _number(info.get("master_repl_offset", "0"))
    applied = _number(info.get("slave_repl_offset", "0"))
    return -1 if applied == 1 else applied


def parse_cluster(nodes: str, info: Mapping[str, str], migrations: tuple[SlotMigrationView, ...] = ()) -> ClusterView:
    """From CLUSTER NODES and the fields of CLUSTER INFO; what is on its way comes from slot_replies."""
    my_id = ""
    open_slots: tuple[OpenSlot, ...] = ()
    views = {}
    for line in nodes.splitlines():
        words = line.split(" ")
        if len(words) < 8:
            continue
        flags = words[2].split(",")
        if "myself" in flags:
            my_id = words[0]
            open_slots = parse_open_slots(words[8:])
        views[words[0]] = _cluster_node(words, flags)
    return ClusterView(
        my_id=my_id,
        ok=info.get("cluster_state") == "ok",
        current_epoch=_number(info.get("cluster_current_epoch", "0")),
        nodes=views,
        migrations=migrations,
        open_slots=open_slots,
    )


def _cluster_node(words: Sequence[str], flags: Sequence[str]) -> ClusterNodeView:
    """`<id> <ip:port@bus[,hostname...]> <flags> <primary> <ping> <pong> <epoch> <link> <slots>...`"""
    host, _, port = words[1].partition("@")[0].rpartition(":")
    return ClusterNodeView(
        engine_id=words[0],
        host=host,
        primary="master" in flags,
        primary_id="" if words[3] == "-" else words[3],
        failed="fail" in flags,
        suspected="fail?" in flags,
        handshake="handshake" in flags,
        link_up=words[7] == "connected",
        port=_number(port),
        epoch=_number(words[6]),
        slots=parse_slots(words[8:]),
    )


def _number(text: Any, fallback: int = 0) -> int:
    try:
        return int(text)
    except (TypeError, ValueError):
        return fallback
