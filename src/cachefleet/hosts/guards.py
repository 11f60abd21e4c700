"""Lets the kernel refuse new connections to addresses of nodes but from those that may: one nftables table per installation.

A connection of the installation itself (its service, its engines, its workers) is known by a group id of the operating system
that no other process has, and always let through. Knows nothing of security groups. Called by LocalHost.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache, partial
from ipaddress import IPv4Address, IPv4Network, collapse_addresses, summarize_address_range
from typing import Any

from cachefleet.hosts.kernel_table import KernelTable, without
from cachefleet.interfaces import Permit, always
from cachefleet.model.guard import Guard, Opening

_GROUPS = 60_600  # and N: between what systemd gives to users and to dynamic users, below what small user namespaces have
_CHAIN = "chain output { type filter hook output priority 0; policy accept;"  # after connections were spread
_OTHER = "tcp flags & (fin | syn | rst | ack) != syn return"  # only beginnings are looked at
_EVERYWHERE = "0.0.0.0/0"
_UID = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
_PREFIX = "g_"


def group_id_of(network: int) -> int:
    return _GROUPS + network


def guard_table(network: int) -> str:
    return f"cachefleet_{network}_guard"


class Identity:
    """By what the kernel knows connections of the installation that has 127.N.0.0/16."""

    def __init__(self, network: int) -> None:
        self.network = network
        self.group_id = group_id_of(network)
        self.user_id = os.geteuid()

    @property
    def is_ours(self) -> bool:
        """Whether this process has it, and so all that it starts."""
        return os.getegid() == self.group_id

    def assume(self) -> bool:
        """Take it on, for good. False when the operating system does not let us."""
        with suppress(OSError):
            os.setregid(self.group_id, self.group_id)
        return self.is_ours


class Guards(KernelTable[str, Guard]):
    """By the uid of the group. Lives in one event loop. permit: asked before a change."""

    def __init__(self, identity: Identity, permit: Permit = always) -> None:
        super().__init__(
            guard_table(identity.network), partial(script, identity), partial(parse, identity), "of security groups", permit
        )

    async def usable(self) -> bool:
        """Whether rules such as ours can be put in place and read back."""
        opening = Opening(1, ("10.0.0.0/8", "192.0.2.1/32"))
        return await self.takes({"probe": Guard(("127.0.0.2", "127.0.0.3"), (opening, Opening(2, (_EVERYWHERE,))))})

    async def put(self, uid: str, guard: Guard | None) -> None:
        """Replace, or with None remove, what protects a group. Returns when it stands. Raises HostRefused, ValueError."""
        if not _UID.fullmatch(uid):
            raise ValueError(f"{uid!r} is not the uid of a group")
        await self.replace(uid, guard)


def script(identity: Identity, table: str, guards: Mapping[str, Guard]) -> str:
    """nft's input that leaves exactly these in the table. Pure. Raises ValueError for what is no address."""
    lines = [without(table)]
    if guards:
        lines += [f"table ip {table} {{", *(_chain(uid, guard) for uid, guard in sorted(guards.items())), _CHAIN]
        lines += [f"ip daddr != 127.{identity.network}.0.0/16 return", _OTHER, _ours(identity)]
        jumps = {str(IPv4Address(host)): uid for uid, guard in sorted(guards.items()) for host in guard.addresses}
        if jumps:
            verdicts = ", ".join(f"{host} : jump {_PREFIX}{uid}" for host, uid in jumps.items())
            lines.append(f"ip daddr vmap {{ {verdicts} }}")
        lines += ["}", "}"]
    return "\n".join(lines) + "\n"


def parse(identity: Identity, listing: str) -> dict[str, Guard]:
    """What `nft -j list table` printed, as guards; nothing of a table that does not let this installation through. Pure."""
    addresses: dict[str, list[str]] = {}
    openings: dict[str, list[Opening]] = {}
    lets_us = False
    for item in json.loads(listing)["nftables"]:
        rule = item.get("rule")
        if rule is None:
            continue
        expressions, chain = rule["expr"], rule["chain"]
        with suppress(KeyError, TypeError, ValueError, IndexError):
            if chain.startswith(_PREFIX):
                if any("accept" in part for part in expressions):
                    openings.setdefault(chain, []).append(_opening(expressions))
                continue
            known = {part["match"]["left"]["meta"]["key"]: part["match"]["right"] for part in _metas(expressions)}
            lets_us = lets_us or known == {"skuid": identity.user_id, "skgid": identity.group_id}
            for host, verdict in _jumps(expressions):
                addresses.setdefault(verdict["jump"]["target"], []).append(host)
    if not lets_us:
        return {}
    return {
        chain.removeprefix(_PREFIX): Guard(tuple(sorted(hosts)), tuple(sorted(openings.get(chain, ()))))
        for chain, hosts in addresses.items()
    }


def _ours(identity: Identity) -> str:
    return f"meta skuid {identity.user_id} meta skgid {identity.group_id} accept"


@lru_cache(maxsize=4096)  # of all groups few change at a time
def _chain(uid: str, guard: Guard) -> str:
    lines = [f"chain {_PREFIX}{uid} {{"]
    lines += [f"{_sources(opening)}tcp dport {int(opening.port)} accept" for opening in guard.openings]
    lines += ["reject with tcp reset", "}"]  # whoever may not connect is told so at once
    return "\n".join(lines)


def _sources(opening: Opening) -> str:
    if _EVERYWHERE in opening.sources:
        return ""
    return f"ip saddr {{ {', '.join(str(IPv4Network(source)) for source in opening.sources)} }} "


def _metas(expressions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [part for part in expressions if "match" in part and "meta" in part["match"]["left"]]


def _jumps(expressions: list[dict[str, Any]]) -> list[Any]:
    found: list[Any] = [pair for part in expressions if "vmap" in part for pair in part["vmap"]["data"]["set"]]
    return found


def _opening(expressions: list[dict[str, Any]]) -> Opening:
    fields = [part["match"] for part in expressions if "match" in part]
    matches = {match["left"]["payload"]["field"]: match["right"] for match in fields}
    sources = matches.get("saddr")
    if sources is None:
        return Opening(int(matches["dport"]), (_EVERYWHERE,))
    parts = sources["set"] if isinstance(sources, dict) and "set" in sources else [sources]
    networks = collapse_addresses(network for part in parts for network in _networks(part))
    return Opening(int(matches["dport"]), tuple(sorted(map(str, networks))))


def _networks(part: Any) -> list[IPv4Network]:
    if isinstance(part, str):
        return [IPv4Network(part)]
    if "prefix" in part:
        return [IPv4Network(f"{part['prefix']['addr']}/{part['prefix']['len']}")]
    first, last = part["range"]
    return list(summarize_address_range(IPv4Address(first), IPv4Address(last)))
