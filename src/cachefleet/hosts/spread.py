"""Lets the kernel spread new connections to an address over several others: one nftables table per installation.

Every change replaces the whole table in one transaction, so that there is never a moment without rules. Knows nothing of roles
or readers. Called by LocalHost.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any

from cachefleet.interfaces import HostRefused, Permit, always

Rules = dict[tuple[str, int], tuple[str, ...]]  # (address, port) -> where new connections go
_TIMEOUT_S = 10.0
_CHAIN = "chain output { type nat hook output priority -100; policy accept;"
_FOLLOW = "ct state new continue"  # does nothing, but the kernel follows connections only while a rule asks about them
_BEGINS = "tcp flags & (fin | syn | rst | ack) == syn"  # never a connection under way that the kernel has not seen before


def script(table: str, rules: Mapping[tuple[str, int], Sequence[str]]) -> str:
    """nft's input that leaves exactly these rules in the table. Pure.

    Without rules a table stays that has the kernel follow connections. Would it cease to with the last rule and begin anew
    with the next, connections that were led elsewhere were reset, and others taken for closed ones of the same port."""
    lines = [*_without(table), f"table ip {table} {{", _CHAIN, _FOLLOW]
    lines += [_rule(address, port, targets) for (address, port), targets in sorted(rules.items())]
    return "\n".join([*lines, "}", "}"]) + "\n"


def _without(table: str) -> list[str]:
    """Deleting what is not there fails, adding what is there does not."""
    return [f"add table ip {table}", f"delete table ip {table}"]


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


class Spreader:
    """The table of one installation. Lives in one event loop. permit: asked before a change."""

    def __init__(self, network: int, permit: Permit = always) -> None:
        self._permit = permit
        self._table = f"cachefleet_{network}"
        self._nft = shutil.which("nft") or shutil.which("nft", path="/usr/sbin:/sbin:/usr/local/sbin")
        self._wanted: Rules = {}
        self._standing: Rules = {}
        self._changes = 0  # of _wanted
        self._applied = 0  # of these, how many stand
        self._lock = asyncio.Lock()
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def standing(self) -> Mapping[tuple[str, int], tuple[str, ...]]:
        """What is in place, as far as was last looked."""
        return self._standing

    async def usable(self) -> bool:
        """Whether rules such as ours can really be put in place (one transaction adds and removes them) and read back."""
        probe = f"{self._table}_probe"
        rules = script(probe, {("127.0.0.2", 1): ("127.0.0.3", "127.0.0.4")})
        for arguments, text in ((("-f", "-"), f"{rules}delete table ip {probe}\n"), (("-j", "list", "tables", "ip"), "")):
            if self._nft is None or (await self._run(*arguments, text=text))[0]:
                return False
        return True

    async def look(self) -> None:
        """Read back what stands: at the start the rules of an earlier run, later what others left of ours."""
        async with self._lock:
            status, output = await self._run("-j", "list", "table", "ip", self._table)
            self._standing = parse(output) if status == 0 else {}
            if not self._changes:
                self._wanted = dict(self._standing)

    async def put(self, address: str, port: int, targets: Sequence[str]) -> None:
        """Replace (or with no targets: remove) one rule. Returns when it stands. Raises HostRefused, ValueError."""
        hosts = tuple(str(IPv4Address(target)) for target in targets)
        key = (str(IPv4Address(address)), int(port))
        if hosts:
            self._wanted[key] = hosts
        else:
            self._wanted.pop(key, None)
        self._changes += 1
        task = asyncio.create_task(self._bring_about(self._changes))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        await asyncio.shield(task)  # a caller that is cancelled must not leave us ignorant of what was done

    async def remove_all(self) -> None:
        """Delete the table. Raises HostRefused."""
        self._wanted = {}
        self._changes += 1
        async with self._lock:
            await self._apply("\n".join(_without(self._table)) + "\n", {}, self._changes)

    async def settle(self) -> None:
        """Wait for transactions under way."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _bring_about(self, change: int) -> None:
        """Those that wait while one transaction runs are all served by the next."""
        async with self._lock:
            if self._applied >= change:
                return
            rules, changes = dict(self._wanted), self._changes
            self._permit()
            await self._apply(script(self._table, rules), rules, changes)

    async def _apply(self, text: str, rules: Rules, changes: int) -> None:
        status, output = await self._run("-f", "-", text=text)
        if status:
            raise HostRefused(f"nftables did not take the rules that spread connections: {output.strip()[:300]}")
        self._standing, self._applied = rules, changes

    async def _run(self, *arguments: str, text: str = "") -> tuple[int, str]:
        return await asyncio.to_thread(_call, [self._nft or "nft", *arguments], text)


def _call(argv: list[str], text: str) -> tuple[int, str]:
    """(exit status, what was printed, or why it failed)."""
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stderr if done.returncode else done.stdout


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
