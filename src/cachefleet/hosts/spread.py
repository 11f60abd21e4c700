"""Lets the kernel spread new connections to an address over several others: one nftables table per installation.

Knows nothing of roles or readers. Called by LocalHost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any

from cachefleet.hosts.kernel_table import KernelTable, without
from cachefleet.interfaces import Permit, always

Rules = dict[tuple[str, int], tuple[str, ...]]  # (address, port) -> where new connections go
_CHAIN = "chain output { type nat hook output priority -100; policy accept;"
_FOLLOW = "ct state new continue"  # does nothing, but the kernel follows connections only while a rule asks about them
_BEGINS = "tcp flags & (fin | syn | rst | ack) == syn"  # never a connection under way that the kernel has not seen before


def script(table: str, rules: Mapping[tuple[str, int], Sequence[str]]) -> str:
    """nft's input that leaves exactly these rules in the table. Pure.

    Without rules a table stays that has the kernel follow connections. Would it cease to with the last rule and begin anew
    with the next, connections that were led elsewhere were reset, and others taken for closed ones of the same port."""
    lines = [without(table), f"table ip {table} {{", _CHAIN, _FOLLOW]
    lines += [_rule(address, port, targets) for (address, port), targets in sorted(rules.items())]
    return "\n".join([*lines, "}", "}"]) + "\n"


def parse(listing: str) -> Rules:
    """What `nft -j list table` printed, as rules; anything that we did not write is passed over. Pure."""
    rules: Rules = {}
    for item in json.loads(listing)["nftables"]:
        if "rule" in item:
            try:
                key, targets = _parse_rule(item["rule"]["expr"])
            except (KeyError, TypeError, ValueError, IndexError):
                continue
            rules[key] = targets
    return rules


def spread_table(network: int) -> str:
    return f"cachefleet_{network}"


class Spreader(KernelTable[tuple[str, int], tuple[str, ...]]):
    """The table of one installation. Lives in one event loop. permit: asked before a change."""

    def __init__(self, network: int, permit: Permit = always) -> None:
        super().__init__(spread_table(network), script, parse, "that spread connections", permit)

    async def usable(self) -> bool:
        """Whether rules such as ours can be put in place and read back."""
        return await self.takes({("127.0.0.2", 1): ("127.0.0.3", "127.0.0.4")})

    async def put(self, address: str, port: int, targets: Sequence[str]) -> None:
        """Replace (or with no targets: remove) one rule. Returns when it stands. Raises HostRefused, ValueError."""
        hosts = tuple(str(IPv4Address(target)) for target in targets)
        await self.replace((str(IPv4Address(address)), int(port)), hosts or None)


def _rule(address: str, port: int, targets: Sequence[str]) -> str:
    match = f"ip daddr {address} tcp dport {port} {_BEGINS}"
    if len(targets) == 1:
        return f"{match} dnat to {targets[0]}"
    choices = ", ".join(f"{number} : {target}" for number, target in enumerate(targets))
    return f"{match} dnat to numgen random mod {len(targets)} map {{ {choices} }}"


def _parse_rule(expressions: list[dict[str, Any]]) -> tuple[tuple[str, int], tuple[str, ...]]:
    fields = [part["match"] for part in expressions if "match" in part and "payload" in part["match"]["left"]]
    matches = {match["left"]["payload"]["field"]: match["right"] for match in fields}
    target = [part["dnat"]["addr"] for part in expressions if "dnat" in part][0]  # noqa: RUF015 - IndexError, not StopIteration
    targets = (target,) if isinstance(target, str) else tuple(host for _, host in target["map"]["data"]["set"])
    return (matches["daddr"], int(matches["dport"])), targets
